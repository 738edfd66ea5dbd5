"""Reads JSON as Go's encoding/json does, so that bodies are taken and refused alike.

Its rules: names match in any case, unknown names are ignored, null leaves a field as it
was, what follows the first value is ignored, an integer is written without point or
exponent, and a wrong type is reported only after the other fields were set.
"""

import json
import math
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from lab.proxy.errors import bad_request_body


class Number(str):
    """A number as it was written: Go's errors quote it."""


class GoType(NamedTuple):
    """A field's type by its Go name; ``convert`` raises ValueError on what does not fit."""

    name: str
    convert: Callable[[Any], Any]


def parse(body: bytes) -> Any:
    """The first JSON value of ``body``; raises ProxyError 400 where there is none."""
    text = body.decode("utf-8", errors="replace").lstrip(" \t\r\n")
    if not text:
        raise bad_request_body("EOF")
    try:
        return _DECODER.raw_decode(text)[0]
    except json.JSONDecodeError as error:
        raise bad_request_body(_describe(error)) from None
    except RecursionError:
        raise bad_request_body("exceeded max depth") from None


def decode(
    value: Any, fields: Mapping[str, GoType], *, within: str, target: str
) -> Iterator[tuple[str, Any]]:
    """Yields name and value of each field that ``value`` sets.

    ``within`` is the Go path of a field's parent, ``target`` how Go calls the whole (both
    for the error's text). Raises ProxyError 400 for the first misfit, after all that fits.
    """
    if value is None:
        return
    if not isinstance(value, dict):
        raise _misfit(value, target)
    misfit = None
    for key, item in value.items():
        name = key.lower()
        if name not in fields or item is None:
            continue
        try:
            yield name, fields[name].convert(item)
        except ValueError:
            misfit = misfit or _misfit(item, _field(within, name, fields[name]))
    if misfit:
        raise misfit


def array(value: Any, target: str) -> list:
    """``value`` where it is an array; null is an empty one, all else ProxyError 400."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise _misfit(value, target)
    return value


def _field(within: str, name: str, go_type: GoType) -> str:
    return f"Go struct field {within}.{name} of type {go_type.name}"


def _misfit(value: Any, target: str) -> Exception:
    found = _KINDS[type(value)]
    if isinstance(value, Number) and target.endswith(_NUMERIC):
        found = f"number {value}"
    return bad_request_body(f"json: cannot unmarshal {found} into {target}")


def _describe(error: json.JSONDecodeError) -> str:
    if error.pos >= len(error.doc) or error.msg.startswith("Unterminated"):
        return "unexpected EOF"
    context = _CONTEXTS.get(error.msg, "in string literal")
    return f"invalid character '{error.doc[error.pos]}' {context}"


def _no_constant(name: str) -> None:
    """NaN and Infinity are Python's additions to JSON."""
    raise json.JSONDecodeError("Expecting value", name, 0)


def _only(kind: type) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(value)
        return value

    return convert


def _int64(value: Any) -> int:
    if not isinstance(value, Number) or not re.fullmatch(r"-?\d{1,19}", value):
        raise ValueError(value)
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError(value)
    return number


def _float32(value: Any) -> int | float:
    """The shortest decimal that names the same 32-bit float: what Go would print."""
    if not isinstance(value, Number) or math.isinf(float(value)):
        raise ValueError(value)
    try:
        single = struct.pack("f", float(value))
    except OverflowError:
        raise ValueError(value) from None
    exact = struct.unpack("f", single)[0]
    candidates = (float(f"{exact:.{digits}g}") for digits in range(1, 9))
    shortest = next((c for c in candidates if struct.pack("f", c) == single), exact)
    return int(shortest) if shortest.is_integer() else shortest


def struct_type(name: str) -> GoType:
    """Any object, to be decoded on its own later."""
    return GoType(name, _only(dict))


STRING = GoType("string", _only(str))
BOOL = GoType("bool", _only(bool))
INT = GoType("int", _int64)
INT64 = GoType("int64", _int64)
FLOAT32 = GoType("float32", _float32)

_NUMERIC = ("int", "int64", "float32")
_KINDS = {dict: "object", list: "array", str: "string", Number: "number", bool: "bool"}
_CONTEXTS = {
    "Expecting value": "looking for beginning of value",
    "Expecting property name enclosed in double quotes":
        "looking for beginning of object key string",
    "Expecting ':' delimiter": "after object key",
    "Expecting ',' delimiter": "after object key:value pair",
}
_DECODER = json.JSONDecoder(
    parse_int=Number, parse_float=Number, parse_constant=_no_constant
)
