"""gitrun.log_artifact: kept when the call returns, whatever becomes of the file, the program or the disk."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitrun.recording import logged
from tests.conftest import Result
from tests.end_to_end.test_record import record_of, run_ids
from tests.snapshots import store_of
from tests.unit.recording.helpers import wait_for

Git = Callable[..., Result]
Gitrun = Callable[..., Result]
PACKAGE = str(Path(__file__).parents[2])
HEAD = "import gitrun, os, signal, sys, time\n"


def lines(git: Git, repo: Path, kind: str = "artifact") -> dict[str, dict[str, Any]]:
    """The entries of the last run, by path."""
    run_id = run_ids(git, repo)[-1]
    if "artifacts.jsonl" not in record_of(git, repo, run_id)["parts"]:
        return {}
    data = git("cat-file", "blob", f"refs/gitrun/runs/{run_id}:artifacts.jsonl", cwd=repo).stdout_bytes
    every = [json.loads(line) for line in data.splitlines()]
    return {line["path"]: line for line in every if line["kind"] == kind}


def content(repo: Path, line: dict[str, Any]) -> bytes:
    return b"".join(store_of(repo).read([tuple(chunk) for chunk in line["chunks"]]))


@pytest.fixture
def record(make_repo: Callable[..., Path], gitrun: Gitrun) -> Callable[..., tuple[Path, Result]]:
    """Records a program in a new repository."""

    def call(program: str, *flags: str, env: dict[str, str] | None = None) -> tuple[Path, Result]:
        repo = make_repo({"train.py": HEAD + program})
        env = {"PYTHONPATH": PACKAGE, "GITRUN_RECORD_OUTPUT_FLOOR": "1", **(env or {})}
        return repo, gitrun("record", *flags, "--", sys.executable, "train.py", cwd=repo, env=env)

    return call


def test_it_is_kept_as_it_was_when_the_call_returned(record: Callable[..., tuple[Path, Result]], git: Git) -> None:
    repo, done = record(
        "open('model.pt', 'w').write('one')\nos.chmod('model.pt', 0o640)\n"
        "gitrun.log_artifact('model.pt', 'epochs/1.pt')\n"
        "open('model.pt', 'w').write('two')\ngitrun.log_artifact('model.pt')\n"
        "open('model.pt', 'w').write('three')\ngitrun.log_artifact('model.pt')\n"
        "open('model.pt', 'w').write('four')\n"
    )
    assert done.code == 0, done.stderr
    found = lines(git, repo)
    assert {path: content(repo, line) for path, line in found.items()} == {"epochs/1.pt": b"one", "model.pt": b"three"}
    line = found["epochs/1.pt"]
    assert line["from"] == "model.pt" and "from" not in found["model.pt"]
    assert (line["evidence"], line["mode"], line["bytes"], line["stored"]) == ("api", "0640", 3, True)
    assert line["sha256"] == hashlib.sha256(b"one").hexdigest()
    assert content(repo, lines(git, repo, "output")["model.pt"]) == b"four"
    assert record_of(git, repo, run_ids(git, repo)[-1])["coverage"]["artifacts"] == "complete"
    assert not list((repo / ".git/gitrun/live").iterdir())


def test_it_survives_kill_9_of_all(make_repo: Callable[..., Path], gitrun: Gitrun, git: Git) -> None:
    repo = make_repo({
        "train.py": HEAD + "open('w', 'wb').write(b'w' * 3_000_000)\ngitrun.log_artifact('w')\nos.unlink('w')\n"
        "open('ready', 'w').close()\ntime.sleep(60)\n",
    })  # fmt: skip
    env = {**os.environ, "PYTHONPATH": PACKAGE}
    command = [sys.executable, "-m", "gitrun", "record", "--", sys.executable, "train.py"]
    recorder = subprocess.Popen(command, cwd=repo, env=env, stderr=subprocess.DEVNULL)
    wait_for((repo / "ready").exists)
    (live,) = (repo / ".git/gitrun/live").iterdir()
    pids = json.loads((live / "members/0/keeper").read_text())
    for pid in (recorder.pid, pids["keeper"][0], pids["command"][0]):
        os.kill(pid, signal.SIGKILL)
    recorder.wait()
    wait_for(lambda: not os.path.exists(f"/proc/{pids['command'][0]}"))
    assert gitrun("recover", cwd=repo).code == 0
    assert content(repo, lines(git, repo)["w"]) == b"w" * 3_000_000


def test_directories_links_and_what_is_no_file(record: Callable[..., tuple[Path, Result]], git: Git) -> None:
    repo, done = record(
        "os.makedirs('d/below')\n"
        "for path in ('d/a', 'd/below/b'):\n    open(path, 'w').write(path)\n"
        "os.symlink('a', 'd/link')\nos.symlink('..', 'd/up')\nos.mkfifo('pipe')\n"
        "gitrun.log_artifact('d')\ngitrun.log_artifact('d', 'named')\ngitrun.log_artifact(b'd/link', 'alone')\n"
        "gitrun.log_artifact('pipe')\ngitrun.log_artifact('nowhere')\n"
        "for bad in ('/x', '../x', 'a//b', '', '.'):\n"
        "    try:\n        gitrun.log_artifact('d/a', bad)\n    except ValueError:\n        continue\n    sys.exit(9)\n"
    )
    assert done.code == 0, done.stderr
    found = {path: content(repo, line) for path, line in lines(git, repo).items()}
    assert found == {
        "d/a": b"d/a", "d/below/b": b"d/below/b", "d/link": b"d/a", "alone": b"d/a",
        "named/a": b"d/a", "named/below/b": b"d/below/b", "named/link": b"d/a",
    }  # fmt: skip
    assert "pipe is not kept: it is no file" in done.stderr and "nowhere is not kept" in done.stderr


def test_a_name_that_nobody_could_write_is_refused_at_once(
    record: Callable[..., tuple[Path, Result]], git: Git
) -> None:
    repo, done = record(
        "os.makedirs('d/.git')\nfor path in ('d/a', 'd/.git/b'):\n    open(path, 'w').write(path)\n"
        "for bad in ('x' * 256, 'd/' * 2048 + 'x', '.git/x', 'a/.GIT'):\n"
        "    try:\n        gitrun.log_artifact('d/a', bad)\n    except ValueError:\n        continue\n    sys.exit(9)\n"
        "gitrun.log_artifact('d')\ngitrun.log_artifact('d/.git/b')\ngitrun.log_artifact('d/a', '.g\\u200cit/x')\n"
    )
    assert done.code == 0, done.stderr
    assert set(lines(git, repo)) == {"d/a"} and "d/.git/b is not kept" in done.stderr
    (said,) = record_of(git, repo, run_ids(git, repo)[-1])["coverage"]["artifacts"]
    assert said.startswith("not kept: a name that some system takes for .git")


def test_more_than_are_kept_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "live/members/0").mkdir(parents=True)
    (tmp_path / "w").write_text("w")
    program = "import gitrun\nfor n in range(5):\n    gitrun.log_artifact('w', str(n))\n"
    env = {**os.environ, "PYTHONPATH": PACKAGE, "GITRUN_RUN_DIR": str(tmp_path / "live")}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=env, check=True)
    monkeypatch.setattr(logged, "MAX_FILES", 3)
    found, problems = logged.read_logged(str(tmp_path / "live/members/0"), None)
    assert (len(found), problems) == (3, ["5 files were handed over, of which 3 were kept"])


def test_outside_a_run_it_says_so_once(tmp_path: Path) -> None:
    program = (
        "import sys\nbefore = set(sys.modules)\nimport gitrun\n"
        "assert set(sys.modules) - before <= {'gitrun', '__future__'}, set(sys.modules) - before\n"
        "gitrun.log_artifact('nothing')\ngitrun.log_artifact('nothing')\n"
    )
    for quiet, said in (("", 1), ("1", 0)):
        env = {**os.environ, "PYTHONPATH": PACKAGE, "GITRUN_QUIET": quiet}
        done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True)
        assert (done.returncode, done.stderr.count("not in a recorded run")) == (0, said), done.stderr


def test_the_program_goes_on_where_there_is_no_room(record: Callable[..., tuple[Path, Result]], git: Git) -> None:
    program = "open('w', 'wb').write(b'w' * 3_000_000)\ngitrun.log_artifact('w')\nprint('went on')\n"
    for setting, value, reason in (("FLOOR", str(1 << 60), "space"), ("BYTES", "2M", "limit")):
        repo, done = record(program, env={f"GITRUN_RECORD_OUTPUT_{setting}": value})
        assert done.code == 0 and done.stdout == "went on\n" and "w is not kept" in done.stderr
        line = lines(git, repo)["w"]
        assert (line["stored"], line["reason"], line["bytes"]) == (False, reason, 3_000_000)
        for path in sorted(repo.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        repo.rmdir()


def test_a_write_that_fails_leaves_nothing_half(record: Callable[..., tuple[Path, Result]], git: Git) -> None:
    repo, done = record(
        "import resource\nopen('w', 'wb').write(b'w' * 3_000_000)\nopen('small', 'w').write('s')\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))\n"
        "gitrun.log_artifact('w')\ngitrun.log_artifact('small')\nprint('went on')\n"
    )
    assert done.code == 0 and done.stdout == "went on\n" and "w is not kept" in done.stderr
    found = lines(git, repo)
    assert found["w"]["stored"] is False and content(repo, found["small"]) == b"s"


def test_artifacts_and_outputs_share_one_budget(record: Callable[..., tuple[Path, Result]], git: Git) -> None:
    repo, done = record(
        "for name in 'ab':\n    open(name, 'wb').write(os.urandom(600_000))\n"
        "gitrun.log_artifact('a')\nos.unlink('a')\n",
        env={"GITRUN_RECORD_OUTPUT_BYTES": "1M"},
    )
    assert done.code == 0, done.stderr
    assert lines(git, repo)["a"]["stored"] is True
    assert lines(git, repo, "output")["b"]["reason"] == "limit"


def test_what_there_was_no_time_for_is_stored_from_its_copy(
    record: Callable[..., tuple[Path, Result]], gitrun: Gitrun, git: Git
) -> None:
    repo, done = record(
        "open('w', 'w').write('one')\ngitrun.log_artifact('w')\nopen('w', 'w').write('two')\n",
        env={"GITRUN_RECORD_OUTPUT_TIME": "0"},
    )
    assert done.code == 0, done.stderr
    line = lines(git, repo)["w"]
    assert (line["reason"], line["stored"]) == ("deferred", False)
    shown = gitrun("show", "@", "--json", cwd=repo).json()["artifacts"]
    assert [(one["kind"], one["stored"]) for one in shown] == [("artifact", True), ("output", True)]
    digests = [hashlib.sha256(data).hexdigest() for data in (b"one", b"two")]
    assert [one["sha256"] for one in shown] == digests
    assert list((repo / ".git/gitrun/deferred").iterdir()) == []


KILLED = """
import os, sys
import gitrun.recording.completing as completing
completing.complete = lambda *args: os.kill(os.getpid(), 9)
from gitrun.cli.fast import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_copy_waits_for_recover(make_repo: Callable[..., Path], gitrun: Gitrun, git: Git) -> None:
    repo = make_repo({"train.py": HEAD + "open('w', 'w').write('one')\ngitrun.log_artifact('w')\nos.unlink('w')\n"})
    env = {**os.environ, "PYTHONPATH": PACKAGE, "GITRUN_RECORD_OUTPUT_TIME": "0", "GITRUN_RECORD_OUTPUT_FLOOR": "1"}
    subprocess.run([sys.executable, "-c", KILLED, "--", sys.executable, "train.py"], cwd=repo, env=env)
    (run_id,) = run_ids(git, repo)
    deferred = repo / ".git/gitrun/deferred"
    assert sorted(os.listdir(deferred)) == [run_id, run_id + ".artifacts"]
    assert gitrun("recover", cwd=repo, env={"GITRUN_RECORD_OUTPUT_FLOOR": "1"}).code == 0
    (shown,) = gitrun("show", "@", "--json", cwd=repo).json()["artifacts"]
    assert (shown["stored"], shown["sha256"]) == (True, hashlib.sha256(b"one").hexdigest())
    assert list(deferred.iterdir()) == []


