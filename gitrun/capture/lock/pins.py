"""What has to be locked: the installed distributions as exact pins, and where each one came from.

Names and versions come out of files that anybody may have written, and end up in a requirements file. So a pin
exists only where `packaging` agrees that name and version are ones; the rest is named, and not locked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from gitrun.capture.record_file import normalised
from gitrun.model.listing import listed

INDEX, VCS, ARCHIVE, FILES, EDITABLE = "index", "vcs", "archive", "files", "editable"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_REMOTE = ("http://", "https://")
_LABEL = re.compile(r"cpu|xpu|cu[0-9]{2,3}|rocm[0-9]+(?:\.[0-9]+)*")


class Pin(NamedTuple):
    """One installed distribution: normalised name, version, wheel tags, canonical RECORD digest, and its origin.

    `origin` is where it came from: an index, a version control system, a remote archive, local files or a directory
    that it is edited in; `direct` is PEP 610's account of it.
    """

    name: str
    version: str
    tags: frozenset[str] = frozenset()
    record: str | None = None
    origin: str = INDEX
    direct: dict[str, Any] | None = None

    @property
    def requirement(self) -> str:
        """The pin as a line of a requirements file."""
        return f"{self.name}=={self.version}"

    @property
    def label(self) -> str | None:
        """`cu121` or `cpu` of a version like 2.5.1+cu121, whose wheels are on an index of their own."""
        label = _LABEL.match(self.version.partition("+")[2])
        return label[0] if label else None


def read_pins(distributions: Iterable[Any]) -> tuple[list[Pin], list[str]]:
    """The pins of an environment's distributions by name, and one sentence about those that cannot be pinned."""
    pins, refused = [], []
    for distribution in distributions:
        pin = _pin(distribution) if isinstance(distribution, dict) else None
        if pin is None:
            refused.append(str(distribution.get("name") if isinstance(distribution, dict) else distribution)[:80])
        else:
            pins.append(pin)
    problems = [f"no name and version that could be locked: {listed(refused)}"] if refused else []
    return sorted(pins, key=lambda pin: pin.name), problems


def normalised_version(text: Any) -> str | None:
    """A version in its normal form, None for what is none."""
    from packaging.version import InvalidVersion, Version  # never on the way to a spawn

    try:
        return str(Version(text))
    except (InvalidVersion, TypeError):
        return None


def normalised_name(text: Any) -> str | None:
    """A distribution's name in its normal form, None for what is none."""
    if not isinstance(text, str) or len(text) > 200 or not _NAME.fullmatch(text):
        return None
    return normalised(text)


def _pin(distribution: dict[str, Any]) -> Pin | None:
    name = normalised_name(distribution.get("name"))
    version = normalised_version(distribution.get("version"))
    if name is None or version is None:
        return None
    tags = frozenset(tag for tag in distribution.get("tags") or [] if isinstance(tag, str))
    record = distribution.get("record")
    direct = distribution.get("direct_url")
    direct = direct if isinstance(direct, dict) and direct else None
    return Pin(name, version, tags, record if isinstance(record, str) else None, _origin(direct), direct)


def _origin(direct: dict[str, Any] | None) -> str:
    if direct is None:
        return INDEX
    directory = direct.get("dir_info")
    if isinstance(directory, dict):
        return EDITABLE if directory.get("editable") else FILES
    if not str(direct.get("url")).startswith((*_REMOTE, "ssh://", "git://", "git+")):
        return FILES
    return VCS if isinstance(direct.get("vcs_info"), dict) else ARCHIVE
