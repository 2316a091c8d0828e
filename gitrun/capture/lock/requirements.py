"""Hashed requirements, and conda's lockfile: they pin what PEP 751 has only half a form for.

A requirements file has hashes and no file names. What is installed tells the name that its wheel must have had,
so each hash becomes a wheel of that name, to be found beside the file: `pip` and `uv` accept any of them.
conda packages are no wheels at all; that the project's file pins them is all that can be said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from gitrun.capture.lock.locked import Locked, Unreadable, key_of, nothing
from gitrun.capture.lock.pins import Pin
from gitrun.capture.lock.places import compress_tags
from gitrun.capture.lock.pylock import file_entry, file_name, sort_files

_PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*===?\s*([^\s;,#]+)\s*(?=[\s;]|$)")
_HASH = re.compile(r"--hash[= ]sha256:([0-9a-f]{64})\b")
_MAX_DEPTH = 12


def read_requirements(data: bytes) -> Locked:
    """A requirements file; only what has hashes counts."""
    found = nothing()
    text = data.decode("utf-8", "replace").replace("\\\r\n", " ").replace("\\\n", " ")
    for line in text.splitlines():
        match = _PINNED.match(line.strip())
        hashes = _HASH.findall(line)
        key = key_of(match[1], match[2]) if match else None
        if key and hashes:
            found.hashes.setdefault(key, []).extend(hashes)
    return found


def wheel_name(pin: Pin) -> str | None:
    """The name that the wheel of an installed distribution must have, by its tags; None without tags."""
    tags = compress_tags(pin.tags)
    return f"{pin.name.replace('-', '_')}-{pin.version}-{tags}.whl" if tags else None


def package_of_hashes(pin: Pin, hashes: Iterable[str]) -> dict[str, Any] | None:
    """The package of a pin whose file has one of these hashes."""
    name = wheel_name(pin)
    return None if name is None else {"wheels": [file_entry(name, digest) for digest in sorted(set(hashes))]}


def read_conda(data: bytes) -> Locked:
    """`conda-lock.yml`: its pip packages, and which conda packages it pins; raises Unreadable."""
    found = nothing()
    tree = _yaml(data)
    entries = tree.get("package") if isinstance(tree, dict) else None
    files: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for entry in entries if isinstance(entries, list) else []:
        key = key_of(entry.get("name"), str(entry.get("version"))) if isinstance(entry, dict) else None
        if key is None:
            continue
        if entry.get("manager") != "pip":
            found.elsewhere.add(key)
            continue
        digest = entry.get("hash")
        url = entry.get("url")
        try:
            if isinstance(digest, dict) and isinstance(url, str):
                files.setdefault(key, []).append(file_entry(file_name({"url": url}), digest.get("sha256"), url=url))
        except ValueError:
            continue  # md5 alone, which is no proof of anything
    for key, listed in files.items():
        distinct = {entry["name"]: entry for entry in listed}  # one for each platform, mostly the same file
        if package := sort_files(distinct.values()):
            found.packages[key] = package
    return found


def _yaml(data: bytes) -> Any:
    """YAML without aliases or deep nesting, by which a small file becomes gigabytes or ends the process."""
    try:
        import yaml
    except ImportError:
        raise Unreadable("PyYAML is not installed (pip install gitrun[yaml])") from None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = 0
    try:
        for event in yaml.parse(data, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_DEPTH or isinstance(event, yaml.AliasEvent):
                raise Unreadable("it is not what conda-lock writes")
        return yaml.load(data, Loader=loader)
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        if isinstance(problem, Unreadable):
            raise
        raise Unreadable(" ".join(str(problem).split())[:120]) from problem
