"""What a replay costs beside the program that it repeats: `scripts/bench replay`.

    scripts/bench replay [comparing] [environment] [--rounds 5]

Comparing: two files of the same bytes, which a replay that came out
has for all of its outputs, at least 500 MB/s on one core. Beside it, what it takes to look into a checkpoint or an
array whose last bits have moved.
"""

from __future__ import annotations

import argparse
import array
import io
import os
import random
import struct
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ground import report

from gitrun.replay.compare import compare_contents
from gitrun.replay.levels import Level

EQUAL_MB_S = 500
SIZE_MB = 256
Row = tuple[str, str, str]


def comparing(root: Path, rounds: int) -> tuple[list[Row], dict[str, float]]:
    """Two files of the same bytes, and two whose floats are close, in MB of one side per second of CPU."""
    rows: list[Row] = []
    data: dict[str, float] = {}
    for title, name, level, bound, contents in (
        ("the same bytes", "model.bin", Level.BIT, f"at least {EQUAL_MB_S} MB/s", same_bytes()),
        ("float32, last bits moved", "x.npy", Level.TOLERANCE, "", close_arrays()),
        ("the same, in a zip with other times", "x.npz", Level.SEMANTIC, "", archives()),
    ):
        paths = [root / f"{side}-{name}" for side in "ab"]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        rate = max(mb_per_s(paths, name, level) for _ in range(rounds))
        rows.append((f"comparing {len(contents[0]) >> 20} MB, {title}", f"{rate:,.0f} MB/s", bound))
        data[f"compare_{level.word}_mb_s"] = rate
        for path in paths:
            path.unlink()
    return rows, data


def same_bytes() -> tuple[bytes, bytes]:
    content = random.Random(1).randbytes(1 << 20) * SIZE_MB
    return content, content


def close_arrays() -> tuple[bytes, bytes]:
    """A sixteenth of the values one unit in the last place apart."""
    count = (SIZE_MB << 20) // 4 // 4
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({count},), }}".encode().ljust(117) + b"\n"
    before = b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head
    chance = random.Random(1)
    one = array.array("f", [chance.random() + 0.5 for _ in range(1 << 16)])
    bits = array.array("I", one.tobytes())
    for place in range(0, len(bits), 16):
        bits[place] ^= 1
    return before + one.tobytes() * (count >> 16), before + bits.tobytes() * (count >> 16)


def archives() -> tuple[bytes, bytes]:
    content = random.Random(1).randbytes(1 << 20) * (SIZE_MB // 4)
    made = []
    for year in (2025, 2026):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr(zipfile.ZipInfo("weights", (year, 1, 1, 0, 0, 0)), content)
        made.append(out.getvalue())
    return made[0], made[1]


def mb_per_s(paths: list[Path], name: str, level: Level) -> float:
    with open(paths[0], "rb") as a, open(paths[1], "rb") as b:
        began = time.process_time()
        found = compare_contents(name.encode(), a, b)
        took = time.process_time() - began
    assert found.level is level, found
    return os.path.getsize(paths[0]) / 1e6 / took


def environment(root: Path, rounds: int) -> tuple[list[Row], dict[str, float]]:
    """See `replay_environment`."""
    import replay_environment  # it needs a resolver, and minutes

    return replay_environment.measure(rounds)


# Each takes a directory and the number of rounds, and gives rows to print and figures to check.
FIGURES: dict[str, Callable[[Path, int], tuple[list[Row], dict[str, float]]]] = {
    "comparing": comparing,
    "environment": environment,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench replay", description=__doc__.split("\n")[0])
    parser.add_argument("figures", nargs="*", choices=[[], *FIGURES], help="all of them where none is named")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    data: dict[str, float] = {}
    for name in asked.figures or FIGURES:
        with TemporaryDirectory(prefix="gitrun-bench-") as root:
            rows, figures = FIGURES[name](Path(root), asked.rounds)
        data |= figures
        report(f"{name}: best or median of {asked.rounds} rounds", rows, figures, None)
    if data.get("compare_bit_mb_s", EQUAL_MB_S) < EQUAL_MB_S:
        raise SystemExit("comparing is too slow")


if __name__ == "__main__":
    main()
