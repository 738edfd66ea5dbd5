"""`python -m prometheus.generate`: writes the rules of the objectives from slo.yml, for the lab and for production."""

import re
from pathlib import Path

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

FOLDER = Path(__file__).parent
FILES = {"lab": FOLDER / "rules" / "slo.yml", "production": FOLDER / "production" / "slo.yml"}
OF = {"lab": "For a lab of minutes.", "production": "For a system that runs for months; the lab does not load it."}
UNITS = {"s": (1, "second"), "m": (60, "minute"), "h": (3600, "hour"), "d": (86400, "day")}


def rules(setting: str) -> str:
    """The rule file for the windows of `setting`: lab or production."""
    parameters = yaml.safe_load((FOLDER / "slo.yml").read_text(encoding="utf-8"))
    windows = parameters["windows"][setting]
    lengths = {windows["budget"], *(alert[end] for alert in windows["alerts"] for end in ("short", "long"))}
    environment = Environment(loader=FileSystemLoader(FOLDER), undefined=_Missing, keep_trailing_newline=True)
    environment.filters |= {"spoken": spoken, "seconds": seconds}
    return environment.get_template("slo.rules.j2").render(
        of=OF[setting], slos=parameters["slos"], windows=sorted(lengths, key=seconds), **windows)


def seconds(window: str) -> int:
    """Of one of Prometheus' durations, such as 15s or 3d."""
    number, unit = re.fullmatch(r"(\d+)([smhd])", window).groups()
    return int(number) * UNITS[unit][0]


def spoken(window: str) -> str:
    """As a person says it after «the last»: 1m is «minute», 10m «10 minutes»."""
    number, unit = re.fullmatch(r"(\d+)([smhd])", window).groups()
    name = UNITS[unit][1]
    return name if number == "1" else f"{number} {name}s"


class _Missing(StrictUndefined):
    """An alert need not say `for`; everything else that is missing is a mistake."""

    def __bool__(self) -> bool:
        return False


def main() -> None:
    for setting, file in FILES.items():
        file.parent.mkdir(exist_ok=True)
        file.write_text(rules(setting), encoding="utf-8")
        print(f"wrote {file.relative_to(FOLDER.parent)}")


if __name__ == "__main__":
    main()
