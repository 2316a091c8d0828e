"""What observed parsers add to the reading of the command line."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from gitrun.capture.config import capture_config
from gitrun.capture.config_observed import merge_config
from gitrun.capture.facts import Facts
from gitrun.capture.observed import Observed, Process
from gitrun.capture.program import Program
from gitrun.capture.secrets import Redactor
from gitrun.model.canonical import decode, encode
from tests.conftest import write_files

LATER = 1 << 62


def frame(command: str, got: int, **fields: Any) -> dict[str, Any]:
    """What a program reported that got the last `got` words of a command."""
    argv = [b"train.py", *(word.encode() for word in shlex.split(command)[-got:])] if got else [b"train.py"]
    return {
        "framework": "argparse", "program": "__main__", "role": "program", "argv": argv, "values": {}, "defaults": {},
        "sources": {}, "words": {}, "rest": [], "files": [], "unserialisable": [], "notes": [], **fields,
    }  # fmt: skip


def process(*configs: dict[str, Any], cwd: Path | None = None, started_ns: int = LATER) -> Process:
    start = {"cwd": os.fsencode(cwd or "/"), "started_ns": started_ns}
    return Process(**{**dict.fromkeys(Process._fields), "start": start, "configs": list(configs)})


def merge(command: str, cwd: Path, *processes: Process, environ: dict[str, str] | None = None) -> Facts:
    argv = [word.encode() for word in shlex.split(command)]
    redactor = Redactor(environ or {})
    program = Program(0, b"/bin/python", b"/bin/python", True, argv[0] == b"python", {}, [])
    read = capture_config(argv, [], redactor, cwd=os.fsencode(cwd), worktree=os.fsencode(cwd), program=program)
    found = merge_config(
        read.value, Observed(list(processes), []), redactor, command=redactor.argv(argv), worktree=os.fsencode(cwd)
    )
    decode(encode(found.value))
    return found


def test_nothing_observed_leaves_the_reading(tmp_path: Path) -> None:
    found = merge("python train.py --lr 0.1 x", tmp_path, process())
    assert found.value["values"] == {"lr": 0.1} and found.value["positional"] == ["x"]
    assert "program" not in found.value and found.problems == []


def test_the_programs_parser_knows_better_than_the_reading(tmp_path: Path) -> None:
    command = "python train.py --verbose data.csv --learning-rate 0.5"
    told = frame(
        command, 4, values={"verbose": True, "data": "data.csv", "lr": 0.5, "seed": 1},
        defaults={"verbose": False, "lr": 0.1, "seed": 1},
        sources={"verbose": "argv", "data": "argv", "lr": "argv", "seed": "default"}, words={"verbose": 1, "lr": 3},
    )  # fmt: skip
    found = merge(command, tmp_path, process(told))
    assert found.value["values"] == {"verbose": True, "data": "data.csv", "lr": 0.5, "seed": 1}
    assert found.value["positional"] == []
    assert found.value["provenance"] == {
        "verbose": {"source": "argv", "position": 2, "default": False, "framework": "argparse"},
        "data": {"source": "argv", "position": None, "default": None, "framework": "argparse"},
        "lr": {"source": "argv", "position": 4, "default": 0.1, "framework": "argparse"},
        "seed": {"source": "default", "default": 1, "framework": "argparse"},
    }
    assert found.value["program"] == {"name": "train.py", "frameworks": ["argparse"]}


def test_words_that_a_parser_left_over_are_still_read(tmp_path: Path) -> None:
    command = "python train.py --lr 0.5 model.depth=3 extra"
    told = frame(command, 4, values={"lr": 0.5}, sources={"lr": "argv"}, words={"lr": 1}, rest=[3, 4])
    found = merge(command, tmp_path, process(told))
    assert found.value["values"] == {"lr": 0.5, "model.depth": 3} and found.value["positional"] == ["extra"]
    assert found.value["provenance"]["model.depth"] == {"source": "argv", "position": 4, "default": None}


def test_the_words_of_a_launcher_stay_and_its_values_stand_aside(tmp_path: Path) -> None:
    command = "torchrun --nproc 2 train.py --lr 0.5"
    launcher = frame(command, 5, role="launcher", program="torch.distributed.run", values={"nproc": 2, "script": "t"})
    ranks = [
        process(frame(command, 2, values={"lr": 0.5, "rank": n}, sources={"lr": "argv"}, words={"lr": 1}))
        for n in range(2)
    ]
    found = merge(command, tmp_path, process(launcher), *ranks)
    assert found.value["values"] == {"nproc": 2, "lr": 0.5, "rank": 0}
    assert found.value["provenance"]["lr"]["position"] == 4
    assert [(one["role"], one["values"]) for one in found.value["others"]] == [
        ("launcher", {"nproc": 2, "script": "t"}), ("program", {"rank": 1}),
    ]  # fmt: skip


def test_a_later_default_does_not_undo_what_was_set(tmp_path: Path) -> None:
    command = "python train.py --config c.json"
    first = frame(command, 2, values={"config": "c.json"}, sources={"config": "argv"}, rest=[])
    second = frame(command, 2, values={"config": None, "lr": 0.5}, sources={"config": "default", "lr": "default"})
    found = merge(command, tmp_path, process(first, second))
    assert found.value["values"] == {"config": "c.json", "lr": 0.5}


def test_a_file_wins_over_a_default_of_a_parser_that_reads_none(tmp_path: Path) -> None:
    write_files(tmp_path, {"c.json": '{"lr": 0.7, "seed": 1}'})
    command = "python train.py --config c.json"
    values, sources = {"config": "c.json", "lr": 0.1, "seed": 1}, {"config": "argv", "lr": "default", "seed": "default"}
    told = frame(command, 2, values=values, defaults={"lr": 0.1, "seed": 1}, sources=sources)
    found = merge(command, tmp_path, process(told, cwd=tmp_path))
    assert found.value["values"] == {"config": "c.json", "lr": 0.7, "seed": 1}
    assert found.value["provenance"]["lr"] == {
        "source": "file", "file": "c.json", "default": 0.1, "framework": "argparse",
    }  # fmt: skip
    assert len(found.problems) == 1 and "config lr: c.json has a value" in found.problems[0]
    observed = frame(command, 2, **{**told, "framework": "jsonargparse"})
    assert merge(command, tmp_path, process(observed, cwd=tmp_path)).value["values"]["lr"] == 0.1


def test_a_file_that_only_a_default_names_is_read(tmp_path: Path) -> None:
    write_files(tmp_path, {"base.toml": "depth = 3\n"})
    told = frame("python train.py", 0, values={"config": "base.toml"}, sources={"config": "default"})
    found = merge("python train.py", tmp_path, process(told, cwd=tmp_path))
    assert found.value["values"] == {"config": "base.toml", "depth": 3}
    assert [(entry["path"], entry["given_by"]) for entry in found.value["files"]] == [("base.toml", "program")]
    found = merge("python train.py", tmp_path, process(told, cwd=tmp_path, started_ns=1))
    assert found.value["values"] == {"config": "base.toml"} and found.value["files"][0]["sha256"] is None
    assert "after the program had started" in found.problems[0]


def test_a_sweep_keeps_what_its_jobs_share_and_lists_what_differs(tmp_path: Path) -> None:
    command = "python train.py -m lr=1,2"
    jobs = [
        frame(command, 2, framework="hydra", values={"lr": n, "seed": 3}, sources={"lr": "override", "seed": "file"})
        for n in (1, 2)
    ]
    found = merge(command, tmp_path, process(*jobs))
    assert found.value["values"] == {"lr": "1,2", "seed": 3} and found.value["jobs"] == [{"lr": 1}, {"lr": 2}]


def test_words_that_the_program_wrote_itself_are_no_words_of_the_command(tmp_path: Path) -> None:
    told = frame("python train.py", 0, role="given", values={"fixed": "a"}, sources={"fixed": "argv"})
    found = merge("python train.py", tmp_path, process(told))
    assert found.value["provenance"]["fixed"]["source"] == "override"


def test_marks_notes_and_secrets(tmp_path: Path) -> None:
    told = frame(
        "python train.py", 0, values={"model": "<object>", "db.password": "hunter2", "note": b"by correct-horse-9"},
        sources={"model": "default"}, unserialisable=["model"], notes=["something is missing"],
    )  # fmt: skip
    found = merge("python train.py", tmp_path, process(told), environ={"HF_TOKEN": "correct-horse-9"})
    assert found.value["provenance"]["model"]["exact"] is False
    assert found.value["values"]["db.password"] == "<secret:db.password>"
    assert found.value["values"]["note"] == "by <secret:HF_TOKEN>"
    assert found.problems == ["config from argparse: something is missing"]


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"values": {"a": 1}}, {"framework": "hydra"}, {"role": "odd", "values": {"a": 1}},
        {"argv": [], "rest": [9, 10**9], "words": {"a": -5}, "values": {"a": 1}, "sources": {"a": ["argv"]}},
        {"files": [b"/absent", b"\xff"], "values": {"a": [1, {"b": b"\xff"}]}, "unserialisable": ["*"]},
        {"values": {"": None, "x" * 1000: float("nan")}, "sources": {"": "argv"}},
    ],
)  # fmt: skip
def test_reports_with_nothing_or_nonsense_in_them(tmp_path: Path, fields: dict[str, Any]) -> None:
    merge("python train.py --lr 1", tmp_path, process(fields, fields))


def test_twice_is_as_once(tmp_path: Path) -> None:
    command = "python train.py --lr 0.5 c.json"
    write_files(tmp_path, {"c.json": '{"lr": 0.7, "seed": 1}'})
    values, sources = {"lr": 0.5, "seed": 0}, {"lr": "argv", "seed": "default"}
    told = process(frame(command, 3, values=values, sources=sources, words={"lr": 1}), cwd=tmp_path)
    once = merge(command, tmp_path, told).value
    argv = [word.encode() for word in shlex.split(command)]
    again = merge_config(once, Observed([told], []), Redactor({}), command=argv, worktree=os.fsencode(tmp_path))
    assert again.value == once
