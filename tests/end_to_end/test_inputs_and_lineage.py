"""What a run read, without being told: which files count, what is known of them, and which run made them."""

from __future__ import annotations

import hashlib
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Result, write_files

Gitrun = Callable[..., Result]
TRAIN = "data = open('data/x.csv').read()\nopen('model.pt', 'w').write(data * 2)\n"
EVAL = "import sys\nprint(len(open(sys.argv[1]).read()))\n"
FILES: dict[str | bytes, Any] = {
    ".gitignore": "data/\n*.pt\n*.json\nout/\n", "train.py": TRAIN, "eval.py": EVAL, "table.csv": "of the source",
}  # fmt: skip


def sha(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


@pytest.fixture
def repo(make_repo: Callable[..., Path]) -> Path:
    root = make_repo(FILES)
    write_files(root, {"data/x.csv": "1,2,3\n" * 100})
    return root


def recorded(gitrun: Gitrun, repo: Path, *command: str, env: dict[str, str] | None = None, code: int = 0) -> Any:
    done = gitrun("record", "--", *command, cwd=repo, env=env)
    assert done.code == code, done.stderr
    return gitrun("show", "@", "--json", cwd=repo).json()


def inputs(run: Any) -> dict[str, Any]:
    return {entry["path"]: entry for entry in run["artifacts"] if entry["kind"] == "input"}


def lines(gitrun: Gitrun, repo: Path, git: Callable[..., Result]) -> list[Any]:
    """The lines of artifacts.jsonl of the last run, as they were sealed."""
    from gitrun.model.canonical import decode_lines

    run = gitrun("show", "@", "--json", cwd=repo).json()["id"]
    return decode_lines(git("show", f"refs/gitrun/runs/{run}:artifacts.jsonl", cwd=repo).stdout_bytes)


def test_what_python_opened_is_an_input_unless_it_has_another_place(gitrun: Gitrun, repo: Path) -> None:
    (repo / "read.py").write_text(
        "import json, tempfile\nopen('data/x.csv')\nopen('table.csv')\nopen(json.__file__)\nopen('/etc/passwd')\n"
        "open('made.json', 'w').write('{}')\nopen('made.json')\nopen(tempfile.__file__)\n"
    )
    run = recorded(gitrun, repo, "python3", "read.py")
    assert list(inputs(run)) == ["data/x.csv"]
    (entry,) = inputs(run).values()
    assert entry["sha256"] == sha("1,2,3\n" * 100) and not entry["stored"]
    assert run["coverage"]["inputs"] == {"python": "observed", "labels": []}


def test_what_the_command_line_names_is_an_input_unless_results_go_there(gitrun: Gitrun, repo: Path) -> None:
    write_files(repo, {"data/deep/y.csv": "y", "out/old.json": "{}"})
    run = recorded(gitrun, repo, "sh", "-c", "echo new > out/new.json", "-", "--in=data", "out", ".", "table.csv")
    assert [(path, entry["bytes"]) for path, entry in inputs(run).items()] == [
        ("data", 1 + len((repo / "data/x.csv").read_text()))
    ]


def test_an_input_of_another_run_names_it_and_lineage_walks_both_ways(gitrun: Gitrun, repo: Path) -> None:
    made = recorded(gitrun, repo, "python3", "train.py")
    read = recorded(gitrun, repo, "python3", "eval.py", "model.pt")
    assert inputs(read)["model.pt"]["produced_by"] == made["id"]
    assert inputs(made)["data/x.csv"]["produced_by"] is None
    found = gitrun("show", read["id"], "--lineage", "--json", cwd=repo).json()
    assert [(step["maker"], step["reader"]) for step in found["steps"]] == [(made["id"], read["id"])]
    assert found["origins"] == [{"run": made["id"], "paths": ["data/x.csv"]}]
    page = gitrun("show", made["id"], "--lineage", cwd=repo).stdout
    assert "used by\n" in page and read["id"] in page and "model.pt" in page
    assert "data/x.csv: no run here made it" in page


def test_a_run_leaves_its_traces_when_it_is_sealed(gitrun: Gitrun, repo: Path) -> None:
    made = recorded(gitrun, repo, "python3", "train.py")
    kept = repo / ".git/gitrun/cache/traces"
    assert made["id"] in (kept / "runs").read_text().split()
    for digest, kind in ((sha("1,2,3\n" * 100), "i"), (sha("1,2,3\n" * 200), "o")):
        assert f"{digest} {kind} {made['id']}\n" in (kept / digest[:2]).read_text()


def test_a_replay_takes_an_input_from_the_run_that_made_it(gitrun: Gitrun, repo: Path) -> None:
    made = recorded(gitrun, repo, "python3", "train.py")
    read = recorded(gitrun, repo, "python3", "eval.py", "model.pt")
    (repo / "model.pt").write_text("edited since")
    replayed = gitrun("replay", read["id"], "--json", cwd=repo).json()
    assert replayed["replay"] is not None and replayed["exit_match"] is True, replayed
    (repo / "data/x.csv").write_text("edited since")
    refused = gitrun("replay", made["id"], "--json", cwd=repo)
    assert refused.json()["replay"] is None
    assert any(cause.startswith("input data/x.csv") for cause in refused.json()["causes"])


def test_an_input_that_the_run_wrote_to_is_flagged(
    gitrun: Gitrun, repo: Path, git: Callable[..., Result], tmp_path: Path
) -> None:
    outside = tmp_path / "log.csv"
    outside.write_text("before")
    write_files(repo, {"state.json": "0", "data/declared.csv": "before"})
    (repo / "count.py").write_text(
        "import os, sys\nn = int(open('state.json').read())\nopen('state.json', 'w').write(str(n + 1))\n"
        "open(sys.argv[1]).read()\nos.system('echo more >> ' + sys.argv[1])\n"
        "os.system('echo more >> data/declared.csv')\n"
    )
    done = gitrun("record", "--input", "data/declared.csv", "--", "python3", "count.py", str(outside), cwd=repo)
    assert done.code == 0, done.stderr
    found = {(line["path"], line["kind"]): line for line in lines(gitrun, repo, git)}
    state = found["state.json", "input"]
    assert (state["sha256"], state["reason"], state["overwritten"]) == (None, "overwritten", True)
    assert found["state.json", "output"]["sha256"] == sha("1")
    assert found[str(outside), "input"]["overwritten"] is True
    declared = found["data/declared.csv", "input"]
    assert (declared["sha256"], declared["overwritten"]) == (sha("before"), True)
    replayed = gitrun("replay", "@", "--json", cwd=repo).json()
    assert any("data/declared.csv: its content has changed" in cause for cause in replayed["causes"])


def test_a_file_that_a_guard_left_out_and_the_run_read_is_stored_and_comes_back(
    gitrun: Gitrun, repo: Path, git: Callable[..., Result]
) -> None:
    write_files(repo, {"new/small.txt": "small", "new/table.txt": "t" * 3000, "new/unread.txt": "u" * 4000})
    env = {"GITRUN_RECORD_MAX_BYTES": "100"}
    run = recorded(gitrun, repo, "python3", "eval.py", "new/table.txt", env=env)
    assert inputs(run)["new/table.txt"]["stored"] is True
    assert list(inputs(run)) == ["new/table.txt"]
    (line,) = [line for line in lines(gitrun, repo, git) if line["kind"] == "input"]
    assert line["chunks"] == [[sha("t" * 3000), 3000]]
    assert run["replayable"]["level"] == "no"  # the other one is in nobody's keeping
    os.unlink(repo / "new/unread.txt")
    run = recorded(gitrun, repo, "python3", "eval.py", "new/table.txt", env=env)
    assert run["replayable"]["level"] != "no", run["replayable"]
    os.unlink(repo / "new/table.txt")
    replayed = gitrun("replay", run["id"], "--json", cwd=repo).json()
    assert replayed["exit_match"] is True, replayed
    assert gitrun("gc", cwd=repo).code == 0
    assert gitrun("fsck", "--data", cwd=repo).code == 0


def test_a_file_of_secrets_is_listed_by_its_path_alone(gitrun: Gitrun, repo: Path) -> None:
    (repo / ".env").write_text("TOKEN=a-secret-that-is-nowhere-else")
    run = recorded(gitrun, repo, "python3", "eval.py", ".env")
    entry = inputs(run)[".env"]
    assert (entry["sha256"], entry["bytes"], entry["stored"], entry["reason"]) == (None, None, False, "secret")


def test_many_files_of_a_directory_are_one_line_with_a_list(
    gitrun: Gitrun, repo: Path, git: Callable[..., Result]
) -> None:
    write_files(repo, {f"data/set/{n}": str(n) for n in range(1100)})
    env = {"GITRUN_RECORD_OPENED": "no"}
    recorded(gitrun, repo, "true", "data/set", "data/x.csv", env=env)
    directory, other = lines(gitrun, repo, git)
    assert (directory["path"], directory["type"], directory["files"]) == ("data/set", "directory", 1100)
    assert (other["path"], directory["bytes"]) == ("data/x.csv", sum(len(str(n)) for n in range(1100)))
    assert gitrun("gc", cwd=repo).code == 0
    assert gitrun("fsck", "--data", cwd=repo).code == 0  # the list is needed, and still there
    (repo / "data/set/7").write_text("other")
    replayed = gitrun("replay", "@", "--json", cwd=repo).json()
    assert [cause for cause in replayed["causes"] if cause.startswith("input")] == [
        f"input data/set/7: its content has changed since the run: {repo}/data/set/7"
    ]


def test_a_directory_that_is_named_is_one_line(gitrun: Gitrun, repo: Path, git: Callable[..., Result]) -> None:
    write_files(repo, {"data/set/a": "a", "data/set/below/b": "bb", "data/more/c": "ccc"})
    done = gitrun("record", "--input", "data/set", "--", "true", "data/more/", cwd=repo)
    assert done.code == 0, done.stderr
    found = {line["path"]: (line["type"], line["files"], line["evidence"]) for line in lines(gitrun, repo, git)}
    assert found == {"data/more": ("directory", 1, "config"), "data/set": ("directory", 2, "declared")}
    assert gitrun("replay", "@", cwd=repo).code != 3  # all of it is there
    (repo / "data/set/below/b").write_text("BB")
    replayed = gitrun("replay", "@", "--json", cwd=repo).json()
    assert any(cause.startswith("input data/set/below/b: its content has changed") for cause in replayed["causes"])


def test_links_are_named_and_what_they_lead_to_is_hashed(
    gitrun: Gitrun, repo: Path, git: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "far.bin").write_bytes(b"far away")
    (repo / "data/link.bin").symlink_to(tmp_path / "far.bin")
    (repo / "data/to_source").symlink_to(repo / "table.csv")
    recorded(gitrun, repo, "true", "data/link.bin", "data/to_source")
    (line,) = lines(gitrun, repo, git)
    assert (line["path"], line["type"], line["target"]) == ("data/link.bin", "file", str(tmp_path / "far.bin"))
    assert line["sha256"] == sha("far away")


def test_a_digest_found_in_one_repository_is_known_in_the_next(
    gitrun: Gitrun, make_repo: Callable[..., Path], tmp_path: Path
) -> None:
    from gitrun.capture.digests import _HEAD, _MAGIC, _ROW

    data = tmp_path / "shared.bin"
    data.write_bytes(os.urandom(100_000))
    time.sleep(0.05)  # a file written in this very tick of the clock is not remembered
    first, second = make_repo({"a": "a"}, name="one"), make_repo({"a": "b"}, name="two")
    digest = inputs(recorded(gitrun, first, "true", str(data)))[str(data)]["sha256"]
    assert digest == sha(data.read_bytes())
    (kept,) = Path(os.environ["XDG_CACHE_HOME"], "gitrun", "digests").iterdir()
    (row,) = _ROW.iter_unpack(kept.read_bytes()[_HEAD.size :])
    rest = struct.pack("<QQQqq32s", *row[:5], b"\xab" * 32)  # so that it shows whether it was believed
    kept.write_bytes(_HEAD.pack(_MAGIC, zlib.crc32(rest)) + rest)
    assert inputs(recorded(gitrun, second, "true", str(data)))[str(data)]["sha256"] == "ab" * 32


def test_a_budget_leaves_the_rest_to_samples(gitrun: Gitrun, repo: Path, git: Callable[..., Result]) -> None:
    write_files(repo, {"data/big.bin": os.urandom(500_000)})
    run = recorded(gitrun, repo, "true", "data/big.bin", "data/x.csv", env={"GITRUN_RECORD_INPUT_BYTES": "1000"})
    big, small = lines(gitrun, repo, git)
    assert (big["level"], big["sha256"], small["level"]) == ("sample", None, None)
    assert "inputs: 1 input(s), 500000 bytes, are known by samples only" in run["replayable"]["because"]
    assert gitrun("replay", "@", "--json", cwd=repo).json()["exit_match"] is True
    (repo / "data/big.bin").write_bytes(os.urandom(500_000))
    assert gitrun("replay", "@", "--json", cwd=repo).json()["replay"] is None


def test_a_recorder_that_was_killed_loses_no_input(gitrun: Gitrun, repo: Path) -> None:
    (repo / "slow.py").write_text(
        "import time\nopen('data/x.csv').read()\ntime.sleep(0.3)\nopen('eval.py').read()\n"
        "open('ready.json', 'w').close()\ntime.sleep(0.3)\nopen('train.py').read()\ntime.sleep(60)\n"
    )
    recorder = subprocess.Popen(
        [sys.executable, "-m", "gitrun", "record", "--", "python3", "slow.py"], cwd=repo, start_new_session=True
    )
    deadline = time.monotonic() + 30
    while not (repo / "ready.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.6)
    os.killpg(recorder.pid, signal.SIGKILL)  # with its keeper and its command
    recorder.wait()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        gitrun("recover", cwd=repo)
        found = gitrun("show", "@", "--json", cwd=repo).json()
        if found["status"] != "running":
            break
        time.sleep(0.3)
    assert list(inputs(found)) == ["data/x.csv"]


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_what_lies_in_the_place_of_a_cache_holds_nobody_up(
    gitrun: Gitrun, repo: Path, tmp_path: Path, kind: str
) -> None:
    env = {"XDG_CACHE_HOME": str(tmp_path / "user")}
    write_files(repo, {"data/x.csv": "1,2,3\n" * 10_000})
    for _ in range(2):
        recorded(gitrun, repo, sys.executable, "train.py", env=env)
    (tmp_path / "victim").write_text("as it was")
    caches = [repo / ".git/gitrun/cache", tmp_path / "user"]
    files = [path for cache in caches for path in cache.rglob("*") if path.is_file() and path.suffix != ".db"]
    assert len(files) > 4
    for path in files:
        path.unlink()
        os.mkfifo(path) if kind == "pipe" else path.symlink_to(tmp_path / "victim")
    command = [sys.executable, "-m", "gitrun"]
    environ = {**os.environ, **env}
    for words in (["record", "--", sys.executable, "train.py"], ["show", "@", "--lineage"]):
        done = subprocess.run([*command, *words], cwd=repo, env=environ, timeout=30, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "victim").read_text() == "as it was"
