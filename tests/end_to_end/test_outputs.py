"""What a run leaves behind is in its record, and comes back byte for byte."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitrun.archive.archive import Archive
from gitrun.archive.since import entries_of
from tests.conftest import Result, write_files
from tests.end_to_end.test_record import live, record_of, recorder, run_ids, started
from tests.unit.recording.helpers import wait_for

Git = Callable[..., Result]
Gitrun = Callable[..., Result]
MakeRepo = Callable[..., Path]
Lines = dict[str, dict[str, Any]]
RECORD = [sys.executable, "-m", "gitrun", "record", "--"]


def outputs(git: Git, repo: Path, run_id: str | None = None) -> Lines:
    """The outputs of a run as it was sealed, by path."""
    run_id = run_id or run_ids(git, repo)[-1]
    if "artifacts.jsonl" not in record_of(git, repo, run_id)["parts"]:
        return {}
    data = git("cat-file", "blob", f"refs/gitrun/runs/{run_id}:artifacts.jsonl", cwd=repo).stdout_bytes
    lines = [json.loads(line) for line in data.splitlines()]
    assert [line["path"] for line in lines] == sorted((line["path"] for line in lines), key=os.fsencode)
    return {line["path"]: line for line in lines if line["kind"] == "output"}


def content(repo: Path, run_id: str, path: str) -> bytes:
    """The bytes that the store has of an entry, as it stands now."""
    with Archive.open(str(repo), os.environ) as archive:
        run = archive.run(run_id)
        assert run is not None
        (entry,) = [one for one in entries_of(run) if os.fsdecode(one.path) == path and one.kind == "output"]
        assert entry.stored, entry
        return b"".join(archive.store.read(entry.chunks(archive.store.get)))


def record(gitrun: Gitrun, repo: Path, *words: str, **more: Any) -> str:
    """Records, which must do well; the run's id."""
    done = gitrun("record", "--id-file", ".git/id", *words, cwd=repo, **more)
    assert done.code == 0, done.stderr
    return (repo / ".git/id").read_text().strip()


def coverage(git: Git, repo: Path, run_id: str | None = None) -> Any:
    return record_of(git, repo, run_id or run_ids(git, repo)[-1])["coverage"]["outputs"]


def test_what_was_made_changed_and_ignored_is_kept(make_repo: MakeRepo, gitrun: Gitrun, git: Git) -> None:
    repo = make_repo(
        {"results.txt": "old\n", "same.txt": "same\n", "code.py": "x = 1\n", ".gitignore": "out/\n*.bin\n"}
    )
    script = (
        "mkdir -p out/deep .cache __pycache__; printf model > out/deep/m.pt; head -c 3000000 /dev/urandom > big.bin;"
        "printf new > results.txt; printf 'same\\n' > same.txt; touch code.py; ln -s results.txt latest;"
        "printf x > .cache/x; printf x > __pycache__/m.pyc; printf S=1 > .env; printf t > gone; rm gone"
    )
    run = record(gitrun, repo, "--", "sh", "-c", script)
    found = outputs(git, repo)
    assert sorted(found) == [".env", "big.bin", "latest", "out/deep/m.pt", "results.txt"]
    assert {line["evidence"] for line in found.values()} == {"scan"} and coverage(git, repo) == "complete"
    assert content(repo, run, "out/deep/m.pt") == b"model" and content(repo, run, "results.txt") == b"new"
    assert content(repo, run, "big.bin") == (repo / "big.bin").read_bytes()
    assert (found["latest"]["type"], found["latest"]["target"]) == ("link", "results.txt")
    assert found[".env"] | {"reason": "secret", "sha256": None, "stored": False} == found[".env"]
    shown = gitrun("show", "--json", cwd=repo).json()["artifacts"]
    assert {one["path"] for one in shown if one["kind"] == "output"} == set(found)


