"""What runs leave behind, made up: weights, mostly zeros, noise and logs, the same at each call."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pyarrow.compute as pc

MIB = 1 << 20
_AT_ONCE = 8 * MIB


def make_mix(path: Path, mib: int) -> None:
    """Half fp32, an eighth each bf16, 95 % zeros, noise and JSON lines."""
    eighth = mib * MIB // 8
    chance = random.Random(3)
    with open(path, "wb") as file:
        for piece in floats(4 * eighth, 1):
            file.write(piece)
        for piece in floats(2 * eighth, 2):
            upper = bytearray(len(piece) // 2)
            upper[0::2], upper[1::2] = piece[2::4], piece[3::4]
            file.write(upper)
        for piece in floats(eighth, 3, nonzero=0.05):
            file.write(piece)
        for _ in range(eighth // MIB):
            file.write(chance.randbytes(MIB))
        for piece in log_lines(eighth, 0):
            file.write(piece)


def floats(size: int, seed: int, nonzero: float = 1.0, at_once: int = _AT_ONCE) -> Iterator[bytes]:
    """`size` bytes of fp32 from a normal distribution of deviation 0.02 (Box and Muller), the rest zeros."""
    while size > 0:
        count = min(size, at_once) // 4
        first, second, kept = (pc.random(count, initializer=seed * 1_000_003 + size + n) for n in (0, 1, 2))
        radius = pc.sqrt(pc.multiply(pc.ln(pc.subtract(1.0, first)), -2.0))
        normal = pc.multiply(pc.multiply(radius, pc.cos(pc.multiply(second, 6.283185307179586))), 0.02)
        values = pc.if_else(pc.less(kept, nonzero), normal, 0.0).cast(pyarrow.float32())
        yield values.buffers()[1].to_pybytes()[: count * 4]
        size -= count * 4


def log_lines(size: int, seed: int) -> Iterator[bytes]:
    """About `size` bytes of JSON lines as a training loop writes them."""
    chance, step = random.Random(seed), 0
    while size > 0:
        lines = [
            json.dumps({"step": step + n, "loss": chance.random(), "lr": 0.1, "name": "train"}) for n in range(4096)
        ]
        piece = "\n".join([*lines, ""]).encode("ascii")
        yield piece
        step, size = step + len(lines), size - len(piece)
