"""Names that no program writes twice: the ones a documented rule explains, and all that merely look like it.

TensorBoard puts the time, the host and the process into the name of a file, Hydra the time into that of a directory,
Lightning a counter that depends on what lay there before. Such a name says nothing about the result, and the place
that varies is known to the letter. Of any other name with a number in it nobody can know whether the number means
something (`epoch=3.ckpt`), so a mask of it helps to find what belongs together and explains nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

TENSORBOARD = "TensorBoard names it by time, host and process"
HYDRA = "Hydra names its directory by the time"
LIGHTNING = "Lightning counts its versions"
WANDB = "wandb names a run by time and a random id"


class Masked(NamedTuple):
    """A path with `*` where a rule says that it varies.

    `sites` are those places: the path before each, masked, and what stood there. `rule` is why, None without any.
    """

    path: bytes
    sites: tuple[tuple[bytes, bytes], ...]
    rule: str | None


_HYDRA_TIME = rb"\d{4}-\d{2}-\d{2}/\d{2}-\d{2}-\d{2}"
_RULES = (
    # name.time.host.process.counter, the counter stays
    (re.compile(rb"(?:\A|(?<=/))events\.out\.tfevents\.(\d+\.[^/]+?\.\d+)(?=\.\d+(?:\.v2)?\Z)"), TENSORBOARD),
    (re.compile(rb"(?:\A|(?<=/))events\.out\.tfevents\.(\d+\.[^/]*)\Z"), TENSORBOARD),
    (re.compile(rb"(?:\A|(?<=/))runs/([A-Z][a-z]{2}\d{2}_\d{2}-\d{2}-\d{2}_[^/]+)(?=/)"), TENSORBOARD),
    (re.compile(rb"(?:\A|(?<=/))(?:outputs|multirun)/(" + _HYDRA_TIME + rb")(?=/|\Z)"), HYDRA),
    (re.compile(rb"(?:\A|(?<=/))version_(\d+)(?=/)"), LIGHTNING),
    (re.compile(rb"(?:\A|(?<=/))(?:offline-)?run-(\d{8}_\d{6}-[a-z0-9]{8})(?=/|\Z)"), WANDB),
    (re.compile(rb"(?<=/)run-([a-z0-9]{8})\.wandb\Z"), WANDB),
)

_HINT = re.compile(rb"tfevents|runs/|outputs/|multirun/|version_|run-")  # in every path that a rule can be about
_UUID = re.compile(rb"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_TEMPORARY = re.compile(rb"(?<![A-Za-z0-9])tmp[a-z0-9_]{6,8}(?![a-z0-9_])")
_HEX = re.compile(rb"(?<![A-Za-z0-9])(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{6,}(?![A-Za-z0-9])")
_NUMBER = re.compile(rb"\d+")
_PIECES = re.compile(rb"(\d+)")


def explained(path: bytes) -> Masked:
    """A path with the places masked that a documented rule says vary."""
    if not _HINT.search(path):
        return Masked(path, (), None)
    found: list[tuple[int, int, str]] = []
    for pattern, rule in _RULES:
        for match in pattern.finditer(path):
            start, end = match.span(1)
            if all(end <= other or start >= until for other, until, _ in found):
                found.append((start, end, rule))
    if not found:
        return Masked(path, (), None)
    found.sort()
    masked, at, sites = b"", 0, []
    for start, end, _ in found:
        masked += path[at:start]
        sites.append((masked, path[start:end]))
        masked, at = masked + b"*", end
    return Masked(masked + path[at:], tuple(sites), found[0][2])


def is_hydra_time(site: bytes) -> bool:
    """Whether a masked place is the date and time that Hydra names a directory by."""
    return re.fullmatch(_HYDRA_TIME, site) is not None


def blurred(path: bytes, hosts: Sequence[bytes] = ()) -> bytes:
    """A path without all that may vary in a name: uuids, ids in hex, temporary names, hosts, numbers."""
    path = _TEMPORARY.sub(b"*", _UUID.sub(b"*", path))
    for host in hosts:
        if len(host) > 2:
            path = path.replace(host, b"*")
    return _NUMBER.sub(b"#", _HEX.sub(b"*", path))


def natural(path: bytes) -> list[tuple[int, bytes]]:
    """A key by which `v10` comes after `v9`."""
    return [(int(piece), b"") if piece.isdigit() else (-1, piece) for piece in _PIECES.split(path)]
