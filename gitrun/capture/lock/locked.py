"""What one of the project's own lockfiles says, however it spells it: a package for each name and version.

The files are written by tools and edited by people; a reader takes what it understands, refuses nothing, and
judges nothing: whether an entry is a valid package of PEP 751 is seen where it is used.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from gitrun.capture.lock.pins import normalised_name, normalised_version
from gitrun.capture.lock.pylock import file_entry, file_name, sort_files

Key = tuple[str, str]
_PYPI = "https://files.pythonhosted.org/packages"


class Locked(NamedTuple):
    """What a file locks: packages, bare hashes of their files, and what PEP 751 has no form for (conda packages)."""

    packages: dict[Key, dict[str, Any]]
    hashes: dict[Key, list[str]]
    elsewhere: set[Key]


class Unreadable(ValueError):
    """The file cannot be read; the message says why."""


def nothing() -> Locked:
    """A file that locks nothing yet."""
    return Locked({}, {}, set())


def read_uv(data: bytes) -> Locked:
    """`uv.lock`."""
    found = nothing()
    for entry, key in _tables(_toml(data), "package"):
        source = entry.get("source")
        files = [*_uv_files(entry.get("wheels")), *_uv_files([entry.get("sdist")])]
        if files and isinstance(source, dict) and source.keys() & {"registry", "url", "path"}:
            _add(found, key, sort_files(files))
            if str(source.get("registry")).startswith("http"):
                found.packages[key]["index"] = source["registry"]
    return found


def _uv_files(entries: Any) -> Iterator[dict[str, Any]]:
    for entry in _mappings(entries):
        kind, _, digest = str(entry.get("hash")).partition(":")
        place = entry.get("url") or entry.get("path") or entry.get("filename")
        if kind == "sha256" and isinstance(place, str):
            yield _file(file_name({"url": place}), digest, entry.get("url"), entry.get("size"))


def read_pylock(data: bytes) -> Locked:
    """`pylock.toml` itself."""
    found = nothing()
    for entry, key in _tables(_toml(data), "packages"):
        _add(found, key, {name: entry[name] for name in ("index", "archive", "sdist", "wheels") if name in entry})
    return found


def read_poetry(data: bytes) -> Locked:
    """`poetry.lock`; it names files and not where they are, which for PyPI is known."""
    tree, found = _toml(data), nothing()
    beside = tree.get("metadata")
    beside = beside.get("files") if isinstance(beside, dict) else None  # up to Poetry 1.4
    for entry, key in _tables(tree, "package"):
        source = entry.get("source")
        files = entry.get("files") or (beside.get(entry["name"]) if isinstance(beside, dict) else None)
        if isinstance(source, dict) and source.get("type") not in ("legacy", "url"):
            continue
        places = [(file, str(file.get("file")), str(file.get("hash"))) for file in _mappings(files)]
        _add(
            found,
            key,
            sort_files(
                _file(name, digest.removeprefix("sha256:"), None if source else _on_pypi(key[0], name), None)
                for _, name, digest in places
                if digest.startswith("sha256:") and "/" not in name
            ),
        )
    return found


def _on_pypi(name: str, file: str) -> str:
    """The address that PyPI answers for a file whose hash in its own addresses is not known."""
    kind = file.removesuffix(".whl").split("-")[-3] if file.endswith(".whl") else "source"
    return f"{_PYPI}/{kind}/{name[0]}/{name}/{file}"


# -- what the readers share


def _toml(data: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as problem:
        raise Unreadable(" ".join(str(problem).split())[:120]) from problem


def _tables(tree: dict[str, Any], name: str) -> Iterator[tuple[dict[str, Any], Key]]:
    """The tables of a list that have a name and a version."""
    for entry in _mappings(tree.get(name)):
        if key := key_of(entry.get("name"), entry.get("version")):
            yield entry, key


def key_of(name: Any, version: Any) -> Key | None:
    """Name and version in their normal forms, None where one of them is none."""
    normal, exact = normalised_name(name), normalised_version(version)
    return (normal, exact) if normal and exact else None


def _mappings(values: Any) -> Iterable[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _file(name: str, sha256: str, url: Any, size: Any) -> dict[str, Any]:
    try:
        return file_entry(name, sha256, url=url, size=size)
    except ValueError:
        return {"name": ""}  # no kind of file, and left out with those


def _add(found: Locked, key: Key, package: dict[str, Any]) -> None:
    """Add a package; what two entries say of one version is one package (a fork of uv.lock)."""
    if not package:
        return
    earlier = found.packages.setdefault(key, package)
    if earlier is not package and "wheels" in package:
        earlier["wheels"] = [*earlier.get("wheels", []), *package["wheels"]]
