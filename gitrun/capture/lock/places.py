"""Where installed distributions lie: the directories of an interpreter, and the metadata directory of each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gitrun.capture.interpreter import read_interpreter
from gitrun.capture.lock.pins import normalised_name


class Place(NamedTuple):
    """An installed distribution on disk: the directory of its packages, and the name of its `*.dist-info` there."""

    site: bytes
    metadata: bytes


def site_directories(python: bytes, environ: Mapping[str, str], cwd: bytes) -> list[bytes]:
    """The directories in which this interpreter finds distributions, in the order of sys.path."""
    return read_interpreter(python, environ, cwd).sites


def find_distributions(sites: Iterable[bytes]) -> dict[str, Place]:
    """Every distribution with a `*.dist-info` by its normalised name; the first in the order of sys.path counts."""
    found: dict[str, Place] = {}
    for site in sites:
        try:
            names = os.listdir(site)
        except OSError:
            continue  # removed meanwhile
        for name in sorted(names):
            if name.endswith(b".dist-info"):
                stem = os.fsdecode(name).rpartition(".")[0]
                if normal := normalised_name(stem.partition("-")[0]):
                    found.setdefault(normal, Place(site, name))
    return found


def has_module(python: str, name: str) -> bool:
    """Whether an interpreter has a package of this name in its own directories."""
    sites = site_directories(os.fsencode(python), {}, b"/")
    return any(os.path.isdir(os.path.join(site, os.fsencode(name))) for site in sites)


def compress_tags(tags: Iterable[str]) -> str | None:
    """The tags of a WHEEL file as a wheel's name spells them; one of them where no name spells all."""
    parts = [tag.split("-") for tag in sorted(tags)]
    if not parts or any(len(part) != 3 or not all(re.fullmatch(r"\w+", word) for word in part) for part in parts):
        return None
    columns = [sorted(set(column)) for column in zip(*parts, strict=True)]
    if len(columns[0]) * len(columns[1]) * len(columns[2]) != len(parts):
        columns = [[word] for word in parts[0]]
    return "-".join(".".join(words) for words in columns)
