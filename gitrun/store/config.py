"""Who this store is: made once, by whichever process comes first, and then only read.

The writer id names what this clone says in annotations, so two clones must never share one. A
copied repository brings its config along, and notices: the config is bound to the device and inode
of its directory, and where those differ a new id is drawn. (The path is noted for people; it does
not decide, or a repository mounted at two places would draw a new id at every change of place.)
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from gitrun.errors import DamagedStore, NewerFormat, from_os_error
from gitrun.files.locks import FileLock
from gitrun.files.write import make_dirs, write_file
from gitrun.model import canonical
from gitrun.model.ids import ALPHABET
from gitrun.store import chunking
from gitrun.store.chunking import Chunking

FORMAT = 1
KNOWN_FEATURES: frozenset[str] = frozenset()
_WRITER_LENGTH = 8
_MAX_BYTES = 1 << 20


class StoreConfig(NamedTuple):
    """The store's writer id and how it cuts files."""

    writer: str
    chunking: Chunking


def load_or_create(gitrun_dir: str) -> StoreConfig:
    """The config of the store in `gitrun_dir`, made (or bound anew, after a copy) when it has to be."""
    path = os.path.join(gitrun_dir, "config.json")
    fields = _read(path)
    if fields is None or not _is_bound(fields, gitrun_dir):
        make_dirs(gitrun_dir)
        # Sixteen first runs at once must agree on one writer.
        with FileLock(os.path.join(gitrun_dir, "config.lock")):
            fields = _read(path)
            if fields is None or not _is_bound(fields, gitrun_dir):
                fields = _bind(fields or _new_fields(), gitrun_dir)
                write_file(path, canonical.encode(fields))
    return _parse(fields, path)


def _read(path: str) -> dict[str, Any] | None:
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise from_os_error(problem, "reading the store's config") from problem
    try:
        fields = canonical.decode(data, _MAX_BYTES)
    except canonical.DecodeProblem as problem:
        raise DamagedStore(f"E029 {path} cannot be read: {problem}") from problem
    if type(fields) is not dict:
        raise DamagedStore(f"E029 {path} is not an object")
    _check_readable(fields, path)
    return fields


def _check_readable(fields: dict[str, Any], path: str) -> None:
    version, requires = fields.get("format"), fields.get("requires", [])
    if type(version) is not int or type(requires) is not list:
        raise DamagedStore(f"E029 {path} does not state its format")
    unknown = [feature for feature in requires if feature not in KNOWN_FEATURES]
    if version > FORMAT or unknown:
        needs = f"format {version}" + "".join(f", {feature}" for feature in unknown)
        raise NewerFormat(f"E021 {path} needs {needs}", next="update gitrun")


def _parse(fields: dict[str, Any], path: str) -> StoreConfig:
    writer = fields.get("writer")
    if type(writer) is not str or len(writer) != _WRITER_LENGTH or not set(writer) <= set(ALPHABET):
        raise DamagedStore(f"E029 {path} has no valid writer id")
    return StoreConfig(writer, chunking.from_json(fields.get("chunking")))


def _new_fields() -> dict[str, Any]:
    return {"format": FORMAT, "requires": [], "chunking": Chunking().to_json()}


def _bind(fields: dict[str, Any], gitrun_dir: str) -> dict[str, Any]:
    place = os.stat(gitrun_dir)
    writer = "".join(ALPHABET[byte & 31] for byte in os.urandom(_WRITER_LENGTH))
    bound = {"path": os.path.realpath(gitrun_dir), "device": place.st_dev, "inode": place.st_ino}
    return {**fields, "writer": writer, "bound": bound}


def _is_bound(fields: dict[str, Any], gitrun_dir: str) -> bool:
    place = os.stat(gitrun_dir)
    bound = fields.get("bound")
    return type(bound) is dict and (bound.get("device"), bound.get("inode")) == (place.st_dev, place.st_ino)
