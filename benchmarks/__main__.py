"""`python -m benchmarks [FIGURE ...]`: measures, prints as it goes, and writes RESULTS.md."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

from benchmarks import batch, drain, latency, produce, report, startup
from benchmarks.method import Options, Row
from benchmarks.peers_python import peers_python
from lab import output
from lab.cli import ERROR_LOG
from lab.errors import LabError
from lab.settings import ROOT

FIGURES = {"produce": produce, "latency": latency, "batch": batch, "drain": drain, "startup": startup}


def main() -> None:
    arguments = _arguments()
    quick = arguments.quick
    options = Options(arguments.seconds or (1 if quick else 6), arguments.rounds or (1 if quick else 5),
                      10_000 if quick else 100_000)
    figures = arguments.figures or list(FIGURES)
    load_before = os.getloadavg()[0]
    # A stop from outside cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rows, failed = [], False
    try:
        _install_wrk()
        peers_python()
        for name in figures:
            try:
                rows += _run(name, options)
            except LabError as error:  # the other figures need not be lost
                print(f"{name}: {error}", flush=True)
                failed = True
    except KeyboardInterrupt:
        sys.exit(130)
    except LabError as error:
        sys.exit(f"error: {error}")
    except Exception as error:  # a defect of ours: its trace is for us, not for the person
        ERROR_LOG.write_text(traceback.format_exc(), encoding="utf-8")
        sys.exit(f"internal error: {type(error).__name__}: {error} (the trace is in {ERROR_LOG})")
    # The committed results are those of a whole run.
    whole = not quick and not failed and set(figures) == set(FIGURES)
    folder = Path(__file__).parent if whole else ROOT / ".lab" / "benchmarks"
    how = f"{options.rounds} rounds of {options.seconds} s, {options.messages:,} messages"
    print("\n".join(["", *report.table(rows)]))
    print(f"\nwritten: {report.write(folder, rows, how, load_before)}")
    sys.exit(1 if failed else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure our services against peers.")
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"{', '.join(FIGURES)}; all when none is named")
    parser.add_argument("--seconds", type=int, help="of load for each contender in each round (6)")
    parser.add_argument("--rounds", type=int, help="how often everybody has a turn (5)")
    parser.add_argument("--quick", action="store_true", help="only see that all works; writes to .lab/benchmarks")
    arguments = parser.parse_args()
    if unknown := set(arguments.figures) - set(FIGURES):
        parser.error(f"no figure {', '.join(unknown)}; there is {', '.join(FIGURES)}")
    return arguments


def _install_wrk() -> None:
    if shutil.which("wrk"):
        return
    command = ["scripts/setup", "packages", "wrk"]
    if os.geteuid() != 0:
        raise LabError(f"wrk is missing: have `sudo {' '.join(command)}` run, then call this again")
    if subprocess.run(command, cwd=ROOT).returncode or not shutil.which("wrk"):
        raise LabError("wrk is missing and could not be installed; see above")


def _run(name: str, options: Options) -> list[Row]:
    started = time.monotonic()

    def progress(line: str) -> None:
        print(f"{name} {time.monotonic() - started:4.0f} s · {line}", flush=True)

    progress(FIGURES[name].__doc__)
    return FIGURES[name].run(options, progress)


if __name__ == "__main__":
    output.run(main)
