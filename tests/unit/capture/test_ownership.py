"""Which distribution owns a file among the installed packages."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitrun.capture import ownership
from gitrun.capture.ownership import Owners


@pytest.fixture
def site(tmp_path: Path) -> Path:
    root = tmp_path / "site-packages"
    records = {
        "numpy-2.0.dist-info": "numpy/__init__.py,sha256=x,1\nnumpy/core.py,,\nnumpy-2.0.dist-info/RECORD,,\n",
        "scikit_learn-1.5.dist-info": "sklearn/__init__.py,,\r\nsklearn/tree.py,,\r\n",
        "google_a-1.dist-info": "google/a.py,,\n",
        "google_b-1.dist-info": "google/b.py,,\n",
        "quoted-1.dist-info": '"odd,name.py",,\nquoted.py,,\n',
    }
    for name, record in records.items():
        (root / name).mkdir(parents=True)
        (root / name / "RECORD").write_bytes(record.encode())
    (root / "legacy_tool-1.egg-info").mkdir()
    (root / "legacy_tool-1.egg-info/top_level.txt").write_text("legacy\n_legacy_speedups\n")
    (root / "bare-1.dist-info").mkdir()
    return root


@pytest.mark.parametrize("many", [0, 100])
def test_who_owns_what(site: Path, monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    monkeypatch.setattr(ownership, "_MANY", many)
    owner = Owners().below([os.fsencode(site)])
    wanted = {
        "numpy/core.py": "numpy",
        "numpy/by_hand.py": None,
        "sklearn/tree.py": "scikit-learn",
        "sklearn/__init__.py": "scikit-learn",
        "google/b.py": "google-b",
        "google/a.py": "google-a",
        "odd,name.py": "quoted",
        "quoted.py": "quoted",
        "legacy/deep/down.py": "legacy-tool",
        "_legacy_speedups.cpython-311.so": "legacy-tool",
        "bare.py": "bare",
        "core.py": None,
        "by_hand.py": None,
    }
    assert {name: owner(os.fsencode(site / name)) for name in wanted} == wanted
    assert owner(b"/elsewhere/numpy/core.py") is None


def test_only_the_records_that_are_asked_about_are_read(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    real = ownership.read_record

    def reading(directory: bytes) -> bytes:
        read.append(directory)
        return real(directory)

    monkeypatch.setattr(ownership, "read_record", reading)
    owner = Owners().below([os.fsencode(site)])
    for _ in range(3):
        assert owner(os.fsencode(site / "numpy/core.py")) == "numpy"
    assert read == [os.fsencode(site / "numpy-2.0.dist-info")]


def test_a_directory_that_is_gone_owns_nothing(tmp_path: Path) -> None:
    assert Owners().below([os.fsencode(tmp_path / "gone")])(os.fsencode(tmp_path / "gone/a.py")) is None
