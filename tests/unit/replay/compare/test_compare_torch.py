"""Checkpoints of torch: floats by the types in the pickle, which is read and never run."""

from __future__ import annotations

import pickle
import struct
import zipfile
from pathlib import Path

import pytest

from gitrun.replay.compare.context import NotThis
from gitrun.replay.compare.pickle_walk import read_storages
from tests.unit.replay.compare.pairs import found, level, zipped

FILES = Path(__file__).parent / "files"
TYPED, UNTYPED = b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch._utils\n_rebuild_tensor_v3\n"


def storage(kind: bytes, key: bytes = b"0", count: int = 2) -> bytes:
    """The opcodes that refer to a storage."""
    return b"(X\x07\0\0\0storagectorch\n" + kind + b"\nX\1\0\0\0" + key + b"X\3\0\0\0cpuK" + bytes([count]) + b"tQ"


def tensor(kind: bytes, maker: bytes = TYPED, key: bytes = b"0", count: int = 2) -> bytes:
    return maker + b"(" + storage(kind, key, count) + b"K\0K" + bytes([count]) + b"\x85K\1\x85\x89NtR"


def checkpoint(told: bytes, data: bytes, stem: str = "m", **more: bytes) -> bytes:
    members = {f"{stem}/data.pkl": b"\x80\2" + told + b".", f"{stem}/byteorder": b"little", f"{stem}/data/0": data}
    return zipped({**members, **{f"{stem}/{name}": content for name, content in more.items()}}, 1980)


ONE, NEAR = struct.pack("<2f", 1, 2), struct.pack("<2f", 1, 2.000001)


def test_floats_are_measured_and_integers_are_not() -> None:
    one = checkpoint(tensor(b"FloatStorage"), ONE)
    assert level("m.pt", one, checkpoint(tensor(b"FloatStorage"), NEAR)) == "tolerance"
    assert level("m.pt", one, checkpoint(tensor(b"FloatStorage"), ONE, "other")) == "semantic"
    assert level("m.pt", one, checkpoint(tensor(b"FloatStorage"), NEAR, "other")) == "tolerance"
    assert level("m.pt", one, checkpoint(tensor(b"DoubleStorage"), ONE)) == "differs"
    for kind in (b"IntStorage", b"LongStorage", b"QInt32Storage", b"UntypedStorage", b"NoSuchStorage"):
        assert level("m.pt", checkpoint(tensor(kind), ONE), checkpoint(tensor(kind), NEAR)) == "differs"


@pytest.mark.parametrize(
    "told",
    [
        storage(b"FloatStorage"),  # mentioned, and no tensor made of it
        tensor(b"FloatStorage", b"cevil\nmake\n"),
        tensor(b"FloatStorage", UNTYPED),
        tensor(b"FloatStorage") + storage(b"FloatStorage") + b"\x86",  # somebody else has it as well
        tensor(b"FloatStorage") + tensor(b"IntStorage") + b"\x86",  # of two types
        b"}(" + tensor(b"FloatStorage") + b"tQ",
        tensor(b"FloatStorage") + b"0" + tensor(b"FloatStorage"),  # an opcode that checkpoints do not have
    ],
)
def test_a_storage_of_which_somebody_else_decides_is_exact(told: bytes) -> None:
    assert level("m.pt", checkpoint(told, ONE), checkpoint(told, NEAR)) == "differs"


def test_a_pickle_is_compared_opcode_by_opcode() -> None:
    def told(**values: object) -> bytes:
        return pickle.dumps(values, 2)[2:-1]

    one = checkpoint(told(loss=0.5, epoch=3), ONE)
    assert level("m.pt", one, checkpoint(told(loss=0.5000001, epoch=3), ONE)) == "tolerance"
    assert level("m.pt", one, checkpoint(told(loss=0.6, epoch=3), ONE)) == "differs"
    assert level("m.pt", one, checkpoint(told(loss=0.5, epoch=4), ONE)) == "differs"
    assert level("m.pt", one, checkpoint(told(loss=0.5, epochs=3), ONE)) == "differs"
    assert level("m.pt", one, checkpoint(told(loss="x", epoch=3), ONE)) == "differs"
    assert found("m.pt", one, checkpoint(told(loss=0.5, epoch=True), ONE)).first == "data.pkl: after 'epoch'"
    assert level("m.pt", one, checkpoint(told(loss=0.5000001, epoch=3) + b".N", ONE)) == "differs"


def test_nothing_in_a_pickle_runs(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path(tmp_path / "ran").mkdir, ())  # type: ignore[return-value]

    told = pickle.dumps([Evil(), 0.5], 2)[2:-1]
    near = pickle.dumps([Evil(), 0.5000001], 2)[2:-1]
    assert level("m.pt", checkpoint(told, ONE), checkpoint(near, ONE)) in ("tolerance", "differs")
    assert not (tmp_path / "ran").exists()


def test_members_count() -> None:
    one = checkpoint(tensor(b"FloatStorage"), ONE)
    assert level("m.pt", one, checkpoint(tensor(b"FloatStorage"), ONE, more=b"")) == "differs"
    assert level("m.pt", one, checkpoint(tensor(b"FloatStorage"), ONE[:4])) == "differs"
    big = one.replace(b"little", b"bigend")
    assert level("m.pt", one, big) == "differs"


def test_the_sum_of_a_checkpoint_alone_is_no_excuse() -> None:
    sums = [{".data/serialization_id": each} for each in (b"1", b"2")]
    told = tensor(b"FloatStorage")
    assert level("m.pt", checkpoint(told, ONE, **sums[0]), checkpoint(told, ONE, **sums[1])) == "differs"
    assert level("m.pt", checkpoint(told, ONE, **sums[0]), checkpoint(told, NEAR, **sums[1])) == "tolerance"


def test_types_of_a_real_checkpoint() -> None:
    with zipfile.ZipFile(FILES / "best.pt") as archive:
        told = read_storages(archive.read("best/data.pkl"))
        sizes = {name.removeprefix("best/data/"): len(archive.read(name)) for name in archive.namelist()}
    kinds = {kind.name for kind in told.kinds.values()}
    assert kinds == {"float32", "bfloat16", "float8_e4m3fn"}
    assert {"0.weight", "0.bias", "exp_avg", "bf16"} <= set(told.labels.values())
    assert all(sizes[key] % kind.value_bytes == 0 for key, kind in told.kinds.items())
    exact = set(told.labels) - set(told.kinds)
    assert {told.labels[key] for key in exact} == {"1.num_batches_tracked"}


def test_a_pickle_with_anything_else_is_not_read() -> None:
    for told in (b"\x80\2(lp0\n.", b"\x80\2I1\n.", b"\x80\2(ios\nsystem\n."):
        with pytest.raises(NotThis):
            read_storages(told)
