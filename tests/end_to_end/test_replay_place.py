"""Where a replay runs: at the run's own path, with nothing of the user's touched, or elsewhere and saying so."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitrun.replay.mounts import refusal
from tests.conftest import Result
from tests.package_index import Installation, make_wheel

Call = Callable[..., Result]
needs_namespaces = pytest.mark.skipif(refusal([]) is not None, reason="no mount namespaces here")
PROGRAM = """
import os, subprocess, sys
import gitrun
import helper
print(os.getcwd(), __file__, helper.__file__, sys.argv[1:])
print(sorted(os.listdir(".")), open("data/in.txt").read())
git = ["git", "status", "--short"], ["git", "log", "--oneline"]
print([subprocess.run(words, capture_output=True, text=True) for words in git])
os.makedirs("out", exist_ok=True)
with open("out/model.bin", "wb") as file:
    file.write(b"weights")
gitrun.log_artifact("out/model.bin", "kept.bin")
gitrun.log({"loss": 0.5}, step=1)
"""
NESTED = "import subprocess, sys\nsubprocess.run([sys.executable, '-m', 'gitrun', 'record', '-q', '--', 'true'])\n"


def record(gitrun: Call, repo: Path, *words: str, options: tuple[str, ...] = ()) -> str:
    id_file = repo.parent / f"id-{os.urandom(4).hex()}"
    gitrun("record", "--id-file", id_file, "--quiet", *options, "--", *words, cwd=repo)
    return id_file.read_text().strip()


def everything(repo: Path) -> dict[str, str]:
    """Every file below a repository with its content and mode, but for gitrun's own and its Git objects and refs."""
    found = {}
    for path in sorted(repo.rglob("*")):
        name = str(path.relative_to(repo))
        if name.startswith((".git/gitrun/", ".git/objects/", ".git/refs/gitrun", ".git/packed-refs")):
            continue
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        data = content.encode() if isinstance(content, str) else content
        found[name] = f"{path.lstat().st_mode:o} {hashlib.sha256(data).hexdigest()}"
    return found


@pytest.fixture
def edited(make_repo: Callable[..., Path], gitrun: Call) -> tuple[Path, str]:
    """A repository with a run, whose every file was changed since."""
    repo = make_repo({"train.py": PROGRAM, "helper.py": "", ".gitignore": "data/\n"})
    (repo / "data").mkdir()
    (repo / "data" / "in.txt").write_text("in")
    (repo / "helper.py").write_text("X = 1\n")
    run = record(gitrun, repo, sys.executable, str(repo / "train.py"), f"--config={repo}/train.py")
    (repo / "train.py").write_text("raise SystemExit('the edited one')\n")
    (repo / "helper.py").unlink()
    (repo / "old-output").write_text("of an earlier run")
    return repo, run


@needs_namespaces
def test_a_replay_sees_its_checkout_at_the_runs_own_path(
    edited: tuple[Path, str], gitrun: Call, tmp_path: Path
) -> None:
    repo, run = edited
    before = everything(repo)
    done = gitrun("replay", run, "--env", "current", "--json", cwd=repo)
    assert done.json()["verdict"] == "bit", done.stdout + done.stderr
    assert done.json()["console"] == {"stdout": True, "stderr": True}
    assert done.json()["console"] == {"stdout": True, "stderr": True}
    assert not any("place" in cause for cause in done.json()["causes"])
    assert everything(repo) == before
    shown = gitrun("show", done.json()["replay"], "--json", cwd=repo).json()
    assert [each["path"] for each in shown["source"]["extra"]] == []  # nothing that was edited was taken for its own
    assert {each["path"] for each in shown["artifacts"]} == {"data/in.txt", "kept.bin", "out/model.bin"}
    assert list((repo / ".git" / "gitrun" / "replays").iterdir()) == []
    assert list((Path(os.environ["XDG_CACHE_HOME"]) / "gitrun" / "replays").iterdir()) == []

    elsewhere = {"GITRUN_REPLAY_PLACE": "elsewhere"}
    done = gitrun("replay", run, "--env", "current", "--json", cwd=repo, env=elsewhere)
    assert (done.json()["verdict"], done.json()["console"]["stdout"]) == ("bit", False)
    assert any("not run at its old place: the setting" in cause for cause in done.json()["causes"])
    assert everything(repo) == before


