import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gitrun.errors import DamagedStore, NewerFormat
from gitrun.store.chunking import Chunking
from gitrun.store.config import load_or_create


def test_made_once_and_read_ever_after(tmp_path: Path) -> None:
    place = tmp_path / "git" / "gitrun"
    first = load_or_create(str(place))
    written = (place / "config.json").read_bytes()
    assert load_or_create(str(place)) == first
    assert (place / "config.json").read_bytes() == written
    assert len(first.writer) == 8 and first.chunking == Chunking()


def test_sixteen_at_once_agree(tmp_path: Path) -> None:
    code = f"from gitrun.store.config import load_or_create; print(load_or_create({str(tmp_path / 'g')!r}).writer)"
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=os.getcwd()) for _ in range(16)
    ]
    writers = {process.communicate()[0] for process in running}
    assert len(writers) == 1 and len(writers.pop()) == 9


def test_a_copy_draws_a_new_writer_and_keeps_the_rest(tmp_path: Path) -> None:
    first = load_or_create(str(tmp_path / "a"))
    path = tmp_path / "a" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "later": {"x": 1}}))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    second = load_or_create(str(tmp_path / "b"))
    assert second.writer != first.writer and second.chunking == first.chunking
    assert json.loads((tmp_path / "b" / "config.json").read_text())["later"] == {"x": 1}
    assert load_or_create(str(tmp_path / "a")) == first


def test_a_moved_repository_is_the_same_writer(tmp_path: Path) -> None:
    first = load_or_create(str(tmp_path / "a"))
    (tmp_path / "a").rename(tmp_path / "b")
    assert load_or_create(str(tmp_path / "b")) == first


@pytest.mark.parametrize("change", [{"format": 2}, {"requires": ["colour"]}])
def test_a_later_format_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    load_or_create(str(tmp_path))
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(NewerFormat, match="E021"):
        load_or_create(str(tmp_path))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"format": "1"}', '{"format": 1, "requires": {}}', "\xff", '{"format": 1}' + " " * (1 << 20)],
)
def test_a_damaged_config_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DamagedStore, match="E029"):
        load_or_create(str(tmp_path))


@pytest.mark.parametrize("writer", [None, "short", "UPPERCAS", "aaaaaaal", 7])
def test_a_writer_that_is_none_is_damage(tmp_path: Path, writer: object) -> None:
    load_or_create(str(tmp_path))
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "writer": writer}))
    with pytest.raises(DamagedStore, match="writer"):
        load_or_create(str(tmp_path))
