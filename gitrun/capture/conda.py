"""The packages of a conda environment, as its own `conda-meta` lists them: what `conda list --explicit` would say.

One JSON file for each package says which build it is and where it came from. Most of it is a list of files that
nobody asks for here, so in the form that conda writes only the lines wanted are parsed. The address of a private
channel often has a token in its path, which no general rule would know.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any, NamedTuple

from gitrun.capture.facts import clean_text, read_start, text_path
from gitrun.capture.secret_formats import redact_formats

MAX_PACKAGES = 5000
MAX_FILE_BYTES = 16 << 20
MAX_BYTES = 256 << 20
_FIELDS = ("name", "version", "build", "channel", "subdir", "url", "md5", "sha256")
_USER = re.compile(r"(?<=://)[^/?#\s]*@")
_TOKEN = re.compile(r"/t/[^/?#\s]+(?=[/?#]|\Z)")
_QUERY = re.compile(r"\?[^#]*")


class CondaFound(NamedTuple):
    """Packages sorted by name, the files whose change would change the answer, and what is missing."""

    packages: list[dict[str, Any]]
    watched: list[bytes]
    problems: list[str]


def conda_packages(prefix: bytes) -> CondaFound:
    """The conda packages installed in `prefix`; none where it is no conda environment."""
    directory = os.path.join(prefix, b"conda-meta")
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(b".json"))
    except OSError:
        return CondaFound([], [directory], [])
    problems = []
    if len(names) > MAX_PACKAGES:
        problems.append(f"environment: {len(names)} conda packages, of which {MAX_PACKAGES} were looked at")
        names = names[:MAX_PACKAGES]
    packages = []
    left = MAX_BYTES
    for name in names:
        data = read_start(os.path.join(directory, name), min(left, MAX_FILE_BYTES))
        left -= len(data or b"")
        package = _package(data)
        if package is None:
            problems.append(f"environment: conda package {text_path(name)} cannot be read")
        else:
            packages.append(package)
    packages.sort(key=lambda package: tuple(str(package[key]) for key in ("name", "version", "build", "channel")))
    return CondaFound(packages, [directory, *(os.path.join(directory, name) for name in names)], problems)


def _package(data: bytes | None) -> dict[str, Any] | None:
    fields = _fields(_essence(data or b"")) or _fields(data or b"")
    if fields is None:
        return None
    if not isinstance(fields["name"], str):
        return None
    return {key: _plain(value) for key, value in fields.items()}


def _fields(data: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(data)
        return {key: content.get(key) for key in _FIELDS}
    except (ValueError, AttributeError, RecursionError):
        return None


def _essence(data: bytes) -> bytes:
    """The fields wanted of a file that is indented as conda does it, as an object; else all of it.

    Two spaces at the start of a line are the outermost object's: no text in JSON has the end of a line in it.
    """
    if not data.startswith(b'{\n  "') or not data.rstrip().endswith(b"\n}"):
        return data
    found = []
    for key in _FIELDS:
        at = data.find(b'\n  "%b": ' % key.encode())
        if at >= 0:
            found.append(data[at : data.index(b"\n", at + 1)].strip().rstrip(b","))
    return b"{%b}" % b",".join(found)


def _plain(value: Any) -> str | None:
    """A field as text, without the credentials of a private channel."""
    if not isinstance(value, str):
        return None
    if "/" not in value:
        return clean_text(value)
    if not value.startswith("file:"):
        value = _QUERY.sub("", _TOKEN.sub("", _USER.sub("", value)))
    return clean_text(redact_formats(value.encode("utf-8", "replace"), set()).decode("utf-8", "replace"))
