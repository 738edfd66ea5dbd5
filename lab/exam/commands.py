"""`lab exam …`: what an interviewer types."""

import json
import sys
from pathlib import Path

import click

from lab import settings as lab_settings
from lab.engine import candidate as candidates
from lab.engine import reports, runner
from lab.errors import LabError
from lab.exam import exam as exams
from lab.exam import memory, signature
from lab.exam.key import Key, PublicKey
from lab.grading import report

DEFAULT_KEY = lab_settings.ROOT / ".lab" / "interviewer.key"
EXIT_NO_PASS = EXIT_NOT_AS_SIGNED = 3
MINUTES = click.IntRange(5, 240)

key_option = click.option("--key", "key_file", type=click.Path(path_type=Path), envvar="EXAM_KEY", metavar="FILE",
                          default=DEFAULT_KEY, help=f"The interviewer's key; {DEFAULT_KEY} where none is named.")


@click.group()
def exam() -> None:
    """Blind exams, for interviewers."""


@exam.command()
@click.option("--candidate", default="", help="Who is examined.")
@click.option("--minutes", type=MINUTES, default=45, show_default=True, help="How long the exam may take.")
@click.option("--seed", type=click.IntRange(min=0), help="The same seed and key give the same exam; else it is chosen.")
@click.option("--tier", type=click.IntRange(1, 3), help="Draw only among the scenarios of this tier.")
@key_option
def start(candidate, minutes, seed, tier, key_file) -> None:
    """Draw an exam and run it; or take up the one that is on."""
    candidates.checked(candidate)
    key = _usable_key(key_file)
    memory.close()
    run = runner.run_exam(exams.draw(key, candidate, minutes, seed, tier), key)
    content = reports.read_grade(lab_settings.load(), run)
    if content and not content["grade"]["pass"]:
        sys.exit(EXIT_NO_PASS)


@exam.command("key")
@click.argument("file", type=click.Path(path_type=Path))
def key_(file) -> None:
    """Make a key in FILE, which must be new."""
    key = Key.create(file)
    click.echo(f"{file} seals and signs exams: keep it from candidates.\n"
               f"Who only verifies reports needs the public key: {key.public.text}")


@exam.command("public-key")
@key_option
def public_key(key_file) -> None:
    """Print what anybody needs to verify the key's reports."""
    click.echo(Key.read(key_file).public.text)


@exam.command()
@click.argument("file", type=click.Path(path_type=Path))
@key_option
@click.option("--public", metavar="KEY", help="The public key, instead of the key's file.")
def verify(file, key_file, public) -> None:
    """Whether the report FILE (its grade.json) is as it was signed."""
    content = _report(file)
    page = file.with_name("report.html")
    problems = signature.problems(content, page.read_text(encoding="utf-8") if page.exists() else None,
                                  PublicKey(public) if public else Key.read(key_file).public)
    if problems:
        click.echo(click.style("NOT VALID", fg="red") + f": {'; '.join(problems)}")
        sys.exit(EXIT_NOT_AS_SIGNED)
    about, grade = content["exam"], content["grade"]
    click.echo(click.style("VALID", fg="green")
               + f": {about['candidate']}, seed {about['seed']}, {grade['score']} of 100, {report.verdict_of(grade)}")
    for line in report.tampering(content):
        click.echo(click.style("tampering signal: ", fg="yellow") + line)


def _usable_key(path: Path) -> Key:
    if path == DEFAULT_KEY and not path.exists():
        key = Key.create(path)
        click.echo(f"a new key was made: {path}")
    else:
        key = Key.read(path)
    away = f": take {path} off the candidate's machine before you hand it over, and keep it to verify the report" \
        if path.is_file() else ""  # the console hands it over by a pipe
    click.echo(f"public key: {key.public.text}\nThe engine holds the key from now on{away}.")
    return key


def _report(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LabError(f"{path} cannot be read as a report: {error}") from None
    if not isinstance(content, dict):
        raise LabError(f"{path} is no report")
    return content
