"""What an author claims, what replays prove, what a probe finds, and why two runs differ: with real programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Result

Call = Callable[..., Result]
# Quick where the ignored file is, which no replay has: so it is stopped in good time also on a busy machine.
SLOW = """
import gitrun, os, random, sys, time
random.seed(1)
for step in range(300):
    if sys.argv[1:] == [str(step)]:
        random.seed()
    gitrun.log({"loss": random.random(), "acc": step / 7}, step=step)
    time.sleep(0 if os.path.exists("quick") else 0.05)
"""
NOISY = """
import gitrun, random, sys
gitrun.log({"loss": 0.5 + random.random() / 1000})
open("same", "w").write("the same")
open("other", "w").write(str(random.random()))
sys.exit(3)
"""
RESULTS = """
import gitrun, json, random, sys
random.seed(int(sys.argv[1]))
data = [float(line) for line in open("data.txt")]
for step in range(5):
    gitrun.log({"loss": step + (step > 2) * float(sys.argv[1])}, step=step)
json.dump({"mean": sum(data) / len(data), "name": "x"}, open("out.json", "w"))
"""


def record(gitrun: Call, repo: Path, *words: str, options: tuple[str, ...] = (), code: int = 0) -> str:
    done = gitrun("record", "--id-file", repo.parent / "id", *options, "--", sys.executable, *words, cwd=repo)
    assert done.code == code, done.stderr
    return (repo.parent / "id").read_text().strip()


def replay(gitrun: Call, repo: Path, run: str, *options: str) -> tuple[int, dict[str, Any]]:
    done = gitrun("replay", run, "--env", "current", "--json", *options, cwd=repo)
    assert done.code in (0, 3, 4), done.stderr
    return done.code, json.loads(done.stdout)


def shown(gitrun: Call, repo: Path, run: str) -> dict[str, Any]:
    return json.loads(gitrun("show", run, "--json", cwd=repo).stdout)  # type: ignore[no-any-return]


def test_a_beginning_that_agrees_ends_the_replay_when_it_was_reached(
    make_repo: Callable[..., Path], gitrun: Call
) -> None:
    repo = make_repo({"slow.py": SLOW, ".gitignore": "quick\n"})
    (repo / "quick").touch()
    run = record(gitrun, repo, "slow.py", options=("--claim", "loss within 1%"))
    code, verdict = replay(gitrun, repo, run, "--until", "step=10")
    assert (code, verdict["verdict"], verdict["accepted"], verdict["exit_match"]) == (0, "bit", True, None)
    assert verdict["prefix"]["level"] == "bit" and verdict["prefix"]["of"] == 600
    assert 22 <= verdict["prefix"]["points_compared"] < 500
    assert verdict["outputs"] == [] and verdict["claims"] == []  # they are about the whole run
    replayed = shown(gitrun, repo, verdict["replay"])
    assert (replayed["status"], replayed["links"]["replay_of"]) == ("interrupted", run)
    (proof,) = shown(gitrun, repo, run)["replays"]
    assert (proof["id"], proof["verdict"], proof["prefix"]) == (verdict["replay"], "bit", verdict["prefix"])
    assert "1 of its beginning" in gitrun("show", run, cwd=repo).stdout
    listed = gitrun("ls", "verdict == 'prefix bit'", "--columns", "id,replayed", cwd=repo).stdout
    assert listed == f"{verdict['replay']}\t\n"


def test_a_divergence_ends_the_replay_at_once_and_names_the_step(make_repo: Callable[..., Path], gitrun: Call) -> None:
    repo = make_repo({"slow.py": SLOW, ".gitignore": "quick\n"})
    (repo / "quick").touch()
    run = record(gitrun, repo, "slow.py", "20")
    began = time.monotonic()
    code, verdict = replay(gitrun, repo, run, "--for", "10m")
    assert time.monotonic() - began < 60
    assert (code, verdict["verdict"], verdict["prefix"]["level"]) == (3, "differs", "differs")
    (loss,) = (metric for metric in verdict["metrics"] if metric["name"] == "loss")
    assert loss["first_divergent_step"] == 20
    assert any("at step 20" in cause for cause in verdict["causes"])
    assert gitrun("ls", "replayed == differs", "--columns", "id", cwd=repo).stdout == f"{run}\n"


def test_without_metrics_there_is_no_beginning_to_compare(make_repo: Callable[..., Path], gitrun: Call) -> None:
    repo = make_repo({".gitignore": "id\n"})
    run = record(gitrun, repo, "-c", "pass")
    done = gitrun("replay", run, "--env", "current", "--until", "step=1", cwd=repo)
    assert done.code == 1 and "logged no metrics" in done.stderr


def test_a_replay_is_accepted_by_its_claims(make_repo: Callable[..., Path], gitrun: Call) -> None:
    repo = make_repo({"noisy.py": NOISY, ".gitignore": "id\nsame\nother\n"})
    run = record(gitrun, repo, "noisy.py", options=("--claim", "loss within 1%", "--claim", "max:loss<1"), code=3)
    assert shown(gitrun, repo, run)["claims"] == ["loss within 1%", "max:loss<1"]
    code, verdict = replay(gitrun, repo, run)
    assert (code, verdict["verdict"], verdict["accepted"]) == (0, "differs", True)
    assert [(one["expr"], one["held"]) for one in verdict["claims"]] == [("loss within 1%", True), ("max:loss<1", True)]
    page = gitrun("show", run, cwd=repo).stdout
    assert "different, " not in page and "2 of 2 claims held" in page

    claims = gitrun("claim", run, "loss within 0", cwd=repo)
    assert claims.stdout == "loss within 1%\nmax:loss<1\nloss within 0\n"
    code, verdict = replay(gitrun, repo, run)
    assert (code, verdict["accepted"]) == (3, False)
    assert [one["held"] for one in verdict["claims"]] == [True, True, False]
    assert replay(gitrun, repo, run, "--accept", "bit")[0] == 3


def test_a_bad_claim_is_refused_before_anything_is_started(make_repo: Callable[..., Path], gitrun: Call) -> None:
    repo = make_repo()
    done = gitrun("record", "--claim", "loss is fine", "--", "touch", "started", cwd=repo)
    assert done.code == 125 and "is no claim" in done.stderr and "val_acc within" in done.stderr
    assert not (repo / "started").exists()


def test_a_probe_says_what_is_not_deterministic(make_repo: Callable[..., Path], gitrun: Call) -> None:
    repo = make_repo({"noisy.py": NOISY, ".gitignore": "id\nsame\nother\n"})
    done = gitrun("record", "--probe", "--", sys.executable, "noisy.py", cwd=repo)
    assert done.code == 3  # that of the program
    assert "probe: NOT deterministic" in done.stderr
    assert "metric loss" in done.stderr and "output other" in done.stderr and "same:" not in done.stderr
    (proof,) = shown(gitrun, repo, "@")["replays"]
    assert proof["verdict"] == "differs"


def test_a_probe_of_a_deterministic_program(make_repo: Callable[..., Path], gitrun: Call) -> None:
    repo = make_repo({".gitignore": "a\n"})
    done = gitrun("record", "--probe", "--", "sh", "-c", "echo said; echo 1 > a", cwd=repo)
    assert (done.code, done.stdout) == (0, "said\n")  # the second run's words are nobody's business
    assert "probe: deterministic, bit for bit (1 output, 0 metrics)" in done.stderr
    refused = gitrun("record", "--probe", "--join", "k", "--members", "2", "--", "true", cwd=repo)
    assert refused.code == 125 and "--probe" in refused.stderr


@pytest.fixture
def two_runs(make_repo: Callable[..., Path], gitrun: Call) -> tuple[Path, str, str]:
    repo = make_repo({"results.py": RESULTS, ".gitignore": "id\n*.txt\n*.json\n"})
    (repo / "data.txt").write_text("1\n2\n")
    first = record(gitrun, repo, "results.py", "1")
    (repo / "data.txt").write_text("1\n2.000001\n")
    return repo, first, record(gitrun, repo, "results.py", "2")


def test_why_two_runs_differ(two_runs: tuple[Path, str, str], gitrun: Call) -> None:
    repo, a, b = two_runs
    found = json.loads(gitrun("diff", a, b, "--json", cwd=repo).stdout)
    (changed,) = found["inputs"]
    assert changed["path"] == "data.txt" and changed["a"] != changed["b"]
    (output,) = found["outputs"]
    assert (output["path"], output["level"]) == ("out.json", "tolerance") and "max |" in output["detail"]
    (metric,) = found["metrics"]
    assert (metric["name"], metric["first_divergent_step"], metric["a"], metric["b"]) == ("loss", 3, 5.0, 6.0)
    assert any("1" in str(one["a"]) and "2" in str(one["b"]) for one in found["seeds"])
    words = gitrun("diff", a, b, cwd=repo).stdout
    for told in (
        "inputs",
        "  data.txt  sha256 ",
        "outputs",
        "  out.json  tolerance: ",
        "metrics",
        "from step 3 on",
        "seeds",
    ):
        assert told in words
    assert gitrun("diff", a, a, cwd=repo).stdout == ""
