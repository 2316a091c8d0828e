"""Wheels made again of installed distributions: what no index has would otherwise be lost with the environment.

RECORD says which files came from the wheel, and the metadata directory is nearly all of what a wheel has beside
them. What an installer wrote itself is left out, so that installing the wheel again gives the same canonical RECORD
digest. The archive is not compressed and carries no times: the store compresses, finds what two versions share, and
two runs of one environment vendor the same bytes.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from gitrun.capture.facts import text_path, unwaiting
from gitrun.capture.lock.pins import Pin
from gitrun.capture.lock.places import Place, compress_tags
from gitrun.capture.lock.running import GivenUp
from gitrun.capture.record_file import BadRecord, canonical_record, is_bookkeeping, read_record, rows_of

if TYPE_CHECKING:
    from gitrun.store.ingest import Session

_EPOCH = (1980, 1, 1, 0, 0, 0)
_PIECE = 1 << 20
_ENTRY_BYTES = 256  # what a file costs beside its content, about


class NotVendored(Exception):
    """The distribution cannot be made a wheel again; the message says why."""


class File(NamedTuple):
    """A file of a wheel: its name there, where it lies, and whether its first line names the interpreter."""

    name: str
    path: bytes
    script: bool = False


class Bundle(NamedTuple):
    """A wheel that can be made: its name, its files, its RECORD and its size in bytes, about."""

    pin: Pin
    name: str
    files: list[File]
    record: bytes
    record_name: str
    bytes: int


def plan_wheel(pin: Pin, place: Place | None) -> Bundle:
    """What the wheel of a distribution will hold; raises NotVendored."""
    tags = compress_tags(pin.tags)
    if place is None or tags is None:
        raise NotVendored("its files cannot be found" if place is None else "it has no WHEEL file")
    rows = _rows(place, pin)
    metadata = os.fsdecode(place.metadata)
    stem = metadata.removesuffix(".dist-info")
    files, kept = [], []
    for row in rows:
        name = row[0]
        if _is_outside(name):
            if (file := _outside(name, place, stem)) is not None:
                files.append(file)
        elif not name.endswith(".pyc") and not is_bookkeeping(os.fsencode(name), place.metadata):
            files.append(File(name, os.path.join(place.site, os.fsencode(name))))
            kept.append(row)
    size = 0
    for file in files:
        size += _size(file) + _ENTRY_BYTES + 2 * len(file.name)
    lines = "".join(f"{_quoted(row[0])},{row[1]},{row[2]}\n" for row in sorted(kept))
    record_name = f"{metadata}/RECORD"
    name = f"{re.sub(r'[-_.]+', '_', pin.name)}-{pin.version}-{tags}.whl"
    record = f"{lines}{_quoted(record_name)},,\n".encode("utf-8", "surrogateescape")
    return Bundle(pin, name, sorted(files), record, record_name, size + len(record))


def store_wheel(bundle: Bundle, session: Session, scratch: str, stop: Callable[[], bool]) -> dict[str, Any]:
    """Puts the wheel into the store; its line in `vendored.jsonl`. Raises NotVendored, GivenUp, OSError or DiskFull."""
    import tempfile  # heavy, and most environments have nothing to vendor

    with tempfile.TemporaryFile(dir=scratch) as file:
        write_wheel(bundle, file, stop)
        file.flush()
        os.lseek(file.fileno(), 0, os.SEEK_SET)  # the store reads from where the descriptor is
        content = session.put_file(file.fileno())
    return {
        "name": bundle.pin.name,
        "version": bundle.pin.version,
        "wheel": bundle.name,
        "bytes": content.bytes,
        "sha256": content.sha256,
        "chunks": [[blob, length] for blob, length in content.chunks],
    }


def write_wheel(bundle: Bundle, file: IO[bytes], stop: Callable[[], bool]) -> None:
    """Write the wheel to a file; raises NotVendored, and GivenUp when `stop` says so."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for entry in bundle.files:
            try:
                with open(entry.path, "rb", opener=unwaiting) as source:
                    facts = os.fstat(source.fileno())
                    with archive.open(_info(entry.name, facts.st_mode, facts.st_size), "w") as target:
                        for piece in _pieces(source, entry.script):
                            if stop():
                                raise GivenUp
                            target.write(piece)
            except (OSError, ValueError) as problem:  # a name that is no UTF-8 is one of the second kind
                raise NotVendored(f"{text_path(entry.path)}: {problem}") from problem
        archive.writestr(_info(bundle.record_name, 0o644), bundle.record)


