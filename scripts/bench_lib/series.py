"""Sealing a million points and reading one metric of them back, in this process: for `scripts/bench metrics`."""

from __future__ import annotations

import os
import random
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gitrun.archive.archive import Archive
from gitrun.archive.metrics import read_metrics
from gitrun.archive.seal import Part
from gitrun.capture.secrets import Redactor
from gitrun.child import points
from gitrun.recording.live import LiveDirectory
from gitrun.recording.measuring import measure
from tests.hand import Hand

ROUNDS = 5
RUN = "20261124-061246-{:06d}"
SEAL_S, POINT_BYTES, READ_MS = 2, 8, 60
Row = tuple[str, str, str]


def sealing(root: Path, repo: Path, count: int = 1_000_000) -> tuple[list[Row], dict[str, float]]:
    """Rows and data: a metric a call, two that take turns, and 50 a call; each `count` points in all."""
    hand = Hand(repo)
    rows: list[Row] = []
    data: dict[str, float] = {}
    shapes = {
        "1 metric": [["loss"]],
        "2 in turns": [["loss"], ["acc"]],
        "50 metrics": [[f"m{n:02}" for n in range(50)]],
    }
    for number, (title, names) in enumerate(shapes.items()):
        live = LiveDirectory(str(root / f"live{number}"))
        Path(live.member).mkdir(parents=True)
        Path(live.parts).mkdir()
        (Path(live.member) / "metrics-1-00000000").write_bytes(journal(names, count))
        seal_s = min(seconds(measure, live, {"live": {}}, Redactor({})) for _ in range(ROUNDS))
        part = os.path.join(live.parts, "metrics.parquet")
        part_bytes = os.path.getsize(part)
        rows.append((f"sealing {count:,} points, {title}", f"{seal_s:.2f} s", f"at most {SEAL_S} s"))
        rows.append(("  bytes a point", f"{part_bytes / count:.1f}", f"at most {POINT_BYTES}"))
        data |= {f"seal_{number}_s": seal_s, f"point_{number}_bytes": part_bytes / count}
    began = time.perf_counter()
    hand.seal(RUN.format(1), {"metrics.parquet": Part(path=part)})
    rows.append(("  into store and archive", f"{(time.perf_counter() - began) * 1e3:.0f} ms", ""))
    read_ms = min(seconds(read_one, repo, "m17") for _ in range(ROUNDS)) * 1e3
    rows.append(("one of 50 metrics back", f"{read_ms:.0f} ms", f"at most {READ_MS} ms"))
    return rows, data | {"read_one_ms": read_ms}


def journal(schemas: list[list[str]], count: int) -> bytes:
    """Points of float32 losses, a millisecond apart; the schemas take turns."""
    chance, now_ns = random.Random(1), 1_795_000_000_000_000_000
    made = [points.packer(number + 1, len(names)) for number, names in enumerate(schemas)]
    frames = [points.head(1, now_ns, None), *(points.schema(n + 1, names) for n, names in enumerate(schemas))]
    for call in range(count // len(schemas[0])):
        which = call % len(schemas)
        step = call // len(schemas)
        now_ns += 1_000_000 + chance.randrange(50_000)
        values = [chance.random() / 10 + 2 / (1 + step / 1e4) for _ in schemas[which]]
        single = struct.unpack(f"<{len(values)}f", struct.pack(f"<{len(values)}f", *values))
        frames.append(points.point(made[which], step, now_ns, single))
    return b"".join(frames)


def read_one(repo: Path, name: str) -> None:
    with Archive.open(str(repo), os.environ) as archive:
        run = archive.run(RUN.format(1))
        assert run is not None and read_metrics(run, {name}).num_rows > 0


def seconds(call: Callable[..., Any], *words: Any) -> float:
    began = time.perf_counter()
    call(*words)
    return time.perf_counter() - began