def test_forked_workers_and_a_secret(record: Callable[..., tuple[Path, Result]], git: Git) -> None:
    repo, done = record(
        "open('.env', 'w').write('x')\ngitrun.log_artifact('.env')\n"
        "for n in range(3):\n    if os.fork() == 0:\n        open(f'w{n}', 'w').write(str(n))\n"
        "        gitrun.log_artifact(f'w{n}')\n        os._exit(0)\n    os.wait()\n"
    )
    assert done.code == 0, done.stderr
    found = lines(git, repo)
    assert [content(repo, found[f"w{n}"]) for n in range(3)] == [b"0", b"1", b"2"]
    assert (found[".env"]["reason"], found[".env"]["sha256"], found[".env"]["stored"]) == ("secret", None, False)


def test_after_its_run_nothing_is_written(record: Callable[..., tuple[Path, Result]], git: Git) -> None:
    repo, done = record(
        "open('w', 'w').write('w')\n"
        "if os.fork() == 0:\n    os.setsid()\n    here = os.environ['GITRUN_RUN_DIR']\n"
        "    while os.path.exists(here):\n        time.sleep(0.05)\n"
        "    sys.stderr = open('said', 'w', buffering=1)\n    gitrun.log_artifact('w')\n"
        "    os.rename('said', 'done')\n",
        env={"GITRUN_RECORD_GRACE": "0"},
    )
    assert done.code == 0
    wait_for((repo / "done").exists)
    assert "this run is over" in (repo / "done").read_text()
    assert not list((repo / ".git/gitrun/live").iterdir())


