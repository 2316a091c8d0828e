"""The installed distributions of a Python, read from their `*.dist-info` directories as plain files.

importlib.metadata costs more to import than everything here takes to run, and would describe gitrun's own
environment. What identifies a distribution's content is its RECORD, whose raw bytes differ between installers;
the canonical digest below is equal for pip, uv, hard links and copies.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import Any, NamedTuple

from gitrun.capture.facts import clean_text, read_start, text_path
from gitrun.capture.secret_formats import redact_formats

METADATA_BYTES = 16 << 10
MAX_RECORD_BYTES = 64 << 20
_BOOKKEEPING = (b"/INSTALLER", b"/REQUESTED", b"/RECORD", b"/direct_url.json")


class Installed(NamedTuple):
    """Distributions sorted by normalised name, and the files whose change would change the answer."""

    distributions: list[dict[str, Any]]
    watched: list[bytes]
    problems: list[str]


def read_distributions(sites: list[bytes]) -> Installed:
    """All distributions in `sites`; of several with one name, the first in that order counts, as for Python."""
    found: dict[str, dict[str, Any]] = {}
    watched: list[bytes] = []
    problems: list[str] = []
    for site in sites:
        watched.append(site)
        here: dict[str, dict[str, Any]] = {}
        for directory in _metadata_directories(site, problems):
            distribution = _read(directory, watched, problems)
            if distribution is None:
                continue
            key = normalised(distribution["name"])
            if key in here:
                problems.append(f"environment: {key} is installed twice in {text_path(site)}")
            here[key] = distribution
        found = {**here, **found}
    return Installed([found[key] for key in sorted(found)], watched, problems)


def normalised(name: str) -> str:
    """A distribution's name as packaging compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def canonical_record(data: bytes) -> str:
    """sha256 over the sorted (path, hash, size) of a RECORD without what depends on the installer.

    Left out are *.pyc, the bookkeeping of installers and whatever lies outside site-packages (scripts, whose
    first line names the environment). An entry is `path,hash,size` without quotes and LF; sorted by bytes.
    """
    lines = [
        line
        for line in (data.replace(b"\r\n", b"\n") if b'"' not in data else _unquoted(data)).split(b"\n")
        if line and b".pyc," not in line and not line.startswith((b"../", b"/"))
        if b".dist-info/" not in line or not _is_bookkeeping(line)
    ]
    lines.sort()
    return hashlib.sha256(b"".join([line + b"\n" for line in lines])).hexdigest()


def _is_bookkeeping(line: bytes) -> bool:
    path = line.rsplit(b",", 2)[0]
    return path.endswith(_BOOKKEEPING) or b".dist-info/uv_" in path


def _unquoted(data: bytes) -> bytes:
    import csv  # only for the rare RECORD that quotes a path with a comma

    rows = csv.reader(data.decode("utf-8", "surrogateescape").splitlines())
    return "\n".join(",".join(row) for row in rows).encode("utf-8", "surrogateescape")


def _metadata_directories(site: bytes, problems: list[str]) -> list[bytes]:
    try:
        names = os.listdir(site)
    except OSError as problem:
        problems.append(f"environment: {text_path(site)}: {problem.strerror}")
        return []
    return [os.path.join(site, name) for name in sorted(names) if name.endswith((b".dist-info", b".egg-info"))]


def _read(directory: bytes, watched: list[bytes], problems: list[str]) -> dict[str, Any] | None:
    """One distribution; None when not even a name can be found."""
    legacy = directory.endswith(b".egg-info")
    if legacy:
        is_file = os.path.isfile(directory)
        metadata = read_start(directory if is_file else directory + b"/PKG-INFO", METADATA_BYTES)
    else:
        metadata = read_start(directory + b"/METADATA", METADATA_BYTES)
    stem = text_path(os.path.basename(directory)).rpartition(".")[0]
    fields = _fields(metadata)
    name = fields.get("name") or stem.partition("-")[0]
    version = fields.get("version") or stem.partition("-")[2].split("-py")[0] or None
    shown = name or text_path(directory)
    if not name.strip():
        problems.append(f"environment: {text_path(directory)} has no name")
        return None
    if metadata is None or version is None:
        problems.append(f"environment: {shown}: its metadata cannot be read")
    distribution: dict[str, Any] = {"name": name, "version": version, "tags": [], "record": None, "direct_url": None}
    if legacy:
        watched.append(directory)
        return distribution
    distribution["record"] = _record(directory, shown, watched, problems)
    wheel = read_start(directory + b"/WHEEL", METADATA_BYTES)
    distribution["tags"] = sorted(re.findall(r"(?m)^Tag:[ \t]*(\S+)", _text(wheel or b"")))
    distribution["direct_url"] = _direct_url(directory, shown, problems)
    return distribution


def _record(directory: bytes, shown: str, watched: list[bytes], problems: list[str]) -> str | None:
    path = directory + b"/RECORD"
    try:
        with open(path, "rb", buffering=0) as file:
            data = file.read(MAX_RECORD_BYTES + 1) or b""
    except OSError as problem:
        problems.append(f"environment: {shown}: RECORD: {problem.strerror}")
        watched.append(directory)
        return None
    watched.append(path)
    if len(data) > MAX_RECORD_BYTES:
        problems.append(f"environment: {shown}: RECORD is larger than {MAX_RECORD_BYTES} bytes")
        return None
    try:
        return canonical_record(data)
    except Exception as problem:  # csv.Error among others; it is not worth importing csv to name it
        problems.append(f"environment: {shown}: RECORD: {problem}")
        return None


def _direct_url(directory: bytes, shown: str, problems: list[str]) -> Any:
    """PEP 610's origin of a distribution that came from no index, without credentials."""
    data = read_start(directory + b"/direct_url.json")
    if data is None:
        return None
    try:
        origin = _plain(json.loads(redact_formats(data, set()).decode("utf-8")), 0)
    except (ValueError, RecursionError):
        origin = None
    if not isinstance(origin, dict):
        problems.append(f"environment: {shown}: direct_url.json cannot be read")
        return None
    return origin


def _plain(value: Any, depth: int) -> Any:
    """The mappings and texts of PEP 610; raises ValueError for anything nested deeper than it allows."""
    if isinstance(value, dict) and depth < 4:
        return {clean_text(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, str):
        return clean_text(value)
    if value is None or isinstance(value, bool | int):
        return value
    raise ValueError("not the form of PEP 610")


def _fields(metadata: bytes | None) -> dict[str, str]:
    """Name and Version from the headers of a METADATA file."""
    head = _text(metadata or b"").replace("\r\n", "\n").partition("\n\n")[0]
    found = re.findall(r"(?mi)^(name|version):[ \t]*(.*?)[ \t]*$", head)
    return {key.lower(): value for key, value in found if value}


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
