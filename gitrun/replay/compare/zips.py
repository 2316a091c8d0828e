"""Zip archives: members by name; when they were put in, and in which order, says nothing.

An `.npz` is one, with a `.npy` for each array, and so is what `torch.save` writes, which has rules of its own
(`torch_zip`). Modes, comments and every other field have to agree.
"""

from __future__ import annotations

from gitrun.replay.compare.context import Context, worst
from gitrun.replay.compare.torch_zip import compare_torch, torch_stem
from gitrun.replay.compare.window import Window, compare_unpacked, same_stream
from gitrun.replay.compare.zip_members import STORED, Archive, Member, read_zip
from gitrun.replay.levels import SAME_BYTES, Finding, Level, weakest


def fits(path: bytes, head: bytes) -> bool:
    """Whether a content begins like a zip archive with members."""
    return head.startswith(b"PK\x03\x04")


def compare_zip(path: bytes, a: Window, b: Window, context: Context) -> Finding:
    """What two zip archives have in common."""
    left, right = read_zip(a), read_zip(b)
    if left.comment != right.comment:
        return Finding(Level.DIFFERS, "the comments of the two archives differ", "the comment")
    stems = torch_stem(left), torch_stem(right)
    if stems[0] is not None and stems[1] is not None:
        return compare_torch(left, right, stems[0], stems[1], context)
    if left.members.keys() != right.members.keys():
        name = show(min(left.members.keys() ^ right.members.keys()))
        return Finding(Level.DIFFERS, f"{name} is in one of the archives only", name)
    findings = [(show(name), compare_member(each, right.members[name], context)) for name, each in left.members.items()]
    found = worst(findings, "members")
    if found is None:
        return Finding(Level.SEMANTIC, f"the same members, only {_what_differs(left, right)} differ", "the directory")
    return found._replace(level=weakest((Level.SEMANTIC, found.level)))


def compare_member(a: Member, b: Member, context: Context) -> Finding:
    """What two members have in common, checksums checked; their times are nobody's business."""
    if a.fixed != b.fixed:
        return Finding(Level.DIFFERS, "its mode, its comment or another field of the archive differs")
    if a.method != STORED or b.method != STORED:
        return compare_unpacked(a.name, a.unpacked, b.unpacked, context)
    if same_stream(a.unpacked(), b.unpacked()):
        return SAME_BYTES
    for member in (a, b):
        check(member)
    return context.inside(a.name, a.data, b.data)


def check(member: Member) -> None:
    """Raise NotThis for a damaged member."""
    for _ in member.unpacked():
        pass  # its last piece is followed by the check


def show(name: bytes) -> str:
    """A member's name as text for a person."""
    text = name.decode(errors="replace")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _what_differs(a: Archive, b: Archive) -> str:
    pairs = [(each, b.members[name]) for name, each in a.members.items()]
    words = []
    if any(x.times != y.times for x, y in pairs):
        words.append("times")
    if list(a.members) != list(b.members):
        words.append("their order")
    return " and ".join(words) or "compression or padding"
