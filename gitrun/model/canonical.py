"""The one way a value is written as JSON, so that equal values are equal bytes.

JSON has no bytes, no NaN and no agreed integers beyond 2^53, and records meet all three: file
names that are not UTF-8, diverged losses, 64-bit seeds. Each has one written form, an object
with a single `$` key:

    {"$bytes": "<base64>"}    a str with surrogate escapes, or bytes
    {"$float": "nan"}         also "inf" and "-inf"
    {"$int": "9007199254740993"}

Everything else is UTF-8 JSON with sorted keys, one space of indent, one trailing newline. A
mapping that itself has a single key beginning with `$` is written as {"$object": {...}} so that
user data cannot pose as one of the forms above.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from typing import Any

EXACT_INT = 2**53
MAX_DEPTH = 64
MAX_BYTES = 64 << 20


class DecodeProblem(ValueError):
    """The bytes are not canonical JSON within the bounds."""


def encode(value: Any) -> bytes:
    """The canonical bytes of a value, indented for people and for `git show`."""
    return _dump(value, indent=1)


def encode_line(value: Any) -> bytes:
    """The canonical bytes of a value on one line, for `.jsonl` parts."""
    return _dump(value, indent=None)


def decode(data: bytes, limit: int = MAX_BYTES) -> Any:
    """The value behind canonical bytes; raises DecodeProblem on anything else or beyond `limit` bytes."""
    if len(data) > limit:
        raise DecodeProblem(f"{len(data)} bytes of JSON, more than the {limit} allowed")
    try:
        return _revive(json.loads(data.decode("utf-8"), parse_constant=_no_constant), 0)
    except (UnicodeDecodeError, RecursionError) as problem:
        raise DecodeProblem(str(problem)) from problem
    except DecodeProblem:
        raise
    except ValueError as problem:
        raise DecodeProblem(str(problem)) from problem


def decode_lines(data: bytes, limit: int = MAX_BYTES) -> list[Any]:
    """The values of a `.jsonl` part, one a line."""
    if len(data) > limit:
        raise DecodeProblem(f"{len(data)} bytes of JSON lines, more than the {limit} allowed")
    return [decode(line) for line in data.split(b"\n") if line]


def path_text(path: bytes) -> str:
    """A path as records hold it: UTF-8, other bytes as surrogate escapes."""
    return path.decode("utf-8", "surrogateescape")


def path_bytes(text: str) -> bytes:
    """The bytes of a path that a record holds."""
    return text.encode("utf-8", "surrogateescape")


def _dump(value: Any, indent: int | None) -> bytes:
    separators = (",", ": ") if indent else (",", ":")
    try:
        plain = json.dumps(
            _plain(value, 0), indent=indent, separators=separators, sort_keys=True, ensure_ascii=False, allow_nan=False
        )
    except RecursionError as problem:
        raise DecodeProblem("nested too deeply") from problem
    return plain.encode("utf-8") + b"\n"


def _plain(value: Any, depth: int) -> Any:
    """`value` with every odd leaf replaced by its written form."""
    kind = type(value)
    if kind is str:
        return value if _is_utf8(value) else _bytes_form(path_bytes(value))
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if -EXACT_INT <= value <= EXACT_INT else {"$int": str(value)}
    if kind is float:
        return value if math.isfinite(value) else {"$float": str(value)}
    if depth > MAX_DEPTH:
        raise DecodeProblem("nested too deeply")
    if kind is dict:
        plain = {_key(key): _plain(item, depth + 1) for key, item in value.items()}
        return {"$object": plain} if len(plain) == 1 and next(iter(plain)).startswith("$") else plain
    if kind is list or isinstance(value, tuple):
        return [_plain(item, depth + 1) for item in value]
    if kind is bytes:
        return _bytes_form(value)
    raise TypeError(f"a record cannot hold a {kind.__name__}")


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _key(key: Any) -> str:
    """Keys are plain text: escape what is not UTF-8, since JSON has no other kind of key."""
    if type(key) is not str:
        raise TypeError(f"a record's key cannot be a {type(key).__name__}")
    return key if _is_utf8(key) else path_bytes(key).decode("utf-8", "backslashreplace")


def _bytes_form(data: bytes) -> dict[str, str]:
    return {"$bytes": base64.b64encode(data).decode("ascii")}


def _no_constant(name: str) -> Any:
    raise DecodeProblem(f"{name} is not JSON")


def _revive(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH * 2:
        raise DecodeProblem("nested too deeply")
    if type(value) is list:
        return [_revive(item, depth + 1) for item in value]
    if type(value) is str and not _is_utf8(value):
        raise DecodeProblem("an escaped surrogate, which canonical JSON writes as $bytes")
    if type(value) is not dict:
        return value
    if len(value) == 1:
        key, form = next(iter(value.items()))
        if key.startswith("$"):
            return _revive_form(key, form, depth)
    return {key: _revive(item, depth + 1) for key, item in value.items()}


def _revive_form(key: str, form: Any, depth: int) -> Any:
    try:
        if key == "$bytes":
            return path_text(base64.b64decode(form, validate=True))
        if key == "$float" and form in ("nan", "inf", "-inf"):
            return float(form)
        if key == "$int" and len(form) <= 4000:
            return int(form)
    except (TypeError, ValueError, binascii.Error) as problem:
        raise DecodeProblem(f"{key}: {problem}") from problem
    if key == "$object" and type(form) is dict:
        return {name: _revive(item, depth + 1) for name, item in form.items()}
    raise DecodeProblem(f"{key} is not a form this version knows")
