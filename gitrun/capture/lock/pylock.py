"""`pylock.toml` as PEP 751 has it: put together, freed of credentials, judged by `packaging`, written as TOML.

A package is a plain mapping in the form of the PEP, wherever it was found. Nothing goes into the file that varies
between two runs of one environment, so that Git stores it once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from gitrun.capture.lock.pins import Pin
from gitrun.capture.secrets import Redactor

VENDOR = "vendor"  # the directory beside the file in which vendored wheels are expected
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PLACES = ("url", "path", "index")
_FILE_KEYS = ("name", "url", "path", "size", "hashes")


class NotValid(ValueError):
    """What was put together is no lockfile; the message says why."""


def encode_pylock(packages: Iterable[dict[str, Any]], python: Any) -> bytes:
    """The file for these packages, for a Python of this version; raises NotValid."""
    import tomli_w
    from packaging.pylock import Pylock, PylockValidationError

    short = re.match(r"[0-9]+\.[0-9]+", python) if isinstance(python, str) else None
    fields: dict[str, Any] = {"lock-version": "1.0", "created-by": "gitrun"}
    if short:
        fields["requires-python"] = f"=={short[0]}.*"
    fields["packages"] = [_ordered(package) for package in sorted(packages, key=lambda package: package["name"])]
    try:
        Pylock.from_dict(fields)  # which validates it
        return tomli_w.dumps(fields).encode("utf-8")
    except (PylockValidationError, ValueError, TypeError) as problem:
        raise NotValid(str(problem)) from problem


def valid_package(package: Any, pin: Pin) -> dict[str, Any] | None:
    """The package as it goes into the file, with the wheels that could be what is installed; None if it is not valid.

    It must be this pin's: a version `2.0` that was asked for may be answered by `2.0+cu121`.
    """
    try:
        kept: dict[str, Any] = {
            key: _clean(package[key]) for key in ("vcs", "archive", "sdist") if package.get(key) is not None
        }
        wheels = [_clean(wheel) for wheel in package.get("wheels") or []]
        if wheels := _fitting(wheels, pin):
            kept["wheels"] = wheels
        if isinstance(index := package.get("index"), str):
            kept["index"] = without_credentials(index)
        encode_pylock([{"name": pin.name, "version": pin.version, **kept}], None)
    except (NotValid, TypeError, ValueError, AttributeError, KeyError):
        return None
    return {"name": pin.name, "version": pin.version, **kept}


def is_same_build(package: Mapping[str, Any], pin: Pin) -> bool:
    """Whether one of the package's wheels has the tags of what is installed, or nothing can be compared."""
    wheels = package.get("wheels") or []
    if not pin.tags or "archive" in package or "vcs" in package:
        return True
    return any(_tags(wheel) & pin.tags for wheel in wheels)


def file_entry(name: str, sha256: Any, *, url: Any = None, size: Any = None) -> dict[str, Any]:
    """A wheel or sdist; one whose place is not known is expected beside the file. Raises ValueError without a hash."""
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise ValueError("no sha256")
    entry: dict[str, Any] = {"name": name, "hashes": {"sha256": sha256}}
    entry.update({"url": url} if isinstance(url, str) else {"path": name})
    if isinstance(size, int) and not isinstance(size, bool) and size >= 0:
        entry["size"] = size
    return entry


def sort_files(files: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Files of one package as its `wheels` and `sdist`."""
    sorted_files: dict[str, Any] = {}
    for entry in files:
        if entry["name"].endswith(".whl"):
            sorted_files.setdefault("wheels", []).append(entry)
        elif entry["name"].endswith((".tar.gz", ".zip")):
            sorted_files.setdefault("sdist", entry)
    return sorted_files


def without_credentials(url: str) -> str:
    """A URL without user and password, and without a query that holds a secret."""
    scheme = url.partition("://")[0]
    kept = r"\1@" if scheme.endswith("ssh") else ""  # ssh knows no anonymous user
    url = re.sub(r"(?<=://)([^/?#:@]*)[^/?#@]*@(?:[^/?#]*@)?", kept, url)
    if Redactor({}).text(url) != url:
        url = re.sub(r"[?#].*", "", url, flags=re.DOTALL)
    return Redactor({}).text(url)


def file_name(entry: Mapping[str, Any]) -> str:
    """The name of a wheel or sdist entry."""
    from urllib.parse import unquote, urlsplit

    if entry.get("name"):
        return str(entry["name"])
    if entry.get("path"):
        return os.path.basename(str(entry["path"]))
    return unquote(urlsplit(str(entry.get("url"))).path).rpartition("/")[2]


def _clean(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A wheel, sdist, archive or vcs table with what identifies it, its places without credentials."""
    kept = {key: value for key, value in entry.items() if key in _FILE_KEYS}
    if "commit-id" in entry:
        more = ("type", "requested-revision", "commit-id", "subdirectory")
        kept = {key: value for key, value in entry.items() if key in (*_PLACES, *more)}
    for key in _PLACES:
        if isinstance(kept.get(key), str):
            kept[key] = without_credentials(kept[key])
    if "hashes" in kept:
        kept["hashes"] = {str(name): str(value) for name, value in kept["hashes"].items()}
    if kept.get("name") and kept.get("url") and file_name({"url": kept["url"]}) == kept["name"]:
        del kept["name"]  # the PEP wants it only where the URL does not end in it
    return kept


def _fitting(wheels: list[dict[str, Any]], pin: Pin) -> list[dict[str, Any]]:
    """The wheels with the tags of what is installed; all of them where none has."""
    return [wheel for wheel in wheels if _tags(wheel) & pin.tags] or wheels


def _tags(wheel: Mapping[str, Any]) -> set[str]:
    """`cp311-cp311-a.b` of a wheel's name, taken apart as its WHEEL file does."""
    words = file_name(wheel).removesuffix(".whl").split("-")
    if len(words) < 5:
        return set()
    pythons, abis, platforms = (word.split(".") for word in words[-3:])
    return {f"{python}-{abi}-{platform}" for python in pythons for abi in abis for platform in platforms}


def _ordered(package: Mapping[str, Any]) -> dict[str, Any]:
    """The keys in the order of the PEP, wheels by their names."""
    order = ("name", "version", "index", "vcs", "archive", "sdist", "wheels")
    ordered = {key: package[key] for key in order if key in package}
    if "wheels" in ordered:
        ordered["wheels"] = sorted(ordered["wheels"], key=lambda wheel: (file_name(wheel), str(wheel.get("hashes"))))
    return ordered