def test_another_mode_and_what_a_link_leads_to_are_results(
    make_repo: MakeRepo, gitrun: Gitrun, git: Git, tmp_path: Path
) -> None:
    repo = make_repo({"tool": "x", "touched": "x"})
    (repo / "latest").symlink_to(tmp_path / "scratch")
    (tmp_path / "other").write_text("old")
    os.symlink(tmp_path / "other", repo / "other")
    record(gitrun, repo, "--", "sh", "-c", "echo 1 >latest; chmod +x tool; chmod 600 touched")
    found = outputs(git, repo)
    assert found.keys() == {str(tmp_path / "scratch"), "tool"}
    assert (found["tool"]["mode"], found[str(tmp_path / "scratch")]["stored"]) == ("0755", True)


def test_a_run_without_outputs_has_none(make_repo: MakeRepo, gitrun: Gitrun, git: Git) -> None:
    repo = make_repo({"train.py": "open('train.py').read()\n"})
    (repo / "new.txt").write_text("source as well\n")
    assert gitrun("record", "--id-file", "named.txt", "--", sys.executable, "train.py", cwd=repo).code == 0
    assert outputs(git, repo) == {} and coverage(git, repo) == "complete"
    assert not (repo / ".git/gitrun/store").exists()


def test_what_a_process_says_it_wrote_is_its_own_wherever_it_lies(
    make_repo: MakeRepo, gitrun: Gitrun, git: Git, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    script = (
        "import os, sys, subprocess\nout = sys.argv[1]\nos.symlink(out, 'linked')\nopen('a.csv', 'w').write('a')\n"
        "open(out + '/b.csv', 'w').write('b')\nopen('linked/c.csv', 'w').write('c')\n"
        "subprocess.run(['sh', '-c', 'printf d > d.csv'])\nopen('/dev/null', 'w').write('x')\n"
        "open(os.environ['XDG_CACHE_HOME'] + '/fonts.json', 'w').write('{}')\n"
    )
    repo = make_repo({"train.py": script})
    user = tmp_path / "user"
    user.mkdir()
    run = record(gitrun, repo, "--", sys.executable, "train.py", str(elsewhere), env={"XDG_CACHE_HOME": str(user)})
    found = outputs(git, repo)
    assert {path: line["evidence"] for path, line in found.items()} == {
        "a.csv": "observed", "d.csv": "scan", "linked": "scan",
        f"{elsewhere}/b.csv": "observed", f"{elsewhere}/c.csv": "observed",
    }  # fmt: skip
    assert content(repo, run, f"{elsewhere}/c.csv") == b"c"
    assert coverage(git, repo) == ["not looked through: linked/: a link to a directory elsewhere"]


def test_named_outputs_elsewhere_and_in_caches(make_repo: MakeRepo, gitrun: Gitrun, git: Git, tmp_path: Path) -> None:
    repo, elsewhere = make_repo({"sub/a": "x"}), tmp_path / "elsewhere"
    write_files(elsewhere, {"old.pt": "old", "deep/other.txt": "x"})
    time.sleep(0.05)
    script = f"mkdir -p .cache; printf c > .cache/c; printf n > {elsewhere}/deep/new.pt"
    words = ("--output", f"{elsewhere}/**/*.pt", "--output", "../.cache", "--output", "../nothing*", "--")
    done = gitrun("record", *words, "sh", "-c", f"cd ..; {script}", cwd=repo / "sub")
    assert done.code == 0, done.stderr
    found = outputs(git, repo)
    assert {path: line["evidence"] for path, line in found.items()} == {
        ".cache/c": "declared", f"{elsewhere}/deep/new.pt": "declared"
    }  # fmt: skip
    assert coverage(git, repo) == ["output ../nothing*: names no file that was written"]


def test_what_may_be_stored_is_settled_by_options_and_settings(make_repo: MakeRepo, gitrun: Gitrun, git: Git) -> None:
    repo = make_repo({".gitrun.toml": '[record]\ndata = ["data"]\nno_keep = ["*.log"]\noutput_bytes = "1k"\n'})
    script = (
        "mkdir data out; printf x > data/x; printf l > a.log; printf s > small; head -c 2000 /dev/zero > out/big;"
        "head -c 2000 /dev/zero > left"
    )
    done = gitrun("record", "--keep", "out", "--no-keep=small", "--", "sh", "-c", script, cwd=repo)
    assert done.code == 0 and "2.0 KiB left out" in done.stderr, done.stderr
    assert {path: line["reason"] for path, line in outputs(git, repo).items()} == {
        "a.log": "no_keep", "small": "no_keep", "left": "limit", "out/big": None
    }  # fmt: skip
    assert all(line["sha256"] for line in outputs(git, repo).values())
    full = {"GITRUN_RECORD_OUTPUT_FLOOR": "9000t"}
    run = record(gitrun, repo, "--", "sh", "-c", "printf y > small", env=full)
    assert outputs(git, repo, run)["small"]["reason"] == "space"


def test_loaded_and_root_files_are_no_outputs_as_well(make_repo: MakeRepo, gitrun: Gitrun, git: Git) -> None:
    repo = make_repo({".gitignore": "_gen.py\n", "main.py": "open('_gen.py', 'w').write('X = 1\\n')\nimport _gen\n"})
    inner = repo / "inner"
    git("init", "-q", str(inner))
    write_files(inner, {"a.txt": "a", "b.txt": "b"})
    git("add", "-A", cwd=inner)
    git("commit", "-q", "-m", "x", cwd=inner)
    run = record(gitrun, repo, "--", sys.executable, "main.py")
    assert outputs(git, repo, run) == {}  # the module is kept as loaded
    run = record(gitrun, repo, "--", "sh", "-c", "touch inner/a.txt; printf c > inner/b.txt")
    assert sorted(outputs(git, repo, run)) == ["inner/b.txt"]


def test_runs_side_by_side_claim_only_what_is_theirs(make_repo: MakeRepo, gitrun: Gitrun, git: Git) -> None:
    script = "import sys, time\nopen(sys.argv[1], 'w').write('x')\ntime.sleep(float(sys.argv[2]))\n"
    repo = make_repo({"train.py": script})
    with recorder(repo, "sh", "-c", f"{sys.executable} train.py one 0; printf x > shell; sleep 3") as first:
        started(repo)
        second = record(gitrun, repo, "--", sys.executable, "train.py", "two", "0")
        assert first.wait(30) == 0
    (one,) = set(run_ids(git, repo)) - {second}
    said = {path: line["evidence"] for path, line in outputs(git, repo, second).items()}
    assert said["two"] == "observed" and set(said.values()) <= {"observed", "ambiguous"}
    said = {path: line["evidence"] for path, line in outputs(git, repo, one).items()}
    assert said == {"one": "observed", "shell": "ambiguous", "two": "ambiguous"}
    alone = record(gitrun, repo, "--", "sh", "-c", "printf y > alone")
    assert outputs(git, repo, alone)["alone"]["evidence"] == "scan"


def test_a_run_inside_a_run_is_no_stranger(make_repo: MakeRepo, gitrun: Gitrun, git: Git) -> None:
    repo = make_repo()
    inner = " ".join(RECORD) + " sh -c 'printf x > made'"
    outer = record(gitrun, repo, "--", "sh", "-c", inner)
    (child,) = set(run_ids(git, repo)) - {outer}
    for run in (outer, child):
        assert outputs(git, repo, run)["made"]["evidence"] == "scan"


def test_what_changed_after_the_last_proof_of_life_is_ambiguous(make_repo: MakeRepo, gitrun: Gitrun, git: Git) -> None:
    repo = make_repo()
    with recorder(repo, "sh", "-c", "printf a > early; echo done; sleep 60", process_group=0) as process:
        started(repo)
        wait_for(lambda: (repo / "early").exists() and list(repo.glob(".git/gitrun/live/2*/members/0/console")))
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGKILL)
    time.sleep(0.1)
    (repo / "late").write_text("by somebody else")
    assert gitrun("recover", cwd=repo).code == 0
    found = outputs(git, repo)
    assert {path: line["evidence"] for path, line in found.items()} == {"early": "scan", "late": "ambiguous"}
    assert content(repo, run_ids(git, repo)[0], "early") == b"a"


