"""Whatever call fails, whenever the process or the power goes: nothing that was promised is lost.

`scripts/faults` tries every point there is; the suite tries some of each scenario, always the same ones.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitrun.archive import gc as collecting
from gitrun.archive import seal as sealing
from gitrun.errors import GitrunError
from gitrun.git import fold, refs
from gitrun.store import blobs, index, ingest, stat_cache
from tests.faults.points import Rig
from tests.faults.scenarios import SCENARIOS

LEAST = 2_000


def is_all() -> bool:
    """Whether `scripts/faults` asked for everything."""
    return os.environ.get("FAULT_POINTS") == "all"


STRIDE = 1 if is_all() else 67  # prime: it meets every kind of point


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits so low that a few small blobs make several packs, tables and folds."""
    monkeypatch.setattr(ingest, "PACK_BYTES", 5_000)
    monkeypatch.setattr(ingest, "_BUFFER_BYTES", 2_000)
    monkeypatch.setattr(stat_cache, "WORTH_BYTES", 1_000)
    monkeypatch.setattr(blobs, "MANY_PACKS", 2)
    monkeypatch.setattr(index, "MANY_TABLES", 1)
    monkeypatch.setattr(sealing, "INLINE_LIMIT", 500)
    monkeypatch.setattr(fold, "_PACKS", 4)
    monkeypatch.setattr(refs, "_PATIENCE_S", 0.5)
    monkeypatch.setattr(collecting, "WAIT_S", 0.0)


def test_ingest_seal_fold_and_gc_have_points_enough(tmp_path: Path) -> None:
    count = 0
    for name in ("ingest", "seal", "seal and fold", "gc"):
        (tmp_path / name).mkdir()
        count += len(list(Rig(SCENARIOS[name], tmp_path / name).points()))
    print(f"{count} points")
    assert count >= LEAST


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_is_lost_at_any_point(tmp_path: Path, name: str) -> None:
    rig = Rig(SCENARIOS[name], tmp_path)
    points = list(rig.points())
    chosen = points[len(name) % STRIDE :: STRIDE]
    problems = []
    for point in chosen:
        try:
            rig.try_point(point)
        except (AssertionError, GitrunError) as problem:
            problems.append(f"{point} ({(*rig.calls, 'end')[point.at - 1]}): {problem}")
    print(f"{name}: {len(rig.calls)} calls, {len(points)} points, {len(chosen)} tried, {len(problems)} problems")
    assert not problems, "\n".join(problems)
