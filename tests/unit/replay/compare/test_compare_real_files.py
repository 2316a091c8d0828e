"""Files of real libraries, each written twice: what may differ, and no byte of anything else."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.unit.replay.compare.pairs import found, level

FILES = Path(__file__).parent / "files"
TORCH_LAST = "the_last_one.pt"
PAIRS = [
    ("best.pt", TORCH_LAST, "semantic"),
    ("best.pt", "near.pt", "tolerance"),
    (TORCH_LAST, "near.pt", "tolerance"),
    ("best.pt", "epoch.pt", "differs"),
    ("a.safetensors", "near.safetensors", "tolerance"),
    ("a.svg", "b.svg", "semantic"),
    ("a.svg", "other.svg", "differs"),
    ("a.pdf", "b.pdf", "semantic"),
    ("a.pdf", "other.pdf", "differs"),
    ("a.png", "b.png", "bit"),
    ("a.png", "other.png", "differs"),
    ("events/a.tfevents", "events/b.tfevents", "semantic"),
    ("events/a.tfevents", "events/near.tfevents", "tolerance"),
    ("events/a.tfevents", "events/far.tfevents", "differs"),
]


@pytest.mark.parametrize(("a", "b", "word"), PAIRS)
def test_two_writings_have_the_level_of_what_differs(a: str, b: str, word: str) -> None:
    assert level(a, (FILES / a).read_bytes(), (FILES / b).read_bytes()) == word


def test_the_words_name_what_differs() -> None:
    def told(a: str, b: str) -> str:
        return found(a, (FILES / a).read_bytes(), (FILES / b).read_bytes()).detail

    assert "the archive's name inside" in told("best.pt", TORCH_LAST)
    assert "0.bias" in told("best.pt", "near.pt")
    assert "'epoch'" in told("best.pt", "epoch.pt")
    assert "'loss' at step 0" in told("events/a.tfevents", "events/far.tfevents")
    assert told("a.png", "other.png") == "the pixels differ"


@pytest.mark.parametrize("name", sorted({a for a, _, _ in PAIRS}))
def test_no_spoiled_file_is_the_same(name: str) -> None:
    """A flipped bit, a byte more, a byte less, an end cut off: at most `tolerance`, and that for tensors alone."""
    data, chance = (FILES / name).read_bytes(), random.Random(name)
    spoiled = [data + b"\0", data + b"\n", data + data, data[:-1], data[1:]]
    for _ in range(60):
        at, bit = chance.randrange(len(data)), chance.randrange(8)
        spoiled.append(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
    for _ in range(8):
        at = chance.randrange(len(data))
        spoiled += [data[:at], data[:at] + data[at + 1 :], data[:at] + b"\x55" + data[at:]]
    levels = {level(name, data, each) for each in spoiled if each != data}
    assert levels <= ({"differs", "tolerance"} if name.endswith(".safetensors") else {"differs"})