def test_a_replay_has_outputs_of_its_own(make_repo: MakeRepo, gitrun: Gitrun, git: Git) -> None:
    repo = make_repo({"train.py": "open('a.csv', 'w').write('a')\n"})
    run = record(gitrun, repo, "--", sys.executable, "train.py")
    replay = gitrun("replay", "--json", run, cwd=repo).json()["replay"]
    assert list(outputs(git, repo, replay)) == ["a.csv"] and content(repo, replay, "a.csv") == b"a"


def test_a_collector_leaves_outputs_alone(make_repo: MakeRepo, gitrun: Gitrun, git: Git) -> None:
    repo = make_repo()
    run = record(gitrun, repo, "--", "sh", "-c", "head -c 12000000 /dev/urandom > large; printf s > small")
    assert "chunk_list" in outputs(git, repo)["large"]
    before = (repo / "large").read_bytes()
    (repo / "large").unlink()
    assert gitrun("gc", cwd=repo).code == 0 and gitrun("fsck", "--data", cwd=repo).code == 0
    assert content(repo, run, "large") == before and content(repo, run, "small") == b"s"


# -- when there is little time


def deferring(make_repo: MakeRepo) -> Path:
    """A repository whose one run was sealed without its outputs: its recorder was killed after it."""
    repo = make_repo()
    script = "head -c 9000000 /dev/urandom > large; printf s > small; printf c > changed"
    env = {**os.environ, "GITRUN_RECORD_OUTPUT_TIME": "0"}
    subprocess.run([sys.executable, "-c", _KILLED, "--", "sh", "-c", script], cwd=repo, env=env)
    return repo


