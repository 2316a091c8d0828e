"""The user's `git gc` at any moment beside recordings: neither the repository nor a run loses an object.

`git gc --prune=now` removes every loose object and every pack that nothing names at that instant, and all
files that look temporary. gitrun writes objects before it names them, and the user's `git add` relies
on what gitrun has written, so both sides could lose what the other had promised.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

from gitrun.archive.archive import Archive
from gitrun.git.refs import RUNS
from gitrun.replay.checkout import checkout
from gitrun.replay.source import of_run
from tests.conftest import Result

RECORDERS, RUNS_EACH, PATIENCE_S = 2, 12, 10.0
ACTIONS = ("prune", "auto", "commit")


class Recorder(threading.Thread):
    """Edits a file of its own and records, again and again."""

    def __init__(self, number: int, repo: Path, gitrun: Callable[..., Result], until_s: float) -> None:
        super().__init__()
        self.path, self.repo, self.gitrun, self.until_s = f"own{number}.py", repo, gitrun, until_s
        self.contents: dict[str, str] = {}
        self.failures: list[str] = []

    def run(self) -> None:
        for n in range(RUNS_EACH):
            if n and time.monotonic() > self.until_s:
                return
            content = f"{self.path} {n}\n"
            (self.repo / self.path).write_text(content)
            done = self.gitrun("record", "--quiet", "--", "sh", "-c", "echo $GITRUN_RUN_ID; sleep .1", cwd=self.repo)
            if done.code != 0 or done.stderr:
                self.failures.append(f"{done.code}: {done.stderr}")
            self.contents[done.stdout.strip()] = content


class User:
    """Collects garbage, and commits what a run has written whose ref is then removed."""

    def __init__(self, repo: Path, git: Callable[..., Result], gitrun: Callable[..., Result]) -> None:
        self.repo, self.git, self.gitrun = repo, git, gitrun
        self.committed: dict[str, str] = {}

    def do(self, action: str) -> None:
        if action == "prune":
            self.git("gc", "-q", "--prune=now", cwd=self.repo)
        elif action == "auto":
            self.git("gc", "-q", "--auto", cwd=self.repo)
        else:
            self.commit(f"work {len(self.committed)}\n")

    def commit(self, content: str) -> None:
        (self.repo / "new").mkdir(exist_ok=True)
        (self.repo / "new" / "user.py").write_text(content)
        done = self.gitrun("record", "--quiet", "--", "sh", "-c", "echo $GITRUN_RUN_ID", cwd=self.repo)
        assert done.code == 0, done.stderr
        self.git("add", "new", cwd=self.repo)  # finds the blob in gitrun's pack, and writes none
        self.git("update-ref", "-d", RUNS + done.stdout.strip(), cwd=self.repo)
        self.git("gc", "-q", "--prune=now", cwd=self.repo)
        self.git("commit", "-q", "-m", content, cwd=self.repo)
        self.committed[self.git("rev-parse", "HEAD", cwd=self.repo).stdout.strip()] = content
        self.git("gc", "-q", "--prune=now", cwd=self.repo)


def test_neither_side_loses_anything(
    make_repo: Callable[..., Path], git: Callable[..., Result], gitrun: Callable[..., Result], tmp_path: Path
) -> None:
    repo = make_repo({"train.py": "print(1)\n", **{f"lib/{n}.py": f"{n}\n" * n for n in range(40)}})
    for key, value in (("gc.auto", "1"), ("gc.autoPackLimit", "2"), ("gc.autoDetach", "false")):
        git("config", key, value, cwd=repo)
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")
    moments = random.Random(seed)
    user = User(repo, git, gitrun)
    recorders = [Recorder(n, repo, gitrun, time.monotonic() + PATIENCE_S) for n in range(RECORDERS)]
    for recorder in recorders:
        recorder.start()
    pending = moments.sample(ACTIONS, len(ACTIONS))  # each at least once
    while pending or any(recorder.is_alive() for recorder in recorders):
        time.sleep(moments.random() * 0.2)
        user.do(pending.pop() if pending else moments.choice(ACTIONS))
    for recorder in recorders:
        recorder.join()
        assert recorder.failures == []
    git("gc", "-q", "--prune=now", cwd=repo)

    checked = git("fsck", "--full", cwd=repo)
    assert not any(word in checked.stdout + checked.stderr for word in ("missing", "broken", "corrupt", "error"))
    assert user.committed
    for commit, content in user.committed.items():
        assert git("show", f"{commit}:new/user.py", cwd=repo).stdout == content
    contents = {run_id: (each.path, text) for each in recorders for run_id, text in each.contents.items()}
    with Archive.open(str(repo), os.environ) as archive:
        assert sorted(archive.run_ids()) == sorted(contents)
        for run_id, (path, text) in contents.items():
            run = archive.run(run_id)
            assert run is not None
            checkout(archive, of_run(run), str(tmp_path / run_id))
            assert (tmp_path / run_id / path).read_text() == text
            assert (tmp_path / run_id / "lib" / "39.py").read_text() == "39\n" * 39
