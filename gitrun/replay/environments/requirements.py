"""The lockfile as what an installer is told: one exact version and its hashes a line, and where to look for it.

Most lines name a version and leave the place to the user's indexes, because an installer's own cache knows files by
the index they came from. What has an index of its own (a label like `+cu121`, a remote archive) is named by its
address. Stored wheels lie in a directory that is searched first. Nothing is ever built: a package that is there as
source alone is one that cannot be had again.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from gitrun.capture.lock.making import SEEDS
from gitrun.capture.lock.pins import EDITABLE, Pin, normalised_version
from gitrun.capture.lock.pylock import VENDOR
from gitrun.replay.environments.recorded import Locked, Recorded

_SHA256 = re.compile(r"[0-9a-f]{64}")
_URL = re.compile(r"(?:https?|file)://[\x21-\x7e]+")
_WHEEL = re.compile(r"[\w.!+-]+\.whl")


class Wanted(NamedTuple):
    """One distribution to install: its hashes, its address where one is known, and the line of its stored wheel.

    `direct`: the address is the only place, or the better one.
    """

    pin: Pin
    hashes: tuple[str, ...]
    url: str | None = None
    direct: bool = False
    stored: dict[str, Any] | None = None

    def line(self, by_url: bool) -> str:
        """The line of a requirements file; `by_url` names the address where there is one."""
        hashes = "".join(f" --hash=sha256:{digest}" for digest in self.hashes)
        if self.stored is None and self.url is not None and (by_url or self.direct):
            return f"{self.pin.name} @ {self.url}{hashes}\n"
        return f"{self.pin.requirement}{hashes}\n"


class Requirements(NamedTuple):
    """What to install, the installers among it that may come with Python itself, and why something cannot be had."""

    wanted: tuple[Wanted, ...]
    seeds: tuple[Pin, ...]
    problems: tuple[str, ...]


def requirements(recorded: Recorded, locked: Locked) -> Requirements:
    """What has to be installed for `recorded`."""
    wanted: list[Wanted] = []
    seeds: list[Pin] = []
    problems = [f"{name} has no version that could be installed" for name in recorded.unpinned]
    for pin in recorded.pins:
        if pin.origin == EDITABLE:
            continue
        package = locked.packages.get(pin.name)
        if package is None and pin.name in SEEDS:
            seeds.append(pin)
            continue
        found = _wanted(pin, package, locked.vendored.get(pin.name))
        if isinstance(found, str):
            problems.append(f"{pin.name} {pin.version} {found}")
        else:
            wanted.append(found)
    return Requirements(tuple(wanted), tuple(seeds), tuple(problems))


def _wanted(pin: Pin, package: dict[str, Any] | None, stored: dict[str, Any] | None) -> Wanted | str:
    """What to install for a pin, or why it cannot be."""
    if package is None:
        return "is not in the lockfile"
    if normalised_version(package.get("version", pin.version)) != pin.version:
        return f"is {package.get('version')} in the lockfile"
    wheels = [wheel for wheel in package.get("wheels") or [] if isinstance(wheel, dict)]
    if stored is not None and any(str(wheel.get("path", "")).startswith(f"{VENDOR}/") for wheel in wheels):
        digest, name = stored.get("sha256"), stored.get("wheel")
        if _digest(digest) and isinstance(name, str) and _WHEEL.fullmatch(name):
            return Wanted(pin, (str(digest),), stored=stored)
        return "is stored as a wheel whose line cannot be read"
    if isinstance(archive := package.get("archive"), dict):
        digest, url = (archive.get("hashes") or {}).get("sha256"), archive.get("url")
        if not (_digest(digest) and _is_url(url)):
            return "came from an archive without a sha256"
        if not re.sub(r"[?#].*", "", str(url)).endswith(".whl"):
            return "came from an archive that is no wheel, and nothing is built"
        return Wanted(pin, (str(digest),), str(url), direct=True)
    if "vcs" in package:
        return "came from a commit of a version control system, and nothing is built"
    hashes = [str(digest) for wheel in wheels if _digest(digest := (wheel.get("hashes") or {}).get("sha256"))]
    if not hashes:
        return "is there as source alone, and nothing is built" if "sdist" in package else "has no wheel with a hash"
    urls = [str(wheel["url"]) for wheel in wheels if _is_url(wheel.get("url"))]
    only = urls[0] if len(wheels) == 1 and urls else None
    return Wanted(pin, tuple(dict.fromkeys(hashes)), only, direct=pin.label is not None and only is not None)


def _digest(value: Any) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _is_url(value: Any) -> bool:
    return isinstance(value, str) and _URL.fullmatch(value) is not None
