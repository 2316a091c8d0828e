"""Verdicts on real replays: one run, repeated while something outside of its record makes it come out otherwise.

The program asks a file that nobody records how it shall behave, so a replay can be spoiled in any way. Each replay is
spoiled in many ways at once, and each file has to be judged by itself.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conftest import AUTHOR, Result

Call = Callable[..., Result]
SECRET = "nobody-may-read-this-81"

PROGRAM = r"""
how=$(cat "$HOW" 2>/dev/null)
is() { case " $how " in *" $1 "*) return 0;; esac; return 1; }
mkdir -p out
echo "score 1" > out/same.txt
if is content; then echo "score 2" > out/content.txt; else echo "score 1" > out/content.txt; fi
if is late; then date=2026-11-25; else date=2026-11-24; fi
echo "$date 06:12:46 done" > out/run.log
echo "written $date" > out/stamp.txt
is secret && echo "signed in with $SITE_PASSWORD" > out/stamp.txt
is missing || echo gone > out/missing.txt
! is extra || echo more > out/extra.txt
if is renamed; then echo kept > out/b-name.txt; else echo kept > out/a-name.txt; fi
echo mode > out/mode.sh; if is mode; then chmod 755 out/mode.sh; fi
if is gz; then t=2; else t=1; fi
printf '\037\213\010\000\00'$t'\000\000\000\000\003\113\004\000\103\276\267\350\001\000\000\000' > out/t.gz
if is link; then ln -s other out/link; else ln -s same.txt out/link; fi
if is hydra; then d=outputs/2026-11-25/07-00-00; else d=outputs/2026-11-24/06-12-46; fi
mkdir -p $d; echo 0.5 > $d/result.txt
if is hidden; then touch "$BEHIND/late"; fi
if is near; then v=0.30000000000000004; elif is far; then v=0.9; else v=0.3; fi
printf 'step,loss,time/epoch\n0,1.5,3\n1,%s,4\n' $v > metrics.csv
echo "loss $v"
if is crash; then echo "KeyError: lr" >&2; exit 3; fi
"""


class Recorded(NamedTuple):
    """A repository with one recorded run; `how` tells the program how to behave."""

    repo: Path
    run: str
    how: Path
    environ: Mapping[str, str]

    def call(self, *words: str) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "gitrun", *words],
            cwd=self.repo,
            env=dict(self.environ),
            capture_output=True,
            timeout=60,
        )
        return Result(done.returncode, done.stdout, done.stderr, words)

    def replay(self, how: str = "", *options: str) -> tuple[int, dict[str, Any]]:
        self.how.write_text(how)
        done = self.call("replay", self.run, "--env", "current", "--json", *options)
        assert done.stdout, done.stderr
        return done.code, json.loads(done.stdout)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    root = tmp_path_factory.mktemp("verdicts")
    repo, behind, how = root / "repo", root / "behind", root / "how"
    for path in (repo, behind, root / "tmp"):
        path.mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    environ = {
        **kept, "HOME": str(root), "TMPDIR": str(root / "tmp"), "GIT_CONFIG_GLOBAL": "/dev/null", "LC_ALL": "C.UTF-8",
        "GITRUN_LOCK_RESOLVER": "none", "GITRUN_RECORD_VARIABLES": "HOW,BEHIND", "HOW": str(how), "BEHIND": str(behind),
        "SITE_PASSWORD": SECRET,
    }  # fmt: skip
    (repo / "program.sh").write_text(PROGRAM)
    (repo / "scratch").symlink_to(behind)
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "first")):
        subprocess.run(["git", *AUTHOR, *words], cwd=repo, env=environ, check=True)
    how.write_text("")
    found = Recorded(repo, "", how, environ)
    id_file = root / "id"
    options = ("--metrics", "metrics.csv", "--id-file", str(id_file))
    done = found.call("record", "--quiet", *options, "--", "sh", "program.sh")
    assert done.code == 0, done.stderr
    return found._replace(run=id_file.read_text().strip())


def levels(verdict: dict[str, Any]) -> dict[str, str]:
    return {each["path"]: each["level"] for each in verdict["outputs"]}


def test_what_comes_out_again_is_bit_by_bit_the_same(recorded: Recorded) -> None:
    code, verdict = recorded.replay()
    assert (code, verdict["verdict"], verdict["accepted"]) == (0, "bit", True), verdict
    assert set(levels(verdict).values()) == {"bit"}
    assert verdict["compared"] == {"outputs": 11, "metrics": 2, "not_compared": [], "not_compared_count": 0}
    assert (verdict["exit_match"], verdict["console"]["stdout"], verdict["causes"]) == (True, True, verdict["notes"])


def test_each_spoiled_file_is_judged_by_itself(recorded: Recorded) -> None:
    code, verdict = recorded.replay("content missing extra renamed mode gz link hydra late far secret")
    assert (code, verdict["verdict"], verdict["accepted"]) == (3, "differs", False)
    assert levels(verdict) == {
        "metrics.csv": "differs",
        "out/b-name.txt": "differs",
        "out/content.txt": "differs",
        "out/extra.txt": "differs",
        "out/link": "differs",
        "out/missing.txt": "differs",
        "out/mode.sh": "differs",
        "out/run.log": "differs",
        "out/same.txt": "bit",
        "out/stamp.txt": "differs",
        "out/t.gz": "semantic",
        "outputs/2026-11-25/07-00-00/result.txt": "semantic",
    }
    by_path = {each["path"]: each for each in verdict["outputs"]}
    assert "signed in with <secret:" in by_path["out/stamp.txt"]["detail"] and SECRET not in json.dumps(verdict)
    assert by_path["out/b-name.txt"]["renamed_from"] == "out/a-name.txt"
    assert by_path["outputs/2026-11-25/07-00-00/result.txt"]["renamed_from"] == "outputs/2026-11-24/06-12-46/result.txt"
    assert "0644, now 0755" in by_path["out/mode.sh"]["detail"]
    (loss, times) = verdict["metrics"]
    assert (loss["name"], loss["level"], loss["first_divergent_step"]) == ("loss", "differs", 1)
    assert (times["name"], times["level"]) == ("time/epoch", "bit")
    assert "line 1: 'loss 0.3', now 'loss 0.9'" in verdict["console_first"]["stdout"]
    assert ["out/run.log" in text for text in verdict["compared"]["not_compared"]] == [True]


def test_what_is_the_same_in_other_bytes_is_semantic_and_accepted_where_that_is_enough(recorded: Recorded) -> None:
    code, verdict = recorded.replay("gz hydra", "--accept", "semantic")
    assert (code, verdict["verdict"], verdict["accepted"]) == (0, "semantic", True)
    assert "out/t.gz" in verdict["causes"][0]


def test_a_last_place_is_within_tolerance(recorded: Recorded) -> None:
    code, verdict = recorded.replay("near")
    assert (code, verdict["verdict"], verdict["accepted"]) == (3, "tolerance", False), verdict
    loss = verdict["metrics"][0]
    assert (loss["level"], loss["first_divergent_step"]) == ("tolerance", 1)


def test_what_is_ignored_decides_nothing_a_log_informs_and_the_console_decides_where_it_is_asked_to(
    recorded: Recorded,
) -> None:
    ignored = [word for glob in ("metrics.csv", "loss", "out/c*.txt", "out/stamp.txt") for word in ("--ignore", glob)]
    code, verdict = recorded.replay("far content late", *ignored)
    assert (code, verdict["verdict"]) == (0, "bit"), verdict
    assert verdict["compared"]["not_compared_count"] == 5
    assert (verdict["compared"]["outputs"], verdict["compared"]["metrics"]) == (7, 1)
    assert verdict["console"] == {"stdout": False, "stderr": True}
    code, verdict = recorded.replay("far content late", *ignored, "--strict-console")
    assert (code, verdict["verdict"]) == (3, "differs")


def test_what_is_written_behind_a_link_is_never_called_the_same(recorded: Recorded) -> None:
    code, verdict = recorded.replay("hidden")
    assert (code, verdict["verdict"], verdict["accepted"]) == (4, "unverifiable", False), verdict
    assert "scratch/late" in verdict["causes"][0]


def test_another_ending_says_its_last_words_and_a_person_can_read_it(recorded: Recorded) -> None:
    recorded.how.write_text("crash content")
    done = recorded.call("replay", recorded.run, "--env", "current")
    assert done.code == 3, done.stderr
    text = done.stdout
    # what another test leaves behind the link may or may not be young enough to be told of
    assert re.search(r"differs \(11 outputs, 2 metrics(; 1 not compared)?\): not the same; run ", text)
    assert "  exit status: different\n" in text
    assert "  differs: out/content.txt: " in text
    assert "   1. the run ended with exit 0, the replay with exit 3\n" in text
    assert "   2. the replay's last words: KeyError: lr\n" in text


def test_options_are_refused_before_anything_runs(recorded: Recorded) -> None:
    bad = (("--accept", "differs"), ("--rtol", "-1"), ("--atol", "nan"), ("--strict-console", "--for", "1m"))
    for options in bad:
        assert recorded.call("replay", recorded.run, *options).code == 2


UNSEEDED = """
import gitrun, random, sys
order = {"alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta"}
for step in range(3):
    gitrun.log({"loss": random.random()}, step=step)
gitrun.summary["best"] = 0.5
open("same.txt", "w").write("same")
"""


def test_random_numbers_without_a_seed_are_the_first_cause(make_repo: Callable[..., Path], gitrun: Call) -> None:
    repo = make_repo({"train.py": UNSEEDED})
    gitrun("record", "--quiet", "--", sys.executable, "train.py", cwd=repo, env={"PYTHONHASHSEED": "0"})
    done = gitrun("replay", "@", "--env", "current", "--json", cwd=repo)
    assert (done.code, done.json()["verdict"]) == (3, "differs"), done.stderr
    assert {each["name"]: each["level"] for each in done.json()["metrics"]} == {
        "loss": "differs",
        "summary.best": "bit",
    }
    assert done.json()["metrics"][0]["first_divergent_step"] == 0
    assert done.json()["causes"][0].startswith("no seed was set"), done.json()["causes"]
