"""`CUDA_VISIBLE_DEVICES` on paper: which devices, in which order, and what is not certain."""

from __future__ import annotations

import pytest

from gitrun.capture.devices import Device, visible_devices

A, B, C = (Device(n, "H100", f"GPU-{uuid}-0000") for n, uuid in enumerate(("8932f937", "8932aaaa", "1234abcd")))
PARTS = tuple(Device(3, "H100 MIG", f"MIG-{n}fff-0000", gpu_instance=7 + n, compute_instance=0) for n in range(2))
DIVIDED = Device(3, "H100", "GPU-dddddddd-0000", instances=PARTS)
ALL = [A, B, C, DIVIDED]

CASES = [
    (None, [A, B, C, *PARTS]),
    ("", []),
    ("0", [A]),
    ("2,1", [C, B]),
    (" 1 , 0 ", [B, A]),
    ("0,2,-1,1", [A, C]),  # the example of CUDA's documentation
    ("-1", []),
    ("NoDevFiles", []),
    ("none", []),
    ("GPU-8932f", [A]),
    ("gpu-1234ABCD-0000,0", [C, A]),
    ("3", [PARTS[0]]),
    ("GPU-dddd", [PARTS[0]]),
    ("MIG-1fff", [PARTS[1]]),
    ("MIG-GPU-dddddddd-0000/8/0", [PARTS[1]]),
]


@pytest.mark.parametrize(("chosen", "expected"), CASES)
def test_words(chosen: str | None, expected: list[Device]) -> None:
    assert visible_devices(ALL, chosen) == (expected, [])


@pytest.mark.parametrize(
    ("chosen", "expected", "said"),
    [
        ("1,7,0", [B], "'7' names no device here"),
        ("GPU-8932", [], "names no device here"),  # two begin like this
        ("0,0", [A], "second time"),
        ("MIG-GPU-dddddddd-0000/9/0", [], "names no device"),
        ("MIG-", [], "names no device"),
        ("\N{SUPERSCRIPT TWO}", [], "names no device"),
        ("9" * 5000, [], "names no device"),
    ],
)
def test_a_word_that_names_nothing_ends_the_list(chosen: str, expected: list[Device], said: str) -> None:
    seen = visible_devices(ALL, chosen)
    assert seen.devices == expected
    assert len(seen.problems) == 1 and said in seen.problems[0]
    assert len(seen.problems[0]) < 300


def test_indices_of_unequal_devices_are_not_certain() -> None:
    other = Device(1, "T4", "GPU-ffff")
    assert "PCI_BUS_ID" in visible_devices([A, other], "0").problems[0]
    assert visible_devices([A, other], "0", "PCI_BUS_ID").problems == []
    assert visible_devices([A, other], "GPU-ffff").problems == []
