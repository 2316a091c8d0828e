"""Whether what was installed is what was recorded: by the same digests, and by every byte that they stand for.

An installer may take a wheel from a cache that something else wrote into, and would not notice. So each file is hashed
against its RECORD, and each RECORD against the digest in environment.json. What an installer says of where a wheel
came from is set to what was recorded: it is a fact of the environment, and its digest covers it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gitrun.capture.distributions import read_distributions
from gitrun.capture.facts import unwaiting
from gitrun.capture.lock.pins import Pin, read_pins
from gitrun.capture.record_file import BadRecord, is_bookkeeping, read_record, rows_of
from gitrun.model.listing import listed

_THREADS = max(1, min(4, os.cpu_count() or 1))


class Checked(NamedTuple):
    """`other` are distributions whose version is right and whose content is not known to be; `wrong` are problems.

    `damaged`: one of these is that files are not those of their wheels.
    """

    other: tuple[str, ...]
    wrong: tuple[str, ...]
    damaged: bool


def verify(site: str, expected: Sequence[Pin], absent: frozenset[str] = frozenset()) -> Checked:
    """Compare the distributions in `site` with those of the record; those in `absent` need not be there."""
    set_origins(site, expected)
    installed = read_distributions([os.fsencode(site)])
    found = {pin.name: pin for pin in read_pins(installed.distributions)[0]}
    wrong = [
        f"{name} {pin.version} was installed unasked"
        for name, pin in found.items()
        if name not in {p.name for p in expected}
    ]
    other: list[str] = []
    for pin in expected:
        have = found.get(pin.name)
        if have is None:
            if pin.name not in absent:
                wrong.append(f"{pin.name} {pin.version} was not installed")
        elif have.version != pin.version:
            wrong.append(f"{pin.name} is {have.version} instead of {pin.version}")
        elif pin.record is None or have.record != pin.record or have.tags != pin.tags:
            other.append(f"{pin.name} {pin.version}")
    damaged = damaged_files(site)
    if damaged:
        wrong.append(f"files are not those of their wheels: {listed(damaged)}")
    return Checked(tuple(other), tuple(wrong), bool(damaged))


def set_origins(site: str, expected: Sequence[Pin]) -> None:
    """Give each distribution the `direct_url.json` of the record, or none."""
    origins: Mapping[str, Any] = {pin.name: pin.direct for pin in expected}
    for name in sorted(os.listdir(site)):
        if not name.endswith(".dist-info"):
            continue
        path = os.path.join(site, name, "direct_url.json")
        pins = read_pins([{"name": name.partition("-")[0], "version": "0"}])[0]
        origin = origins.get(pins[0].name) if pins else None
        if origin is not None:
            with open(path, "w", encoding="utf-8") as file:
                json.dump(origin, file, sort_keys=True)
        elif os.path.lexists(path):
            os.unlink(path)


def damaged_files(site: str) -> list[str]:
    """The files of a directory of packages whose bytes are not what the RECORD of their distribution says."""
    rows: list[tuple[bytes, bytes]] = []
    damaged: list[str] = []
    for name in sorted(os.listdir(os.fsencode(site))):
        if not name.endswith(b".dist-info"):
            continue
        try:
            found = rows_of(read_record(os.path.join(os.fsencode(site), name)))
        except BadRecord:
            continue  # its digest is null, and so is not the recorded one
        for path, digest, _ in found:
            outside = path.startswith((b"../", b"/"))  # scripts, which name their interpreter
            if (
                digest.startswith(b"sha256=")
                and not outside
                and not path.endswith(b".pyc")
                and not is_bookkeeping(path)
            ):
                rows.append((path, digest[len(b"sha256=") :]))
    from concurrent.futures import ThreadPoolExecutor  # an environment that is kept is not hashed again

    with ThreadPoolExecutor(_THREADS) as threads:  # hashing lets go of the interpreter's lock
        results = threads.map(lambda row: _is_whole(os.path.join(os.fsencode(site), row[0]), row[1]), rows, chunksize=1)
        damaged += [os.fsdecode(path) for (path, _), whole in zip(rows, results, strict=True) if not whole]
    return damaged


def _is_whole(path: bytes, digest: bytes) -> bool:
    try:
        with open(path, "rb", buffering=0, opener=unwaiting) as file:
            found = hashlib.file_digest(file, "sha256").digest()
    except (OSError, ValueError):
        return False
    return base64.urlsafe_b64encode(found).rstrip(b"=") == digest.rstrip(b"=")