_KILLED = """
import os, sys
import gitrun.recording.completing as completing
completing.complete = lambda *args: os.kill(os.getpid(), 9)
from gitrun.cli.fast import main
sys.exit(main(sys.argv[1:]))
"""


def test_outputs_without_time_are_sealed_as_deferred_and_stored_by_recover(
    make_repo: MakeRepo, gitrun: Gitrun, git: Git
) -> None:
    repo = deferring(make_repo)
    (run,) = run_ids(git, repo)
    assert {line["reason"] for line in outputs(git, repo).values()} == {"deferred"}
    assert os.listdir(repo / ".git/gitrun/deferred") == [run]
    (repo / "changed").write_text("C")
    done = gitrun("recover", cwd=repo)
    assert done.code == 0 and "changed: it was changed or removed since the run was sealed" in done.stderr
    assert content(repo, run, "large") == (repo / "large").read_bytes() and content(repo, run, "small") == b"s"
    shown = {one["path"]: one for one in gitrun("show", "--json", cwd=repo).json()["artifacts"]}
    assert shown["large"]["stored"] is True and shown["large"]["sha256"]
    assert (shown["changed"]["stored"], shown["changed"]["reason"]) == (False, "deferred")
    assert os.listdir(repo / ".git/gitrun/deferred") == []
    before = (repo / "large").read_bytes()
    (repo / "large").unlink()
    assert gitrun("gc", cwd=repo).code == 0 and gitrun("fsck", "--data", cwd=repo).code == 0
    assert content(repo, run, "large") == before
    assert "nothing to recover" in gitrun("recover", cwd=repo).stderr