def test_where_the_system_refuses_a_namespace_it_runs_elsewhere(edited: tuple[Path, str], gitrun: Call) -> None:
    repo, run = edited
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-r", "true"], check=False).returncode:
        pytest.skip("no user namespace, in which namespaces could be refused")
    words = 'echo 0 > /proc/sys/user/max_mnt_namespaces; exec "$@"'
    own = [sys.executable, "-m", "gitrun", "replay", run, "--env", "current"]
    before = everything(repo)
    done = subprocess.run(
        ["unshare", "-r", "sh", "-c", words, "sh", *own], cwd=repo, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not run at its old place: the system does not allow it: no namespace" in done.stdout
    assert everything(repo) == before


@needs_namespaces
def test_a_killed_replay_leaves_nothing_behind(make_repo: Callable[..., Path], gitrun: Call, tmp_path: Path) -> None:
    repo = make_repo({"train.py": "x"})
    ready = tmp_path / "ready"
    program = f'if test -e "{ready}.go"; then echo > out; rm train.py; touch "{ready}"; exec sleep 60; fi'
    run = record(gitrun, repo, "sh", "-c", program)
    Path(f"{ready}.go").touch()
    before = everything(repo)
    words = [sys.executable, "-m", "gitrun", "replay", run, "--env", "current"]
    process = subprocess.Popen(words, cwd=repo, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    live = next((repo / ".git/gitrun/live").iterdir())
    pids = [pid for pid, _ in json.loads((live / "members/0/keeper").read_text()).values()]
    for pid in (process.pid, *pids):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    assert everything(repo) == before
    gitrun("recover", cwd=repo)
    Path(f"{ready}.go").unlink()
    assert len(list((repo / ".git/gitrun/replays").iterdir())) == 1
    assert gitrun("replay", run, "--env", "current", "--json", cwd=repo).json()["exit_match"] is True
    assert list((repo / ".git/gitrun/replays").iterdir()) == []
    assert list((Path(os.environ["XDG_CACHE_HOME"]) / "gitrun" / "replays").iterdir()) == []
    assert everything(repo) == before


@needs_namespaces
def test_a_run_inside_a_run_reaches_the_archive_that_its_worktree_hides(
    make_repo: Callable[..., Path], gitrun: Call
) -> None:
    repo = make_repo({"outer.py": NESTED})
    run = record(gitrun, repo, sys.executable, "outer.py")
    before = len(gitrun("ls", "--json", cwd=repo).json())
    done = gitrun("replay", run, "--env", "current", "--json", cwd=repo)
    listed = gitrun("ls", "--json", cwd=repo).json()
    assert len(listed) == before + 2, done.stderr
    assert done.json()["replay"] in {each["links"]["parent"] for each in listed}


def test_clean_gives_an_empty_home_and_names_what_was_read_there(make_repo: Callable[..., Path], gitrun: Call) -> None:
    program = (
        "import os, pathlib\nhome = pathlib.Path.home()\nprint(sorted(os.listdir(home)))\n"
        "known = home / '.cache' / 'model'\nprint(known.read_text() if known.exists() else 'none')\n"
        "open('out', 'w').write(os.environ['TMPDIR'])\n"
    )
    repo = make_repo({"t.py": program})
    model = Path(os.environ["HOME"]) / ".cache" / "model"
    model.parent.mkdir(exist_ok=True)
    model.write_text("weights of somebody")
    run = record(gitrun, repo, sys.executable, "t.py")
    model.write_text("changed meanwhile")
    done = gitrun("replay", run, "--env", "current", "--json", cwd=repo)
    assert (done.code, done.json()["replay"]) == (4, None)
    done = gitrun("replay", run, "--env", "current", "--clean", "--json", cwd=repo)
    assert done.json()["verdict"] == "differs", done.stderr
    assert gitrun("logs", done.json()["replay"], cwd=repo).stdout == "[]\nnone\n"
    assert any("state from outside its tree" in cause and ".cache/model" in cause for cause in done.json()["causes"])


def test_standard_input_is_the_file_that_it_was(make_repo: Callable[..., Path], gitrun: Call, tmp_path: Path) -> None:
    repo = make_repo({"f": "x"})
    given, id_file = tmp_path / "given", tmp_path / "id"
    given.write_text("first\nsecond\n")
    own = [sys.executable, "-m", "gitrun", "record", "-q", "--id-file", str(id_file), "--", "sh", "-c", "cat > out"]
    with given.open() as file:
        os.lseek(file.fileno(), len("first\n"), os.SEEK_SET)
        subprocess.run(own, cwd=repo, stdin=file, check=True)
    assert (repo / "out").read_text() == "second\n"
    done = gitrun("replay", id_file.read_text().strip(), "--json", cwd=repo)
    assert (done.code, done.json()["verdict"]) == (0, "bit"), done.stderr
    given.write_text("first\nanother\n")
    done = gitrun("replay", id_file.read_text().strip(), "--json", cwd=repo)
    assert (done.code, done.json()["replay"]) == (4, None)
    assert "standard input" in done.json()["causes"][0]


@needs_namespaces
def test_the_recorded_environment_is_had_again_where_it_lay(make_repo: Callable[..., Path], gitrun: Call) -> None:
    repo = make_repo({"t.py": "import alpha, sys\nprint(alpha.version, sys.prefix, sys.executable)\n"})
    with (repo / ".git/info/exclude").open("a") as file:
        file.write(".venv\n")
    installation = Installation(repo / ".venv")
    installation.install(make_wheel("alpha", "1.0"))
    # the index is nowhere: all of it comes from the store
    id_file = repo.parent / "id"
    words = ("record", "-q", "--id-file", id_file, "--vendor-env", "all", "--", ".venv/bin/python", "t.py")
    gitrun(*words, cwd=repo, env={"GITRUN_LOCK_RESOLVER": "none"})
    (alpha,) = (repo / ".venv").rglob("alpha/__init__.py")
    alpha.write_text("version = '6.6'\n")
    before = everything(repo)
    done = gitrun("replay", id_file.read_text().strip(), "--strict-console", "--json", cwd=repo)
    assert (done.code, done.json()["verdict"]) == (0, "bit"), done.stdout + done.stderr
    assert done.json()["environment"] == {}
    assert everything(repo) == before
