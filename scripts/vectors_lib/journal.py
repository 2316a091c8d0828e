"""Vectors of the journal: values and their frames, a file cut in a frame, a console stream with a gap, metrics."""

from __future__ import annotations

from typing import Any

from gitrun.child import points
from gitrun.child.frames import frame, pack_value
from gitrun.model import canonical
from gitrun.recording.spool import HEAD

VALUES: list[Any] = [
    None, True, False, 0, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32,
    -1, -32, -33, -128, -129, -32769, -(2**31) - 1, 0.5, -1e300,
    "", "loss", "ä" * 40, b"", b"\x00\xff", [1, [2, "x"]], {"name": "loss", "value": 0.25},
]  # fmt: skip


def vectors() -> dict[str, bytes]:
    """Each vector's path below spec/vectors/journal, and its bytes."""
    good = frame(pack_value([1, "one"])) + frame(pack_value([2, "two"]))
    return {
        "frames.json": canonical.encode([case(value) for value in VALUES]),
        "torn": good + frame(pack_value([3, "three"]))[:-2],
        "console": console(),
        "metrics": metrics(),
    }


def case(value: Any) -> dict[str, Any]:
    """A value (bytes in hex) and its frame in hex."""
    shown = {"bytes_hex": value.hex()} if type(value) is bytes else {"value": value}
    return {"frame_hex": frame(pack_value(value)).hex(), **shown}


def console() -> bytes:
    """A sealed console stream, before compression."""
    pieces = [[1, 1_795_502_400_000_000_000, b"step 1\n"], [2, 1_795_502_400_000_001_000, b"warning \xff\n"]]
    return HEAD + b"".join(frame(pack_value(piece)) for piece in pieces) + frame(pack_value({"gap": 12345}))


def metrics() -> bytes:
    """The journal of rank 1: two schemas, a torn frame that another thread wrote behind, and each kind of map."""
    began, names = 1_795_502_400_000_000_000, ("loss", "val/acc")
    two, one = points.packer(1, 2), points.packer(2, 1)
    torn = points.point(two, 2, began + 2, (0.125, 0.75))[:-5]
    values = {"kind": "config", "values": {"lr": 0.1, "act": "<function act>"}, "unserialisable": ["act"]}
    return b"".join((
        points.head(4711, began, 1),
        points.schema(1, names) + points.point(two, 0, began, (0.5, 0.25)),
        points.point(two, 1, began + 1, (float("nan"), float("-inf"))),
        torn,
        points.schema(2, ("ä",)) + points.point(one, -7, began + 3, (1.0,)),
        points.lone_point(None, began + 4, {"loss": 0.0625}, 1),
        points.missing(3, "No space left on device"),
        frame(pack_value(values)),
        frame(pack_value({"kind": "summary", "values": {"best": 0.75}, "unserialisable": []})),
        frame(pack_value({"kind": "of a later gitrun"})),
        frame(pack_value({"kind": "seed", "value": 7, "seeded": ["random"], "PYTHONHASHSEED": None})),
        points.point(two, 3, began + 5, (0.03125, 1.0))[:-1],
    ))  # fmt: skip