def test_the_recorder_stores_what_was_deferred_itself(make_repo: MakeRepo, gitrun: Gitrun, git: Git) -> None:
    repo = make_repo()
    done = gitrun("record", "--", "sh", "-c", "printf x > a", cwd=repo, env={"GITRUN_RECORD_OUTPUT_TIME": "0"})
    assert done.code == 0 and "left out" not in done.stderr, done.stderr
    (run,) = run_ids(git, repo)
    assert outputs(git, repo)["a"]["reason"] == "deferred" and content(repo, run, "a") == b"x"
    assert os.listdir(repo / ".git/gitrun/deferred") == []


SLOW = """
import sys, time
import gitrun.recording.job as job
assert job.SEAL_S == 20.0
job.SEAL_S = 10.0  # so that the test need not take as long
from gitrun.store.ingest import _Bounded
true = _Bounded.readinto
def slow(self, room):
    time.sleep(0.02)
    return true(self, room[:65536])
_Bounded.readinto = slow
from gitrun.cli.fast import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_to_end_seals_in_time(make_repo: MakeRepo, git: Git, gitrun: Gitrun, number: signal.Signals) -> None:
    """A disk that gives 3 MiB a second, and 200 MB to take: storing is cut short wherever it is."""
    repo = make_repo()
    script = "head -c 200000000 /dev/zero | tr '\\0' x > large; printf s > small; echo written"
    if number == signal.SIGTERM:
        script += "; exec sleep 60"
    argv = [sys.executable, "-c", SLOW, "--", "sh", "-c", script]
    process = subprocess.Popen(argv, cwd=repo, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process:
        assert process.stdout is not None and process.stdout.readline() == b"written\n"
        if number == signal.SIGINT:
            time.sleep(2)  # the command has ended, and its outputs are being stored
        asked = time.monotonic()
        process.send_signal(number)
        wait_for(lambda: run_ids(git, repo), 15)
        took = time.monotonic() - asked
        process.send_signal(signal.SIGTERM)  # once more: not even what is left is stored
        assert process.wait(15) in (143, 0, -signal.SIGTERM)  # the last where it was about to exit anyway
    assert took < 10 and live(repo) == []
    found = outputs(git, repo)
    assert found["small"]["stored"] and found["large"]["reason"] == "deferred"
    assert gitrun("recover", cwd=repo).code == 0
    assert content(repo, run_ids(git, repo)[0], "large") == (repo / "large").read_bytes()


# -- other disks, and full ones


def test_a_tree_on_another_file_system_has_its_own_clock(make_repo: MakeRepo, gitrun: Gitrun, git: Git) -> None:
    memory = Path("/dev/shm")
    repo = make_repo({".gitignore": "*.bin\n"})
    if not os.access(memory, os.W_OK) or os.stat(memory).st_dev == os.stat(repo).st_dev:
        pytest.skip("there is no second file system")
    with tempfile.TemporaryDirectory(dir=memory) as elsewhere:
        write_files(repo, {"before.bin": "x"})
        time.sleep(0.1)
        run = record(gitrun, repo, "--", "sh", "-c", "printf x > after.bin", env={"GITRUN_DIR": f"{elsewhere}/gitrun"})
        assert sorted(outputs(git, repo, run)) == ["after.bin"] and coverage(git, repo, run) == "complete"
        assert git("status", "--porcelain", "--ignored", cwd=repo).stdout == "!! after.bin\n!! before.bin\n"


FULL = """
import sys
import gitrun.store.ingest as ingest
def full(*_): raise OSError(28, "No space left on device")
ingest.PackFile = full
from gitrun.cli.fast import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_full_disk_costs_the_content_and_not_the_run(make_repo: MakeRepo, git: Git) -> None:
    repo = make_repo()
    done = subprocess.run([sys.executable, "-c", FULL, "--", "sh", "-c", "printf x > a"], cwd=repo)
    (run,) = run_ids(git, repo)
    line = outputs(git, repo)["a"]
    assert done.returncode == 0 and (line["stored"], line["reason"]) == (False, "space")
    assert line["sha256"] == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    assert coverage(git, repo, run)[0].startswith("nothing is stored: ")
