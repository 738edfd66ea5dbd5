"""Who does a run, as it may be named in a record, on a screen and in a report."""

from lab.errors import LabError

LONGEST = 100


def checked(name: str) -> str:
    """The name. Raises LabError where it is empty, too long, or has what cannot be shown."""
    if not name.strip() or not name.isprintable() or len(name) > LONGEST:
        raise LabError(f"who is it? CANDIDATE='Ada Lovelace': one line, at most {LONGEST} characters")
    return name
