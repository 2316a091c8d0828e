"""`replayable` is honest: guards say no, gaps say partly, and every level but `full` says why."""

from __future__ import annotations

from typing import Any

import pytest

from gitrun.archive.replayable import gaps, replayable

LOCKED = {"lock": {"state": "resolved"}, "status": "completed"}


def record(**source: Any) -> dict[str, Any]:
    return {**LOCKED, "source": {"tree": "ab", **source}}


def test_nothing_missing() -> None:
    assert replayable(record()) == {"level": "full", "because": []}


def test_files_beyond_the_guards_say_no() -> None:
    verdict = replayable(record(excluded=[{"path": "data", "bytes": 9, "files": 7, "reason": "max_bytes"}]))
    assert verdict["level"] == "no"
    assert verdict["because"] == ["7 file(s) of the source were left out (data: max_bytes)"]


def test_secrets_left_out_say_partly() -> None:
    assert replayable(record(excluded=[{"path": ".env", "bytes": 9, "reason": "secret"}]))["level"] == "partly"


def test_tracker_directories_are_not_source() -> None:
    assert replayable(record(excluded=[{"path": "wandb", "bytes": 9, "reason": "tracker"}]))["level"] == "full"


def test_no_source_says_no() -> None:
    assert replayable({**LOCKED, "source": {}})["level"] == "no"


def test_no_lockfile_an_unseen_end_and_failed_facts_say_partly() -> None:
    weak = {**record(), "lock": None, "status": "lost", "coverage": {"inputs": ["no access"], "console": "complete"}}
    verdict = replayable(weak)
    assert verdict["level"] == "partly"
    assert [reason.split(":")[0] for reason in verdict["because"]] == [
        "the environment is described, not locked",
        "inputs",
        "nobody saw how the run ended, so there is no exit status to compare with",
    ]


def test_the_lock_is_judged_once_and_says_why() -> None:
    coverage = {"lock": ["not locked: numpy"]}
    none = {**record(), "lock": {"state": "none", "reason": "no index answered"}, "coverage": coverage}
    because = "the environment is described, not locked (no index answered): a replay uses the one it finds"
    assert replayable(none)["because"] == [because]
    some = {**record(), "lock": {"state": "resolved"}, "coverage": coverage}
    assert replayable(some) == {"level": "partly", "because": ["lock: not locked: numpy"]}


def test_a_fact_that_no_repetition_needs_is_no_reason() -> None:
    coverage = {"hardware": ["no /proc"], "config": ["a.yaml cannot be read"], "console": ["capture stopped: disk"]}
    assert replayable({**record(), "coverage": coverage}) == {"level": "full", "because": []}


def test_files_that_were_loaded_are_not_missing() -> None:
    entry = {"path": "data/", "bytes": 9, "files": 7, "reason": "max_bytes", "loaded": 7}
    assert replayable(record(excluded=[entry]))["level"] == "full"
    verdict = replayable(record(excluded=[{**entry, "loaded": 5}]))
    assert verdict == {"level": "no", "because": ["2 file(s) of the source were left out (data/: max_bytes)"]}


def test_a_loaded_file_that_is_gone_is_no_refusal() -> None:
    verdict = replayable(record(excluded=[{"path": "/tmp/made.py", "bytes": 0, "reason": "gone (No such file)"}]))
    assert verdict["level"] == "partly"
    assert "/tmp/made.py" in verdict["because"][0]


def test_secrets_of_command_and_variables_are_named_once() -> None:
    told = {"command": ["x", "--key=<secret:KEY>"], "process": {"variables": {"A": "<secret:A>", "B": "<secret:KEY>"}}}
    assert replayable({**record(), **told}) == {
        "level": "partly",
        "because": ["a replay needs these secrets in its environment: A, KEY"],
    }


@pytest.mark.parametrize(
    ("child", "because"),
    [
        ({"processes": 2, "python": "observed", "labels": []}, []),
        ({"python": "not observed: -I", "labels": []}, ["what the command loads was not observed: -I"]),
        ({"python": "observed", "labels": ["1 of 2 ended without a last word"]}, ["1 of 2 ended without a last word"]),
        ({"python": "observed", "labels": ["processes by spawn (4)", "ranks 0, 1", "2 became another program"]}, []),
        (["lost"], ["its processes: lost"]),
        ({"python": 3, "labels": 3}, ["what the command loads was 3"]),
    ],
)
def test_processes_that_nobody_watched_are_a_reason(child: Any, because: list[str]) -> None:
    assert replayable({**record(), "coverage": {"child": child}})["because"] == because


def test_many_gaps_of_one_topic_are_counted() -> None:
    because = replayable({**record(), "coverage": {"environment": [f"p{n} is broken" for n in range(40)]}})["because"]
    assert because[:3] == [f"environment: p{n} is broken" for n in range(3)]
    assert because[3:] == ["environment: … and 37 more"]


def test_the_gravest_topics_come_first() -> None:
    coverage = {"zeta": ["z"], "hardware": ["h"], "child": {"python": "not observed: x"}, "source": "gap"}
    assert [topic for topic, _ in gaps(coverage)] == ["source", "child", "hardware", "zeta"]


def test_installed_files_that_were_edited_count_where_they_were_loaded() -> None:
    edited = [{"path": "a.py", "loaded": True}, {"path": "b.py"}, 3, {"path": "c.py", "loaded": 1}]
    found = replayable({**record(), "process": {"installed": {"scope": "all", "edited": edited}}})
    assert found["level"] == "partly"
    assert found["because"][0] == "1 installed file(s) that the run loaded are not as they were installed (a.py)"
    for installed in (None, [], {"edited": 3}, {"edited": []}):
        assert replayable({**record(), "process": {"installed": installed}}) == replayable(record())
    said = {"installed": "loaded", "config": "complete"}
    assert list(gaps(said)) == []
