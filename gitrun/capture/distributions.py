"""The installed distributions of a Python, read from their `*.dist-info` directories as plain files.

importlib.metadata costs more to import than everything here takes to run, and would describe gitrun's own
environment. What identifies a distribution's content is its RECORD, whose raw bytes differ between installers;
its canonical digest (record_file) is equal for pip, uv, hard links and copies.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any, NamedTuple

from gitrun.capture.facts import clean_text, file_marks, read_start, text_path
from gitrun.capture.record_file import BadRecord, canonical_record, normalised, read_record
from gitrun.capture.secret_formats import redact_formats

METADATA_BYTES = 16 << 10
Memory = dict[str, list[Any]]
"""For each metadata directory its marks and its RECORD's, the distribution read from it, what was missing."""


class Installed(NamedTuple):
    """Distributions sorted by normalised name, the files whose change would change the answer, and what is missing.

    `local` are the directories of this machine that distributions were installed from, `memory` is for the next call.
    """

    distributions: list[dict[str, Any]]
    watched: list[bytes]
    problems: list[str]
    local: list[bytes]
    memory: Memory


def read_distributions(sites: list[bytes], memory: Memory | None = None) -> Installed:
    """All distributions in `sites`; of several with one name, the first in that order counts, as for Python.

    What `memory` of an earlier call says of a directory that has not changed since is believed.
    """
    found: dict[str, dict[str, Any]] = {}
    watched: list[bytes] = []
    problems: list[str] = []
    local: dict[bytes, None] = {}
    remembered: Memory = {}
    for site in sites:
        watched.append(site)
        here: dict[str, dict[str, Any]] = {}
        directories, links = _metadata_directories(site, problems)
        local.update(dict.fromkeys(links))
        for directory in directories:
            known = _recall(directory, memory or {})
            remembered[text_path(directory)] = known
            watched.append(directory if known[0][1] is None else directory + b"/RECORD")
            problems += known[2]
            distribution = known[1]
            if distribution is None:
                continue
            key = normalised(distribution["name"])
            if key in here:
                problems.append(f"environment: {key} is installed twice in {text_path(site)}")
            here[key] = distribution
        found = {**here, **found}
    distributions = [found[key] for key in sorted(found)]
    for distribution in distributions:
        if (directory_of := local_directory(distribution["direct_url"])) is not None:
            local[directory_of] = None
    return Installed(distributions, watched, problems, sorted(local), remembered)


def local_directory(origin: Any) -> bytes | None:
    """The directory that a distribution was installed from, by its `direct_url.json`; None where there is none."""
    if not isinstance(origin, dict) or not isinstance(origin.get("dir_info"), dict):
        return None
    url = origin.get("url")
    match = re.fullmatch(r"file://(?:localhost)?(/[^?#]*)", url) if isinstance(url, str) else None
    if match is None:
        return None
    path = re.sub(rb"%([0-9A-Fa-f]{2})", lambda code: bytes([int(code[1], 16)]), match[1].encode("utf-8", "replace"))
    return os.path.normpath(path) if b"\0" not in path and os.path.isdir(path) else None


def _recall(directory: bytes, memory: Memory) -> list[Any]:
    """What one metadata directory says, from `memory` where its and its RECORD's marks are as they were."""
    marks = [file_marks(directory), file_marks(directory + b"/RECORD")]
    known = memory.get(text_path(directory))
    if known is not None and known[0] == marks:
        return known
    problems: list[str] = []
    return [marks, _read(directory, problems), problems]


def _metadata_directories(site: bytes, problems: list[str]) -> tuple[list[bytes], list[bytes]]:
    """The metadata directories of a site, and the source directories that setuptools' old links lead to."""
    try:
        names = sorted(os.listdir(site))
    except OSError as problem:
        problems.append(f"environment: {text_path(site)}: {problem.strerror}")
        return [], []
    directories = [os.path.join(site, name) for name in names if name.endswith((b".dist-info", b".egg-info"))]
    links: list[bytes] = []
    for name in names:
        if name.endswith(b".egg-link"):
            target = (read_start(os.path.join(site, name), 4096) or b"").split(b"\n", 1)[0].strip()
            if os.path.isabs(target) and b"\0" not in target and os.path.isdir(target):
                links.append(target)
                infos = [entry for entry in sorted(os.listdir(target)) if entry.endswith(b".egg-info")]
                directories += [os.path.join(target, entry) for entry in infos]
    return directories, links


def _read(directory: bytes, problems: list[str]) -> dict[str, Any] | None:
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
        return distribution
    distribution["record"] = _record(directory, shown, problems)
    wheel = read_start(directory + b"/WHEEL", METADATA_BYTES)
    distribution["tags"] = sorted(re.findall(r"(?m)^Tag:[ \t]*(\S+)", _text(wheel or b"")))
    distribution["direct_url"] = _direct_url(directory, shown, problems)
    return distribution


def _record(directory: bytes, shown: str, problems: list[str]) -> str | None:
    try:
        return canonical_record(read_record(directory))
    except BadRecord as problem:
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
