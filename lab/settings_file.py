"""The settings file, in the forms of KEY=value that all of its readers read alike.

They are python-dotenv (the lab, the services, Compose 1.29) and Compose 2, which differ in what they make of
backslashes in quotes, of `$` outside of single quotes, and of comments.
https://docs.docker.com/compose/how-tos/environment-variables/variable-interpolation/#env-file-syntax
"""

import re
from collections.abc import Set
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import Binding, parse_stream

from lab.errors import LabError

_LINE = re.compile(r"""
    [ \t]* (?:export[ ]+)? (?P<key>\w+) [ \t]* = [ \t]*
    (?: '(?: [^'\\] | \\' | \\(?!['\\]) )*'                              # only \' is the same to all
      | "[^"\\$]*"
      | [^\s'"$\#][^\s$]* (?: [ \t]+ [^\s$\#][^\s$]* )*
      | (?=[ \t]*$)                                                      # empty, and then no comment either
    )
    (?P<comment> [ \t]*[ ]\#.* )? [ \t]*""", re.VERBOSE)
_PLAIN = re.compile(r"[\w./:@-]*")
# Characters that end a line somewhere, cannot be in an environment, or steer a terminal.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_REFERENCE = re.compile(r"\$(?:__\w+)?\{")  # the second is Grafana's


def problem(value: str) -> str | None:
    """Why no setting can have that value, None where it can."""
    if _UNPRINTABLE.search(value):
        return "must be one line of printable characters"
    if _REFERENCE.search(value):
        return "must not contain '${', which stands for another variable"
    return None


def check(path: Path, known: Set[str]) -> None:
    """Raises LabError with the line of the first one that is not one of the `known` keys with a value."""
    for binding in parse_stream(StringIO(read(path))):
        if wrong := _problem_of(binding, known):
            # A binding's text begins with the blank lines before it.
            text = binding.original.string
            line = binding.original.line + text[:len(text) - len(text.lstrip())].count("\n")
            raise LabError(f"{path}, line {line}: {wrong}")


def read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"{path} cannot be read: {error}") from None


def with_value(text: str, key: str, value: str) -> str:
    """The file's text with one key changed, everything else as it is. Raises LabError for an impossible value."""
    line = f"{key}={_written(key, value)}"
    pattern = re.compile(rf"^[ \t]*(?:export[ ]+)?{key}[ \t]*=.*$", re.MULTILINE)
    if pattern.search(text):
        return pattern.sub(lambda match: line + _comment(match[0]), text)
    return text + ("" if text.endswith("\n") or not text else "\n") + line + "\n"


def _comment(line: str) -> str:
    """What follows the value, as it is; nothing of a line that readers read differently."""
    match = _LINE.fullmatch(line)
    return match["comment"] or "" if match else ""


def _problem_of(binding: Binding, known: Set[str]) -> str | None:
    text = binding.original.string.strip()
    if binding.error or (binding.key and binding.value is None):
        return f"cannot be read as KEY=value: {text.splitlines()[0]!r}"
    if binding.key is None:
        return None
    if binding.key not in known:
        return f"{binding.key} is not a setting; see .env.example for what there is"
    if wrong := problem(binding.value):
        return f"{binding.key}: the value {wrong}"
    if not _LINE.fullmatch(text):
        return (f"{binding.key}: Docker Compose would read another value than the lab; "
                f"`lab set {binding.key}='…'` writes one that both read alike")
    return None


def _written(key: str, value: str) -> str:
    if wrong := problem(value):
        raise LabError(f"{key}: the value {wrong}")
    if _PLAIN.fullmatch(value):
        return value
    quoted = "'" + value.replace("'", "\\'") + "'"
    for form in (quoted, value):
        if _LINE.fullmatch(f"{key}={form}") and _read_back(key, form) == value:
            return form
    raise LabError(f"{key}: Docker Compose would read another value than the lab; leave out a backslash, a '$', "
                   "or the spaces at the ends")


def _read_back(key: str, form: str) -> str | None:
    return dotenv_values(stream=StringIO(f"{key}={form}\n"))[key]