def test_frames_of_strangers_are_judged(record: Callable[..., tuple[Path, Result]], git: Git, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("not ours")
    repo, done = record(
        f"sys.path.insert(0, {PACKAGE!r})\n"
        "from gitrun.child.frames import frame, pack_value\n"
        "member = os.environ['GITRUN_RUN_DIR'] + '/members/0/'\nos.mkdir(member + 'artifacts')\n"
        f"os.symlink({str(tmp_path / 'outside')!r}, member + 'artifacts/1-' + '0' * 16)\n"
        "base = {'kind': 'artifact', 'path': b'/x', 'name': b'', 'at_ns': 1, 'bytes': 1, 'mode': 0o644}\n"
        "bad = [7, {}, {**base, 'name': b'../x'}, {**base, 'name': b'/etc/x'}, {**base, 'path': b'x'},\n"
        "       {**base, 'copy': '../../run.json'}, {**base, 'bytes': -1}, {**base, 'name': b'.git/config'}]\n"
        "good = {**base, 'name': b'link', 'copy': '1-' + '0' * 16}\n"
        "data = b''.join(frame(pack_value(one)) for one in [*bad, good])\n"
        "open(member + 'artifacts-1-00000000', 'wb').write(data + b'torn')\n"
    )
    assert done.code == 0, done.stderr
    found = lines(git, repo)
    assert set(found) == {"link"} and found["link"]["stored"] is False
    said = record_of(git, repo, run_ids(git, repo)[-1])["coverage"]["artifacts"]
    assert len([one for one in said if "is not what log_artifact writes" in one]) == 6
    assert len([one for one in said if one.startswith("not kept: ")]) == 2


def test_it_is_quick(tmp_path: Path) -> None:
    member = tmp_path / "live/members/0"
    member.mkdir(parents=True)
    (tmp_path / "w").write_bytes(os.urandom(8 << 20))
    program = (
        "import gitrun, time\ngitrun.log_artifact('w', 'first')\nbegan = time.perf_counter()\n"
        "gitrun.log_artifact('w')\nprint(time.perf_counter() - began)\n"
    )
    env = {**os.environ, "PYTHONPATH": PACKAGE, "GITRUN_RUN_DIR": str(tmp_path / "live")}
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert float(done.stdout) < 0.5, done.stderr  # 8 MiB are copied in 5 ms on an idle machine
