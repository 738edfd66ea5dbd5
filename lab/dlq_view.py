"""Dead letters as a person reads them in the terminal."""

import json
import time
from collections import Counter
from collections.abc import Collection

from rich.table import Table
from rich.text import Text

from lab.dlq import DeadLetter, plain, printable

ERROR_CHARACTERS = 60
BODY_CHARACTERS = 4000
EXAMPLES = 5


def table(letters: Collection[DeadLetter]) -> Table:
    """A line for each."""
    shown = Table("id", "reason", "published by", "age", "attempts", "size", "error", box=None)
    for letter in letters:
        # Text, as markup in what others wrote must stay text; an id is never cut: it is there to be typed.
        shown.add_row(Text(letter.id, no_wrap=True, overflow="fold"), Text(letter.reason), Text(letter.publisher),
                      age(letter), str(letter.attempts), size(len(letter.body)),
                      Text(shortened(letter.error, ERROR_CHARACTERS)))
    return shown


def summary(letters: Collection[DeadLetter]) -> str:
    """How many, why, and from whom."""
    if not letters:
        return "no dead letters"
    reasons = _counts(letter.reason for letter in letters)
    return f"{count(len(letters))}: {reasons}; published by {_counts(letter.publisher for letter in letters)}"


def details(letter: DeadLetter) -> Table:
    """Everything about one."""
    shown = Table(box=None, show_header=False)

    def row(name: str, value: object) -> None:
        shown.add_row(Text(name, style="bold"), Text(str(value), overflow="fold"))

    for name, value in (("id", letter.id), ("reason", letter.reason), ("error", letter.error),
                        ("published by", letter.publisher), ("age", age(letter)), ("attempts", letter.attempts),
                        ("size", size(len(letter.body)))):
        row(name, value)
    told = letter.as_dict()
    for name, value in told["properties"].items():
        row(f"property {name}", printable(value))
    for name, value in told["headers"].items():
        if name != "x-death":
            row(f"header {name}", printable(value))
    for death in letter.deaths:
        row("x-death", "  ".join(f"{printable(name)}={printable(plain(value))}" for name, value in death.items()))
    row("body", body(letter.body))
    return shown


def body(content: bytes) -> str:
    """Indented where it is JSON, else as text, else in hex; the first `BODY_CHARACTERS` of it."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.hex(" ")
    else:
        try:
            text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            pass  # no JSON, or none that anybody would write
    lines = "\n".join(map(printable, text[:BODY_CHARACTERS].split("\n")))
    cut = f"\n… cut here: the body has {size(len(content))}" if len(text) > BODY_CHARACTERS else ""
    return lines + cut


def age(letter: DeadLetter) -> str:
    """Since the first publish, in the largest unit that fits."""
    if letter.published_at is None:
        return "?"
    seconds = max(0.0, time.time() - letter.published_at)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(length: int) -> str:
    return f"{length} B" if length < 10_000 else f"{length / 1000:.0f} kB"


def shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most - 1] + "…"


def count(number: int) -> str:
    return "1 dead letter" if number == 1 else f"{number} dead letters"


def examples(ids: Collection[str]) -> str:
    """The first few."""
    return ", ".join(list(ids)[:EXAMPLES]) + (", …" if len(ids) > EXAMPLES else "")


def _counts(names) -> str:
    return ", ".join(f"{number} {name}" for name, number in Counter(names).most_common())
