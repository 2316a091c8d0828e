"""Reports come from strangers: what is right is read, the rest becomes a sentence, and nothing hurts the reader."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gitrun.capture import observed
from gitrun.capture.child_coverage import child_coverage, isolation
from gitrun.capture.observed import Module, Observed, Opened, Process, read_observed
from gitrun.child.frames import frame, pack_value

START = {"kind": "process", "pid": 7, "ppid": 3, "started_ns": 5, "executable": b"/bin/python"}


def written(home: Path, *frames: dict[str, Any] | bytes, name: str = "observed-7-0000000a") -> Observed:
    data = b"".join(one if isinstance(one, bytes) else frame(pack_value(one)) for one in frames)
    (home / name).write_bytes(data)
    return read_observed(str(home))


def test_all_kinds_of_frames(tmp_path: Path) -> None:
    found = written(
        tmp_path,
        START,
        {"kind": "process", "argv": [b"x.py"], "rank": None, "later": [1]},
        {"kind": "config", "framework": "argparse", "values": {"lr": 0.1}, "role": "program"},
        {"kind": "modules", "modules": [["a", b"/a.py", 3, 4]]},
        {"kind": "modules", "modules": [["b", b"/b.py", 0, -1]]},
        {"kind": "mapped", "paths": [b"/lib/libc.so"]},
        {"kind": "opened", "files": [[b"/data", "r"]], "more": True},
        {"kind": "opened", "files": []},
        {"kind": "seeds", "random.seed": {"calls": 1, "last": 3}},
        {"kind": "numerics", "threads": {"omp": 2}},
        {"kind": "of the future", "x": 1},
        {"kind": "exit", "at_ns": 9},
    )
    assert found.problems == []
    (process,) = found.processes
    assert process == Process(
        7,
        3,
        {
            "pid": 7, "ppid": 3, "started_ns": 5, "executable": b"/bin/python", "argv": [b"x.py"], "rank": None,
            "later": [1], "primary": True,
        },
        [{"framework": "argparse", "values": {"lr": 0.1}, "role": "program", "primary": True}],
        [Module("a", b"/a.py", 3, 4), Module("b", b"/b.py", 0, -1)],
        [b"/lib/libc.so"],
        [Opened(b"/data", "r")],
        {"random.seed": {"calls": 1, "last": 3}},
        {"threads": {"omp": 2}},
        True,
        opened_more=True,
    )  # fmt: skip


def test_the_first_to_start_is_the_primary(tmp_path: Path) -> None:
    written(tmp_path, {**START, "started_ns": 9}, name="observed-1-0000000a")
    written(tmp_path, {**START, "started_ns": 2}, {"kind": "config", "framework": "x"}, name="observed-9-0000000b")
    found = written(tmp_path, {"kind": "exit"}, name="observed-5-0000000c")
    assert [(one.pid, one.start["primary"]) for one in found.processes] == [(9, True), (1, False), (5, False)]
    assert found.processes[0].configs[0]["primary"] is True


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "process", "pid": "7"},
        {"kind": "process", "argv": ["text"]},
        {"kind": "process", "flags": {"a": "b"}},
        {"kind": "config", "values": []},
        {"kind": "config", "files": [1]},
        {"kind": "modules"},
        {"kind": "modules", "modules": [["a", b"/a.py", 3]]},
        {"kind": "modules", "modules": [["a", "/a.py", 3, 4]]},
        {"kind": "modules", "modules": [["a", b"/a\0.py", 3, 4]]},
        {"kind": "modules", "modules": [["a", b"", 3, 4]]},
        {"kind": "modules", "modules": [["a", b"/a", -3, 4]]},
        {"kind": "modules", "modules": 5},
        {"kind": "mapped", "paths": ["/lib"]},
        {"kind": "opened", "files": [[b"/data", "x"]]},
        frame(b"\xc1"),
        frame(b"\x93\x01\x02\x03"),
        frame(b"\x81\x01\x02"),
        frame(b""),
        frame(b"\xdf\xff\xff\xff\xff"),
        frame(b"\x81\xa4kind" + b"\x91" * 40 + b"\xc0"),
        frame(b"\x91" * 100_000),
        frame(b"\x82\xa4kind\xa1x\xa1a\xd4\x05\x00"),
    ],
)  # fmt: skip
def test_a_wrong_frame_costs_itself_alone(tmp_path: Path, wrong: dict[str, Any] | bytes) -> None:
    found = written(tmp_path, START, wrong, {"kind": "mapped", "paths": [b"/kept"]}, {"kind": "exit"})
    assert len(found.problems) == 1 and found.problems[0].startswith("observed-7-0000000a: ")
    assert found.processes[0].mapped == [b"/kept"] and found.processes[0].complete


def test_a_torn_end(tmp_path: Path) -> None:
    found = written(tmp_path, START, frame(pack_value({"kind": "exit"}))[:-1])
    assert found.problems == ["observed-7-0000000a: the end is torn"] and not found.processes[0].complete


def test_what_is_no_report_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "observed-1-00000001")
    (tmp_path / "observed-2-00000002").symlink_to("/etc/passwd")
    (tmp_path / "observed-3-00000003").mkdir()
    (tmp_path / "observed-4-00000004").write_bytes(b"")
    (tmp_path / "observed-primary").write_bytes(b"x")
    (tmp_path / "observed-4-00000004.tmp").write_bytes(b"x")
    found = read_observed(str(tmp_path))
    assert found.processes == [] and len(found.problems) == 2
    assert len(read_observed(str(tmp_path / "nowhere")).problems) == 1


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observed, "MAX_FILES", 2)
    monkeypatch.setattr(observed, "MAX_BYTES", 100)
    for number in range(4):
        (tmp_path / f"observed-{number}-00000000").write_bytes(frame(pack_value(START)))
    found = read_observed(str(tmp_path))
    assert [process.pid for process in found.processes] == [0, 1]
    assert found.problems[0] == "4 reports, of which 2 were read"
    assert any("only the first" in problem for problem in found.problems)


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (["python", "-I", "x.py"], "I"),
        (["python3.11", "-uE", "x.py"], "E"),
        (["env", "A=1", "python", "-S", "-c", "pass"], "S"),
        (["python", "x.py", "-I"], None),
        (["python", "-c", "-I"], None),
        (["python", "-m", "mod", "-S"], None),
        (["python", "-W", "ignore", "x.py"], None),
        (["python", "-Xutf8", "-OO", "x.py"], None),
        (["python", "-WIES", "x.py"], None),
        (["sh", "-c", "python -I"], None),
        (["env", "PYTHONPATH=.", "python", "x.py"], "PYTHONPATH"),
        (["env", "PYTHONPATH=.", "python", "-E", "x.py"], "E"),
        (["python", "x.py", "PYTHONPATH=.", "python", "-S"], None),
        (["python"], None),
        ([], None),
    ],
)
def test_the_option_that_hides_a_python(words: list[str], flag: str | None) -> None:
    assert isolation([os.fsencode(word) for word in words]) == flag


def test_coverage_says_why_nothing_was_seen() -> None:
    nothing = Observed([], [])
    for command, known, words in (
        ([b"python", b"-I", b"x.py"], True, "-I"),
        ([b"python", b"x.py"], True, "killed before"),
        ([b"sh", b"-c", b"true"], False, "no Python process"),
        ([b"env", b"PYTHONPATH=.", b"python", b"x.py"], True, "another PYTHONPATH"),
        ([b"sh", b"-ec", b"cd x && PYTHONPATH='.' python3 a.py"], False, "another PYTHONPATH"),
        ([b"sh", b"-c", b'PYTHONPATH="lib:${PYTHONPATH}" python a.py'], False, "no Python process"),
        ([b"bash", b"-c", b"python a.py; python -S b.py\npython -uE c.py"], False, "-E, so it does not look"),
        ([b"bash", b"-c", b"python a.py; python -S b.py\npython -uE c.py"], False, "-S, so it imports no"),
    ):
        said = child_coverage(nothing, command, known)
        assert said["processes"] == 0 and said["python"].startswith("not observed: ") and words in said["python"]


def test_coverage_labels_what_was_seen() -> None:
    def process(pid: int, complete: bool = True, **start: Any) -> Process:
        return Process(pid, 1, {"pid": pid, **start}, [], [], [], [], {}, {}, complete)

    seen = [
        process(1)._replace(opened_more=True),
        process(2, start_method="spawn", rank="0"),
        process(3, start_method="fork", rank="1"),
        process(4, complete=False, flags={"warn_default_encoding": 1}),
        process(5, complete=False),
        process(5, implementation="pypy"),
    ]
    said = child_coverage(Observed(seen, ["a problem"]), [b"python", b"x.py"], True)
    assert said == {
        "processes": 6,
        "python": "observed",
        "labels": [
            "processes by fork (1), spawn (1)",
            "ranks 0, 1",
            "implementations pypy",
            "1 became another program, and told what they had loaded until then",
            "1 did not list the files they opened (-X warn_default_encoding)",
            "1 opened more files than the 10000 that are listed of a process",
            "1 of 6 ended without a last word (killed, still running, or unable to write)",
            "a problem",
        ],
    }


def test_only_who_speaks_is_read_of_a_report_that_is_still_written(tmp_path: Path) -> None:
    more = [{"kind": "process", "argv": [b"x.py"]}, {"kind": "modules", "modules": [["a", b"/a.py", 3, 4]]}]
    for torn in (b"", b"\x09\0\0\0torn"):
        written(tmp_path, START, *more, torn)
        found = read_observed(str(tmp_path), starts_only=True)
        assert found.problems == []
        (process,) = found.processes
        assert (process.is_introduced, process.modules, process.start["argv"]) == (True, [], [b"x.py"])
    written(tmp_path, START, b"\x09\0\0\0torn")
    found = read_observed(str(tmp_path), starts_only=True)
    assert found.problems == [] and not found.processes[0].is_introduced