def _info(name: str, mode: int, size: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.file_size = size
    info.create_system = 3
    info.external_attr = (stat.S_IFREG | (0o755 if mode & stat.S_IXUSR else 0o644)) << 16
    return info


def _pieces(source: IO[bytes], script: bool) -> Iterator[bytes]:
    piece = source.read(_PIECE)
    if script and piece.startswith(b"#!"):
        piece = b"#!python" + piece[piece.find(b"\n") :]  # which an installer replaces by its interpreter
    while piece:
        yield piece
        piece = source.read(_PIECE)


def _rows(place: Place, pin: Pin) -> list[tuple[str, str, str]]:
    try:
        record = read_record(os.path.join(place.site, place.metadata))
        if pin.record is not None and canonical_record(record) != pin.record:
            raise NotVendored("what is installed now is something else")
        rows = [(os.fsdecode(path), text_path(digest), text_path(size)) for path, digest, size in rows_of(record)]
    except BadRecord as problem:
        raise NotVendored(f"RECORD: {problem}") from problem
    if any(not path and (digest or size) for path, digest, size in rows):
        raise NotVendored("its RECORD cannot be read")
    return [row for row in rows if row[0]]


def _is_outside(name: str) -> bool:
    return name.startswith("/") or ".." in name.split("/")


def _outside(name: str, place: Place, stem: str) -> File | None:
    """A script or a data file of the prefix; the wrappers of entry points are written anew by every installer."""
    path = os.path.normpath(os.path.join(place.site, os.fsencode(name)))
    prefix = os.path.dirname(os.path.dirname(os.path.dirname(place.site)))
    if name.startswith("/") or not path.startswith(prefix + b"/"):
        return None
    inside = os.fsdecode(path[len(prefix) + 1 :])
    top, _, rest = inside.partition("/")
    if top in ("bin", "Scripts") and "/" not in rest:
        if rest in _entry_points(place):
            return None
        return File(f"{stem}.data/scripts/{rest}", path, script=True)
    return None if inside.endswith(".pyc") else File(f"{stem}.data/data/{inside}", path)


def _entry_points(place: Place) -> set[str]:
    try:
        with open(os.path.join(place.site, place.metadata, b"entry_points.txt"), "rb", opener=unwaiting) as file:
            text = file.read(_PIECE).decode("utf-8", "replace")
    except OSError:
        return set()
    return set(re.findall(r"(?m)^\s*([^\s=\[#;]+)\s*=", text))


def _size(file: File) -> int:
    try:
        facts = os.stat(file.path)
    except OSError as problem:
        raise NotVendored(f"{file.name}: {problem.strerror}") from problem
    if not stat.S_ISREG(facts.st_mode):
        raise NotVendored(f"{file.name} is no file")
    return facts.st_size


def _quoted(name: str) -> str:
    return f'"{name.replace(chr(34), chr(34) * 2)}"' if re.search(r'[",\r\n]', name) else name


def choose(bundles: Iterable[Bundle], limit_bytes: int) -> tuple[list[Bundle], list[Bundle]]:
    """Those that fit the bound, the small ones first, and those that do not."""
    fitting, beyond, used = [], [], 0
    for bundle in sorted(bundles, key=lambda bundle: (bundle.bytes, bundle.pin.name)):
        if used + bundle.bytes <= limit_bytes:
            used += bundle.bytes
            fitting.append(bundle)
        else:
            beyond.append(bundle)
    return fitting, beyond
