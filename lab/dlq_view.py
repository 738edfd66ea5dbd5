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
CLOCK_SKEW_SECONDS = 1


def table(letters: Collection[DeadLetter]) -> Table:
    """A line for each, as wide as it is."""
    shown = Table("id", "reason", "published by", "age", "attempts", "size", "error", box=None)
    for letter in letters:
        # Text: markup in what others wrote must stay text.
        shown.add_row(*map(Text, (letter.id, letter.reason, letter.publisher, age(letter), str(letter.attempts),
                                  size(len(letter.body)), shortened(letter.error, ERROR_CHARACTERS))))
    return shown


def summary(letters: Collection[DeadLetter]) -> str:
    """How many, why, and from whom."""
    if not letters:
        return "no dead letters"
    reasons = _counts(letter.reason for letter in letters)
    return f"{count(len(letters))}: {reasons}; published by {_counts(letter.publisher for letter in letters)}"


def details(letter: DeadLetter) -> str:
    """Everything about one, the body last."""
    told = letter.as_dict()
    rows = [("id", letter.id), ("reason", letter.reason), ("error", letter.error), ("published by", letter.publisher),
            ("age", age(letter)), ("attempts", letter.attempts), ("size", size(len(letter.body)))]
    rows += [(f"property {name}", value) for name, value in told["properties"].items()]
    rows += [(f"header {name}", value) for name, value in told["headers"].items() if name != "x-death"]
    rows += [("x-death", ", ".join(f"{printable(name)} {plain(value)}" for name, value in death.items()))
             for death in letter.deaths]
    return "\n".join([*(f"{name:<28} {printable(value)}" for name, value in rows), "", body(letter.body)])


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
    """Since the first publish, in the largest unit that fits; "?" where its time is unknown or in the future."""
    if letter.published_at is None:
        return "?"
    seconds = time.time() - letter.published_at
    if seconds < -CLOCK_SKEW_SECONDS:
        return "?"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


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
