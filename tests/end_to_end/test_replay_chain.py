"""Replays of resumed runs: one leg from its checkpoint, or the whole chain."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Result

Call = Callable[..., Result]
PROGRAM = """
import os, sys
import gitrun
start, end = int(sys.argv[1]), int(sys.argv[2])
value = float(open("checkpoint").read()) if os.path.exists("checkpoint") else 1.0
assert start == 0 or value != 1.0
for step in range(start, end):
    value = value * 0.9 + float(os.environ.get("NOISE", "0"))
    gitrun.log({"loss": value}, step=step)
with open("checkpoint", "w") as file:
    file.write(repr(value))
"""


def test_a_leg_is_replayed_from_its_checkpoint_and_a_chain_as_a_whole(
    make_repo: Callable[..., Path], gitrun: Call, tmp_path: Path
) -> None:
    repo = make_repo({"train.py": PROGRAM, ".gitignore": "checkpoint\n"})
    ids = []
    for n, words in enumerate((("0", "3"), ("3", "6"))):
        id_file = tmp_path / f"id-{n}"
        more = ("--resume", ids[0]) if ids else ()
        gitrun("record", "-q", "--id-file", id_file, *more, "--", sys.executable, "train.py", *words, cwd=repo)
        ids.append(id_file.read_text().strip())
    (repo / "checkpoint").write_text("-1.0")  # whatever lies there now

    leg = gitrun("replay", ids[1], "--env", "current", "--json", cwd=repo)
    assert (leg.code, leg.json()["verdict"]) == (0, "bit"), leg.stdout + leg.stderr
    assert any(f"what run {ids[0]} had left there is used" in cause for cause in leg.json()["causes"])

    chain = gitrun("replay", ids[1], "--chain", "--env", "current", "--json", cwd=repo)
    found = chain.json()
    assert (chain.code, found["verdict"], found["run"]) == (0, "bit", ids[1]), chain.stdout + chain.stderr
    assert [(each["run"], each["verdict"]) for each in found["chain"]] == [(run, "bit") for run in ids]

    noisy = gitrun("replay", ids[1], "--chain", "--env", "current", "--json", cwd=repo, env={"NOISE": "0.5"})
    assert (noisy.code, noisy.json()["verdict"]) == (3, "differs"), noisy.stderr
    assert (repo / "checkpoint").read_text() == "-1.0"
    assert list((repo / ".git" / "gitrun" / "replays").iterdir()) == []


def test_a_chain_has_no_goal(make_repo: Callable[..., Path], gitrun: Call) -> None:
    repo = make_repo()
    done = gitrun("replay", "@", "--chain", "--until", "step=3", cwd=repo)
    assert done.code == 2
    assert "--chain" in done.stderr
    assert os.listdir(repo)
