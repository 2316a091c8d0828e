"""`show` and `status`: a page for people, and clean refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gitrun.archive.seal import Part
from gitrun.git.refs import RUNS
from gitrun.model.canonical import encode

OLD, NEW = "20261124-061246-abc111", "20261125-000000-xyz333"


def test_one_page(hand: Any, call: Callable[..., Any]) -> None:
    parts = {"config.json": Part(encode({"format": 1, "values": {"model": {"depth": 3}}}))}
    hand.seal(
        OLD,
        parts,
        name="baseline",
        command=["python", "a b.py"],
        tags=["best"],
        notes=["why not"],
        source={
            "base": "1" * 40,
            "branch": "refs/heads/main",
            "modified": ["train.py"],
            "untracked": [f"f{n}" for n in range(30)],
        },
    )
    page = call("show").stdout
    assert page.startswith(f"run {OLD}  completed, exit 0\n")
    for text in (
        "python 'a b.py'",
        "baseline",
        "took 0.50 s",
        "on main",
        "train.py",
        "… and 20 more",
        "model.depth",
        "why not",
    ):
        assert text in page, text
    assert page.splitlines()[-1].strip()
    assert not any(line.endswith(" ") for line in page.splitlines())


def test_the_coverage_section_says_each_gap_once(hand: Any, call: Callable[..., Any]) -> None:
    coverage = {
        "hardware": [f"h{n}" for n in range(5)],
        "environment": ["environment: sh may start others"],
        "child": {"processes": 0, "python": "not observed: python -I", "labels": []},
        "console": "complete",
    }
    hand.seal(OLD, lock={"state": "pinned"}, coverage=coverage)
    section = call("show").stdout.partition("\ncoverage\n")[2].splitlines()
    assert [line.split() for line in section] == [
        ["replayable", "partly"],
        ["what", "the", "command", "loads", "was", "not", "observed:", "python", "-I"],
        ["environment:", "sh", "may", "start", "others"],
        ["hardware", "h0"],
        ["h1"],
        ["h2"],
        ["…", "and", "2", "more"],
    ]


def test_who_was_observed_is_said(hand: Any, call: Callable[..., Any]) -> None:
    child = {"processes": 3, "python": "observed", "labels": ["ranks 0, 1", "1 of 3 ended without a last word"]}
    hand.seal(OLD, coverage={"child": child})
    assert "  observed     3 Python processes, ranks 0, 1\n" in call("show").stdout


def test_nothing_missing_is_said_as_well(hand: Any, call: Callable[..., Any]) -> None:
    hand.seal(OLD, lock={"state": "resolved"}, coverage={"source": "complete"})
    assert call("show").stdout.endswith("coverage\n  replayable   full: nothing is known to be missing\n")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("show", "nothing"), 1, "no run answers to 'nothing'"),
        (("show", "abc"), 1, "could be 2 runs"),
        (("show", "@best:loss"), 2, "@best:max:loss or @best:min:loss"),
        (("show", "20261124-000000-dddddd"), 5, "is damaged"),
        (("show", NEW), 1, "later gitrun"),
        (("show", "--nope"), 2, "No such option"),
        (("nope",), 2, "No such command"),
        (("diff",), 2, "Missing argument"),
        (("recover", "--force"), 2, "--force needs the run"),
    ],
)
def test_refusals(
    hand: Any, call: Callable[..., Any], git: Callable[..., Any], arguments: tuple[str, ...], code: int, said: str
) -> None:
    commit = hand.seal(OLD).commit
    hand.seal("20261124-061247-abc222")
    hand.seal(NEW, format=9)
    git("update-ref", RUNS + "20261124-000000-dddddd", commit, cwd=hand.root)
    done = call(*arguments)
    assert done.code == code
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "  next: " in done.stderr


def test_ambiguity_lists_the_candidates(hand: Any, call: Callable[..., Any]) -> None:
    hand.seal(OLD)
    hand.seal("20261124-061247-abc222")
    assert f"  {OLD}\n" in call("show", "abc").stderr


def test_status_of_an_archive(
    hand: Any, call: Callable[..., Any], git: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitrun.recording.tidying.live_ids", lambda gitrun_dir: [])
    commit = hand.seal(OLD).commit
    hand.live(OLD)
    hand.live(NEW, host="node7", command=["sleep", "9"])
    git("update-ref", RUNS + "20261124-000000-dddddd", commit, cwd=hand.root)
    git("update-ref", RUNS + "mine", "HEAD", cwd=hand.root)
    report = call("status", "--json").json()
    assert [run["id"] for run in report["running"]] == [NEW]
    assert report["running"][0]["liveness"]["host"] == "node7"
    assert (report["sealed"], report["only_here"], report["leftovers"]) == (2, 2, [OLD])
    assert [problem["code"] for problem in report["problems"]] == ["E012", "W013"]
    page = call("status").stdout
    assert "1 run running" in page
    assert "on node7, heard of" in page
    assert "E012" in page


def test_help_of_every_command_is_complete(call: Callable[..., Any]) -> None:
    import typer

    from gitrun.cli.app import build_app

    command: Any = typer.main.get_command(build_app())
    for name, entry in command.commands.items():
        shown = call(name, "--help")
        assert shown.code == 0
        for parameter in entry.params:
            assert parameter.help, f"{name}: {parameter.name} has no help"


def test_version(call: Callable[..., Any]) -> None:
    from gitrun import __version__

    assert call("--version").stdout == f"gitrun {__version__}\n"


def test_no_command_is_help(call: Callable[..., Any]) -> None:
    assert "Usage: gitrun" in call().stdout
