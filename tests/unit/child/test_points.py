"""What gitrun.log takes for a name, a number and a step, and the bytes it makes of them."""

from __future__ import annotations

import decimal
import fractions
import math
import struct
import zlib
from typing import Any

import msgpack
import numpy
import pytest

from gitrun.child import points
from gitrun.child.points import MAX_NAME, numbers, rank_in, whole_step


class Scalar:
    """What torch, jax and tensorflow have in common."""

    def __init__(self, value: float, shape: tuple[int, ...] = ()) -> None:
        self.value, self.shape = value, shape

    def __float__(self) -> float:
        if self.shape:
            raise TypeError("only one-element tensors")
        return self.value

    def item(self) -> float:
        if self.shape not in ((), (1,)):
            raise RuntimeError("a tensor of several")
        return self.value


class Traced:
    def __float__(self) -> float:
        raise RuntimeError("this value only exists while a function is traced")

    @property
    def shape(self) -> tuple[int, ...]:
        raise RuntimeError("no shape either")


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1.0), (True, 1.0), (0.25, 0.25), (10**400, math.inf), (-(10**400), -math.inf), (math.inf, math.inf),
        (decimal.Decimal("0.5"), 0.5), (fractions.Fraction(1, 4), 0.25), (fractions.Fraction(10**400), math.inf),
        (numpy.float32(0.5), 0.5), (numpy.int8(-3), -3.0), (numpy.bool_(True), 1.0), (numpy.array(2.5), 2.5),
        (numpy.array([2.5]), 2.5), (Scalar(0.5), 0.5), (Scalar(0.5, (1,)), 0.5),
    ],
)  # fmt: skip
def test_whatever_a_float_can_be_made_of_is_a_number(value: Any, number: float) -> None:
    assert numbers({"x": value}) == ({"x": number}, [])


def test_nan_is_kept() -> None:
    found, odd = numbers({"x": math.nan, "y": numpy.float64("nan")})
    assert odd == [] and math.isnan(found["x"]) and math.isnan(found["y"])


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (None, "None"), ("0.3", "a str"), (b"1", "a bytes"), (1j, "a complex"), ([1.0], "a list"),
        (object(), "an object"), (Traced(), "a Traced"), (numpy.zeros((2, 3)), "a ndarray of shape (2, 3)"),
        (Scalar(1, (2,)), "a Scalar of shape (2,)"),
    ],
)  # fmt: skip
def test_what_is_no_number_is_left_out_and_named(value: Any, what: str) -> None:
    assert numbers({"loss": 1.0, "x": value}) == ({"loss": 1.0}, [("x", f"{what} is no number, and is left out")])


def test_names_of_dicts_in_dicts_are_joined() -> None:
    nested = {"train": {"loss": 1, "by class": {0: 0.5, 1: 0.25}}, "a/b": 2, "a": {"b": 3}, "none": {}}
    assert numbers(nested) == (
        {"train/loss": 1.0, "train/by class/0": 0.5, "train/by class/1": 0.25, "a/b": 3.0},
        [],
    )


def test_a_dict_that_holds_itself_ends() -> None:
    itself: dict[str, Any] = {"loss": 1.0}
    itself["x"] = itself
    found, odd = numbers(itself)
    assert found["x/loss"] == 1.0 and len(odd) == 1


@pytest.mark.parametrize("name", ["", "a\0b", "x" * (MAX_NAME + 1), "\ud800", "ä" * (MAX_NAME // 2 + 1)])
def test_names_that_cannot_be_kept(name: str) -> None:
    found, odd = numbers({name: 1.0, "loss": 2.0})
    assert found == {"loss": 2.0} and [one for one, _ in odd] == [name[:50]]


@pytest.mark.parametrize("values", [None, 3, "loss", ["loss"], 0.5])
def test_what_is_no_dict(values: Any) -> None:
    found, odd = numbers(values)
    assert found == {} and "is no dict" in odd[0][1]


@pytest.mark.parametrize(
    ("given", "step"),
    [
        (3, 3), (True, 1), (2.0, 2), (numpy.int8(7), 7), (numpy.float64(8), 8), (-1, -1), (2**63 - 1, 2**63 - 1),
        (2.5, None), (math.nan, None), (math.inf, None), ("3", None), (2**63, None), (numpy.zeros(2), None),
    ],
)  # fmt: skip
def test_a_step_is_an_integer_of_64_bits(given: Any, step: int | None) -> None:
    found = whole_step(given)
    assert found == step and type(found) is type(step)


@pytest.mark.parametrize(("number", "count"), [(1, 1), (127, 29), (128, 30), (4096, 31), (300, 9000)])
def test_msgpack_reads_the_frame_of_a_point(number: int, count: int) -> None:
    values = [index / 3 for index in range(count)]
    data = points.point(points.packer(number, count), -7, 1 << 60, values)
    length, crc = struct.unpack_from("<II", data)
    assert length == len(data) - 8 and crc == zlib.crc32(data[8:])
    found, numbers_of_it = msgpack.unpackb(data[8:])
    assert found == number and struct.unpack(f"<qq{count}d", numbers_of_it) == (-7, 1 << 60, *values)


def test_the_rank_is_the_launchers() -> None:
    assert rank_in({"SLURM_PROCID": "0", "RANK": "3"}) == 3  # torchrun in a Slurm step
    assert rank_in({"SLURM_PROCID": "0", "OMPI_COMM_WORLD_RANK": "1"}) == 1
    assert rank_in({"SLURM_PROCID": "2"}) == 2
    assert rank_in({"RANK": "first"}) is None and rank_in({"RANK": "-1"}) is None and rank_in({}) is None
