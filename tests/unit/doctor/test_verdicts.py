"""What a trial recording proves: a capability that is missing is named, and one gap is one sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gitrun.doctor.check import FAIL, OK, WARN
from gitrun.doctor.probe import MODULE, RATE, SEED, STEPS, Probe, find_around
from gitrun.doctor.trial import Outcome, Trial
from gitrun.doctor.verdicts import judge
from gitrun.model.canonical import encode, encode_line

AROUND: dict[str, Any] = {"path": ["/a"], "sitecustomize": None, "version": "3.11.7"}
HIDDEN = b"the token is <secret:GITRUN_DOCTOR_TOKEN>\n"


def said(around: Any, code: int = 3, err: bytes = b"") -> Outcome:
    return Outcome(code, b"gitrun doctor: " + json.dumps(around).encode() + b"\nthe token is abc\n", err, 0.1)


def record(**more: Any) -> dict[str, Any]:
    return {
        "exit": {"code": 3, "signal": None},
        "source": {"tree": "ab", "modified": ["a"]},
        "coverage": {"child": {"processes": 1, "python": "observed", "labels": []}, "console": "complete"},
        "lock": {"state": "resolved", "source": "uv.lock"},
        "seeds": {"random": {"value": SEED}},
        **more,
    }


def parts(**more: Any) -> dict[str, bytes]:
    values = {
        "config.json": encode({"values": {"steps": STEPS, "rate": RATE}}),
        "environment.json": encode({"python": {"version": "3.11.7"}, "distributions": [{"name": "x"}]}),
        "hardware.json": encode({"relevant": {"cpu": {"model": "fast"}, "gpus": [{"name": "big"}]}}),
        "extra.jsonl": encode_line({"path": f"/tmp/{MODULE}.py", "reason": "loaded"}),
    }
    return {name: data for name, data in {**values, **more}.items() if data is not None}


GOOD = Trial(Probe("/tmp/p", "5ec7e7"), "/bin/python", said(AROUND), said(AROUND), record(), parts(), HIDDEN)


def worst(trial: Trial) -> dict[str, str]:
    order = (OK, WARN, FAIL)
    states: dict[str, str] = {}
    for check in judge(trial):
        states[check.topic] = max(states.get(check.topic, OK), check.state, key=order.index)
    return states


def test_a_good_trial_has_nothing_to_say() -> None:
    assert set(worst(GOOD).values()) == {OK}
    says = {check.topic: check.says for check in judge(GOOD)}
    assert says["hardware"] == "fast, big"
    assert says["lock"] == "resolved (uv.lock)"


@pytest.mark.parametrize(
    ("change", "topic", "state"),
    [
        ({"recorded": said(AROUND, code=1)}, "recording", FAIL),
        ({"record": record(exit={"code": 0, "signal": None})}, "recording", FAIL),
        ({"record": None}, "recording", FAIL),
        ({"console": b""}, "console", FAIL),
        ({"console": b"the token is 5ec7e7\n"}, "secrets", FAIL),
        ({"console": b"the token is \n"}, "secrets", WARN),
        ({"record": record(command=["--token=5ec7e7"])}, "secrets", FAIL),
        ({"parts": parts(**{"config.json": encode({"values": {"steps": "5ec7e7"}})})}, "secrets", FAIL),
        ({"recorded": said({**AROUND, "path": ["/b"]})}, "unchanged", FAIL),
        ({"errors": b"Traceback"}, "unchanged", FAIL),
        ({"alone": said(AROUND, err=b"Warning at 0x1"), "errors": b"Warning at 0x2"}, "unchanged", OK),
        ({"recorded": Outcome(3, b"the token is abc", b"", 0.1)}, "unchanged", FAIL),
        ({"alone": Outcome(3, b"the token is abc", b"broken", 0.1)}, "unchanged", FAIL),
        ({"parts": parts(**{"extra.jsonl": None})}, "loaded", FAIL),
        ({"parts": parts(**{"config.json": encode({"values": {"steps": STEPS}})})}, "config", WARN),
        ({"parts": parts(**{"config.json": None})}, "config", FAIL),
        ({"parts": parts(**{"environment.json": None})}, "environment", FAIL),
        ({"parts": parts(**{"hardware.json": None})}, "hardware", FAIL),
        ({"record": record(seeds=None)}, "seeds", WARN),
        ({"record": record(lock=None)}, "lock", WARN),
        ({"record": record(lock={"state": "none", "reason": "no network"})}, "lock", WARN),
        ({"record": record(lock={"state": "resolved", "missing": ["torch"], "source": None})}, "lock", WARN),
        ({"record": record(source={"excluded": [{"path": ".env", "bytes": 3, "reason": "secret"}]})}, "source", WARN),
        ({"python": None}, "python", WARN),
        ({"record": record(coverage={"child": {"python": "not observed: -I"}})}, "python", FAIL),
        ({"record": record(coverage={})}, "python", FAIL),
        ({"record": record(coverage={"child": ["lost"]})}, "python", FAIL),
        ({"record": record(coverage={"future": ["a gap"]})}, "future", WARN),
        ({"record": record(coverage={"hardware": ["gpu: no answer"]})}, "hardware", WARN),
    ],
)
def test_what_is_missing_is_named(change: dict[str, Any], topic: str, state: str) -> None:
    assert worst(GOOD._replace(**change))[topic] == state


def test_one_cause_is_told_once() -> None:
    """Where no process was watched, what only a process can tell is no further failure."""
    unseen = GOOD._replace(record=record(coverage={"child": {"python": "not observed: -I"}}, seeds=None), parts=parts())
    failed = [check.topic for check in judge(unseen) if check.state == FAIL]
    assert failed == ["python"]


def test_many_gaps_are_counted() -> None:
    trial = GOOD._replace(record=record(coverage={"environment": [f"environment: p{n}" for n in range(9)]}))
    says = [check.says for check in judge(trial) if check.topic == "environment" and check.state == WARN]
    assert says == ["p0", "p1", "p2", "… and 6 more"]


@pytest.mark.parametrize("output", [b"", b"gitrun doctor: {", b"\xff\n"])
def test_a_program_that_said_nothing(output: bytes) -> None:
    assert find_around(output) is None
