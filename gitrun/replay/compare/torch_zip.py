"""What `torch.save` writes: a zip with a pickle, and a file for the bytes of each tensor.

The directory inside is named like the file was, so `epoch3.pt` and `last.pt` of one state differ in every
header. Tensors are compared by the types that the pickle gives them; nothing is unpickled.
"""

from __future__ import annotations

from gitrun.replay.compare.arrays import Tensor, compare_tensor
from gitrun.replay.compare.context import Context, NotThis, worst
from gitrun.replay.compare.floats import Kind
from gitrun.replay.compare.pickle_walk import MAX_BYTES, Storages, compare_pickles, read_storages
from gitrun.replay.compare.window import same_stream
from gitrun.replay.compare.zip_members import STORED, Archive, Member
from gitrun.replay.levels import Finding, Level, weakest

_PICKLE, _DATA, _ORDER = b"data.pkl", b"data/", b"byteorder"
# A checksum that torch makes of all other members.
_CHECKSUM = b".data/serialization_id"


def torch_stem(archive: Archive) -> bytes | None:
    """The directory that everything lies in, where the archive is a checkpoint of torch; None otherwise."""
    stem = next(iter(archive.members), b"").partition(b"/")[0] + b"/"
    is_one = stem + _PICKLE in archive.members and all(name.startswith(stem) for name in archive.members)
    return stem if is_one and all(each.method == STORED for each in archive.members.values()) else None


def compare_torch(a: Archive, b: Archive, a_stem: bytes, b_stem: bytes, context: Context) -> Finding:
    """What two checkpoints have in common."""
    left, right = _by_name(a, a_stem), _by_name(b, b_stem)
    if left.keys() != right.keys():
        only = min(left.keys() ^ right.keys()).decode(errors="replace")
        return Finding(Level.DIFFERS, f"{only} is in one of the checkpoints only", only)
    apart = []
    for name, each in left.items():
        if each.fixed != right[name].fixed:
            raise NotThis("headers of two forms")
        if not same_stream(each.unpacked(), right[name].unpacked()):
            apart.append(name)
    if not apart:
        what = "the archive's name inside" if a_stem != b_stem else "times, order or padding"
        return Finding(Level.SEMANTIC, f"the same tensors and values, only {what} differ", "the directory")
    found = worst(_findings(left, right, apart, context), "differing members")
    return (
        Finding(Level.DIFFERS, "members differ")
        if found is None
        else found._replace(level=weakest((Level.SEMANTIC, found.level)))
    )


def _by_name(archive: Archive, stem: bytes) -> dict[bytes, Member]:
    return {name.removeprefix(stem): member for name, member in archive.members.items()}


def _findings(
    a: dict[bytes, Member], b: dict[bytes, Member], apart: list[bytes], context: Context
) -> list[tuple[str, Finding]]:
    """What each member that differs has in common with the other one."""
    for name in apart:
        for member in (a[name], b[name]):
            for _ in member.unpacked():
                pass  # to its end, where its checksum is looked at
    pickles = a[_PICKLE].data.all(MAX_BYTES), b[_PICKLE].data.all(MAX_BYTES)
    storages = tuple(read_storages(pickle) for pickle in pickles)
    values = [name for name in apart if name != _CHECKSUM]
    findings = []
    for name in values or apart:
        text = name.decode(errors="replace")
        if name == _PICKLE:
            findings.append((text, compare_pickles(*pickles, context.tolerance)))
        elif name.startswith(_DATA):
            findings.append(_storage(text, a, b, (storages[0], storages[1]), context))
        else:
            findings.append((text, Finding(Level.DIFFERS, "not the same bytes")))
    return findings


def _storage(
    name: str, a: dict[bytes, Member], b: dict[bytes, Member], storages: tuple[Storages, Storages], context: Context
) -> tuple[str, Finding]:
    """The finding on the bytes of one tensor, under its name where the pickle has one."""
    key = name.removeprefix(_DATA.decode())
    tensors = []
    for side, told in zip((a, b), storages, strict=True):
        kind = told.kinds.get(key)
        data = side[name.encode()].data
        tensors.append(_tensor(kind if _is_little(side) else None, data.size, side[name.encode()]))
    label = storages[0].labels.get(key)
    shown = f"{name} ({label})" if label else name
    found = compare_tensor(tensors[0], tensors[1], context.tolerance)
    if found.level is Level.BIT:
        raise NotThis("a member that changed while it was read")
    return shown, found


def _tensor(kind: Kind | None, size: int, member: Member) -> Tensor:
    if kind is None or size % kind.value_bytes:
        return Tensor("bytes", (size,), None, 1, member.data)
    return Tensor(kind.name, (size // kind.value_bytes,), kind, kind.value_bytes, member.data)


def _is_little(side: dict[bytes, Member]) -> bool:
    order = side.get(_ORDER)  # older checkpoints do not say, and are little-endian
    return order is None or order.data.at_most(0, 8) == b"little"
