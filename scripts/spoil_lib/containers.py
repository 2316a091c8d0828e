"""Spoiled containers and arrays: the same values in another wrapping, and other values in the same one."""

from __future__ import annotations

import math
import struct

from scripts.spoil_lib.case import DIFFERS, SEMANTIC, TOLERANCE, Case, one
from scripts.spoil_lib.making import (
    events,
    gz,
    notebook,
    npy,
    npy_bits,
    npz,
    real,
    safetensors,
    tarred,
    zipped,
)

_MEMBERS = {"a.txt": b"one\n", "b.txt": b"two\n"}
_SWAPPED = {"b.txt": b"two\n", "a.txt": b"one\n"}
_OTHER = {"a.txt": b"one\n", "b.txt": b"three\n"}
_VALUES = [0.5, 1.5, -2.0]
_NEAR = [0.5, math.nextafter(1.5, 2), -2.0]
_SCALARS = ((1.0, 0, b"loss", 1.5), (2.0, 1, b"loss", 0.25))
_LATER = ((5.0, 0, b"loss", 1.5), (6.0, 1, b"loss", 0.25))
_QUIET_NAN, _OTHER_NAN = 0x7FF8000000000000, 0x7FF8000000000001
_ONE = 0x3FF0000000000000


def _packed() -> list[Case]:
    data = b"loss 0.5\n"
    return [
        one("containers", "gzip: the time", "a.txt.gz", gz(data), gz(data, mtime=2), SEMANTIC),
        one("containers", "gzip: the name inside", "a.txt.gz", gz(data), gz(data, name="b.txt"), SEMANTIC),
        one("containers", "gzip: the compression", "a.txt.gz", gz(data * 9), gz(data * 9, level=1), SEMANTIC),
        one("containers", "gzip: the content", "a.txt.gz", gz(data), gz(b"loss 0.6\n"), DIFFERS),
        one("containers", "gzip: bytes behind the end", "a.txt.gz", gz(data), gz(data) + b"x", DIFFERS),
        one("containers", "gzip: an empty member more", "a.txt.gz", gz(data), gz(data) + gz(b""), SEMANTIC),
        one("containers", "gzip: a csv with a last digit", "a.csv.gz", gz(b"x\n0.25\n"), gz(b"x\n0.2500001\n"),
            TOLERANCE),
        one("containers", "zip: new times", "a.zip", zipped(_MEMBERS), zipped(_MEMBERS, year=2027), SEMANTIC),
        one("containers", "zip: members in another order", "a.zip", zipped(_MEMBERS), zipped(_SWAPPED), SEMANTIC),
        one("containers", "zip: a member's content", "a.zip", zipped(_MEMBERS), zipped(_OTHER), DIFFERS, told="b.txt"),
        one("containers", "zip: new times and a member's content", "a.zip", zipped(_MEMBERS),
            zipped(_OTHER, year=2027), DIFFERS),
        one("containers", "zip: a member is missing", "a.zip", zipped(_MEMBERS), zipped({"a.txt": b"one\n"}), DIFFERS),
        one("containers", "zip: a member of another name", "a.zip", zipped(_MEMBERS),
            zipped({"a.txt": b"one\n", "c.txt": b"two\n"}), DIFFERS),
        one("containers", "zip: a member's mode", "a.zip", zipped(_MEMBERS, external_attr=0o644 << 16),
            zipped(_MEMBERS, external_attr=0o755 << 16), DIFFERS),
        one("containers", "tar: times", "a.tar", tarred(_MEMBERS), tarred(_MEMBERS, mtime=2), SEMANTIC),
        one("containers", "tar: the owner", "a.tar", tarred(_MEMBERS), tarred(_MEMBERS, uid=1000), SEMANTIC),
        one("containers", "tar: a member's mode", "a.tar", tarred(_MEMBERS), tarred(_MEMBERS, mode=0o755), DIFFERS),
        one("containers", "tar: a member's content", "a.tar", tarred(_MEMBERS), tarred(_OTHER), DIFFERS),
        one("containers", "tar.gz: both times", "a.tar.gz", gz(tarred(_MEMBERS)), gz(tarred(_MEMBERS, mtime=2), 2),
            SEMANTIC),
        one("containers", "an npz in a tar.gz: new times", "a.tar.gz",
            gz(tarred({"m.npz": npz({"w": npy(_VALUES)})})),
            gz(tarred({"m.npz": npz({"w": npy(_VALUES)}, year=2027)})), SEMANTIC),
        one("containers", "an npz in a tar.gz: a value", "a.tar.gz",
            gz(tarred({"m.npz": npz({"w": npy(_VALUES)})})), gz(tarred({"m.npz": npz({"w": npy([0.5, 1.6, -2.0])})})),
            DIFFERS),
    ]  # fmt: skip


