"""Text files and the output of other programs are UTF-8 on every machine, whatever its locale."""

import ast

import pytest

from lab.settings import ROOT
from tests.conftest import tracked_files


def depends_on_the_locale(call: ast.Call) -> bool:
    options = {keyword.arg: keyword.value for keyword in call.keywords}
    if "encoding" in options:
        return False
    if isinstance(call.func, ast.Name):
        return call.func.id == "open" and not has_mode(call, "b")
    match ast.unparse(call.func).rsplit(".", 1):
        case ["subprocess", _]:
            return "text" in options
        case ["os", "fdopen"]:
            return not has_mode(call, "b")
        case ["tempfile", _]:
            return has_mode(call, "w") and not has_mode(call, "b")
        case ["os", _]:
            return False
        case [_, "open"]:
            return not has_mode(call, "b") and (not call.args or has_mode(call, "rwax"))
        case [_, "read_text" | "write_text"]:
            return True
    return False


def has_mode(call: ast.Call, letters: str) -> bool:
    words = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    modes = [word.value for word in words if isinstance(word, ast.Constant) and isinstance(word.value, str)
             and set(word.value) <= set("rwaxbt+")]
    return any(letter in mode for mode in modes for letter in letters)


@pytest.mark.parametrize("name", tracked_files("*.py"))
def test_the_encoding_is_named(name):
    """https://peps.python.org/pep-0597/: without a name it is the locale's."""
    calls = [node for node in ast.walk(ast.parse((ROOT / name).read_bytes())) if isinstance(node, ast.Call)]
    assert [f"line {call.lineno}: {ast.unparse(call)[:80]}" for call in calls if depends_on_the_locale(call)] == []