def _arrays() -> list[Case]:
    def array(name: str, now: bytes, verdict: str, was: bytes = npy(_VALUES), **more: object) -> Case:
        return one("arrays", f"npy: {name}", "a.npy", was, now, verdict, **more)

    return [
        array("one ULP", npy(_NEAR), TOLERANCE, told="ULP p99 1"),
        array("one ULP, and --rtol 0 --atol 0", npy(_NEAR), DIFFERS, options=("--rtol", "0", "--atol", "0")),
        array("a value", npy([0.5, 1.6, -2.0]), DIFFERS, told="[1]"),
        array("values in another order", npy([1.5, 0.5, -2.0]), DIFFERS),
        array("another shape", npy(_VALUES, (3, 1)), DIFFERS, told="[3, 1]"),
        array("float32 instead of float64", npy(_VALUES, descr="<f4"), DIFFERS),
        array("the other byte order", npy(_VALUES, descr=">f8"), DIFFERS),
        array("a newer header", npy(_VALUES, version=2), SEMANTIC),
        array("a value is NaN", npy([0.5, math.nan, -2.0]), DIFFERS),
        array("a value is infinite", npy([0.5, math.inf, -2.0]), DIFFERS),
        array("infinite with another sign", npy([-math.inf]), DIFFERS, npy([math.inf])),
        array("the payload of a NaN", npy_bits(_ONE, _OTHER_NAN), TOLERANCE, npy_bits(_ONE, _QUIET_NAN),
              told="other payloads"),
        array("the payload of a NaN, and --rtol 0 --atol 0", npy_bits(_ONE, _OTHER_NAN), TOLERANCE,
              npy_bits(_ONE, _QUIET_NAN), options=("--rtol", "0", "--atol", "0")),
        array("zero with another sign", npy([-0.0, 1.0]), TOLERANCE, npy([0.0, 1.0])),
        array("an integer", npy([1, 2, 4], descr="<i8"), DIFFERS, npy([1, 2, 3], descr="<i8")),
        one("arrays", "npz: new times", "a.npz", npz({"w": npy(_VALUES)}), npz({"w": npy(_VALUES)}, 2027), SEMANTIC),
        one("arrays", "npz: one ULP and new times", "a.npz", npz({"w": npy(_VALUES)}), npz({"w": npy(_NEAR)}, 2027),
            TOLERANCE),
        one("arrays", "npz: an array is missing", "a.npz", npz({"w": npy(_VALUES), "b": npy([1.0])}),
            npz({"w": npy(_VALUES)}), DIFFERS),
        one("arrays", "npz: two arrays swapped", "a.npz", npz({"w": npy([1.0]), "b": npy([2.0])}),
            npz({"w": npy([2.0]), "b": npy([1.0])}), DIFFERS),
        one("arrays", "safetensors: the order of the header", "a.safetensors", safetensors({"a": [1.0], "b": [2.0]}),
            safetensors({"b": [2.0], "a": [1.0]}), SEMANTIC),
        one("arrays", "safetensors: a value", "a.safetensors", safetensors({"a": [1.0]}), safetensors({"a": [1.1]}),
            DIFFERS),
        one("arrays", "safetensors: a tensor of another name", "a.safetensors", safetensors({"a": [1.0]}),
            safetensors({"b": [1.0]}), DIFFERS),
        one("arrays", "safetensors: the metadata", "a.safetensors", safetensors({"a": [1.0]}, {"format": "pt"}),
            safetensors({"a": [1.0]}, {"format": "np"}), DIFFERS),
        one("arrays", "safetensors: last places", "a.safetensors", real("a.safetensors"), real("near.safetensors"),
            TOLERANCE),
        one("arrays", "torch: the name that it was saved under", "a.pt", real("best.pt"), real("the_last_one.pt"),
            SEMANTIC, told="the archive's name inside"),
        one("arrays", "torch: last places", "a.pt", real("best.pt"), real("near.pt"), TOLERANCE),
        one("arrays", "torch: another epoch", "a.pt", real("best.pt"), real("epoch.pt"), DIFFERS, told="'epoch'"),
        one("arrays", "torch: cut off", "a.pt", real("best.pt"), real("best.pt")[:-7], DIFFERS),
    ]  # fmt: skip


def _documents() -> list[Case]:
    def board(name: str, now: bytes, verdict: str, **more: object) -> Case:
        return one("documents", f"TensorBoard: {name}", "events.out.tfevents.1.h.2.0", events(*_SCALARS), now, verdict,
                   **more)  # fmt: skip

    damaged = bytearray(events(*_SCALARS))
    damaged[-1] ^= 1
    near = struct.unpack("<f", struct.pack("<I", struct.unpack("<I", struct.pack("<f", 0.25))[0] + 1))[0]
    return [
        board("times", events(*_LATER), SEMANTIC, told="only the times of day"),
        board("a scalar", events(_LATER[0], (6.0, 1, b"loss", 0.3)), DIFFERS, told="'loss' at step 1"),
        board("a scalar, one ULP", events(_LATER[0], (6.0, 1, b"loss", near)), TOLERANCE),
        board("a step", events(_SCALARS[0], (2.0, 2, b"loss", 0.25)), DIFFERS),
        board("a tag", events(_SCALARS[0], (2.0, 1, b"cost", 0.25)), DIFFERS),
        board("an event is missing", events(_SCALARS[0]), DIFFERS, told="ends after 1 event"),
        board("an event twice", events(*_SCALARS, _SCALARS[1]), DIFFERS),
        board("a damaged checksum", bytes(damaged), DIFFERS),
        one("documents", "ipynb: execution counts", "a.ipynb", notebook(1), notebook(7), SEMANTIC),
        one("documents", "ipynb: ids of cells", "a.ipynb", notebook(identity="aa"), notebook(identity="bb"), SEMANTIC),
        one("documents", "ipynb: an output", "a.ipynb", notebook(), notebook(2, output="0.6"), DIFFERS, told="cell 1"),
        one("documents", "ipynb: a cell's source", "a.ipynb", notebook(), notebook(source="cost"), DIFFERS),
        one("documents", "svg: random ids and the date", "a.svg", real("a.svg"), real("b.svg"), SEMANTIC),
        one("documents", "svg: a line of the drawing", "a.svg", real("a.svg"), real("other.svg"), DIFFERS),
        one("documents", "pdf: the date", "a.pdf", real("a.pdf"), real("b.pdf"), SEMANTIC),
        one("documents", "pdf: a line of the drawing", "a.pdf", real("a.pdf"), real("other.pdf"), DIFFERS),
        one("documents", "png: a line of the drawing", "a.png", real("a.png"), real("other.png"), DIFFERS),
    ]


CASES = [*_packed(), *_arrays(), *_documents()]
