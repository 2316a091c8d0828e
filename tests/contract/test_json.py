"""The JSON contract: programs find every key, with the documented type, whatever the record holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gitrun.archive.seal import Part
from gitrun.model.canonical import encode, encode_line

ID, OTHER = "20261124-061246-abc111", "20261123-000000-xyz333"
SHA = "ab" * 32

# The keys of INTERFACE, with the types a value may have; None stands for null.
RUN = {
    "id": str,
    "name": (str, None),
    "status": str,
    "command": list,
    "cwd": (str, None),
    "exit": dict,
    "started_at": (str, None),
    "ended_at": (str, None),
    "duration_s": (float, None),
    "group": (str, None),
    "source": dict,
    "config": dict,
    "environment": dict,
    "lock": dict,
    "hardware": dict,
    "seeds": dict,
    "metrics": dict,
    "system": dict,
    "artifacts": list,
    "links": dict,
    "liveness": (dict, None),
    "coverage": dict,
    "process": dict,
    "members": list,
    "replayable": dict,
    "tags": list,
    "notes": list,
}
INNER = {
    "exit": {"code", "signal"},
    "source": {
        "tree",
        "snapshot",
        "base",
        "branch",
        "dirty",
        "modified",
        "untracked",
        "excluded",
        "extra",
        "roots",
        "changed_during_run",
    },
    "config": {"values", "provenance"},
    "environment": {"digest", "python", "distributions"},
    "lock": {"state", "reason"},
    "links": {"replay_of", "resumed_from", "parent", "supersedes", "redacted_from"},
    "replayable": {"level", "because"},
}
FULL = {
    "config.json": Part(encode({"format": 1, "requires": [], "values": {"lr": 0.1}, "provenance": {"lr": "argv"}})),
    "environment.json": Part(encode({"format": 1, "python": {"version": "3.11"}, "distributions": [{"name": "x"}]})),
    "hardware.json": Part(encode({"format": 1, "requires": [], "relevant": {"logical_cores": 2}})),
    "extra.jsonl": Part(
        encode_line({"path": "big.bin", "mode": 0o100644, "bytes": 3, "sha256": SHA, "reason": "large", "chunks": []})
    ),
    "artifacts.jsonl": Part(encode_line({"path": "data.csv", "kind": "input", "size": 7, "sha256": SHA})),
}


def check(run: dict[str, Any], without: tuple[str, ...] = ()) -> None:
    for key, types in RUN.items():
        if key in without:
            assert key not in run
            continue
        allowed = types if isinstance(types, tuple) else (types,)
        assert any(run[key] is None if kind is None else type(run[key]) is kind for kind in allowed), key
    for key, names in INNER.items():
        left_out = {"config": {"provenance"}, "environment": {"distributions"}}.get(key, set()) if without else set()
        assert names - left_out <= run[key].keys(), key
        assert not left_out & run[key].keys(), key


def test_a_minimal_record(hand: Any, call: Callable[..., Any]) -> None:
    hand.seal(ID)
    run = call("show", ID, "--json").json()
    check(run)
    assert run["lock"]["state"] == "none"
    assert run["liveness"] is None
    assert run["source"]["snapshot"] is not None
    assert run["artifacts"] == []


def test_a_full_record(hand: Any, call: Callable[..., Any]) -> None:
    hand.seal(ID, FULL, links={"replay_of": OTHER}, tags=["a"], notes=["why"], name="n", group="g", cwd="sub")
    run = call("show", ID, "--json").json()
    check(run)
    assert run["config"] == {"values": {"lr": 0.1}, "provenance": {"lr": "argv"}}
    assert run["environment"]["python"] == {"version": "3.11"}
    assert run["environment"]["distributions"] == [{"name": "x"}]
    assert len(run["environment"]["digest"]) == 64
    assert run["hardware"] == {"relevant": {"logical_cores": 2}}
    assert run["source"]["extra"] == [{"path": "big.bin", "reason": "large", "sha256": SHA}]
    assert run["artifacts"][0]["path"] == "data.csv"
    assert run["artifacts"][0]["bytes"] == 7
    assert run["artifacts"][0].keys() >= {"path", "kind", "bytes", "sha256", "stored", "reason", "produced_by"}
    assert run["links"]["replay_of"] == OTHER
    assert run["links"]["parent"] is None


def test_lists_leave_out_what_is_bulky(hand: Any, call: Callable[..., Any]) -> None:
    hand.seal(OTHER)
    hand.seal(ID, FULL)
    runs = call("ls", "--json").json()
    assert [run["id"] for run in runs] == [ID, OTHER]
    for run in runs:
        check(run, without=("artifacts", "process", "system"))


def test_a_live_run(hand: Any, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitrun.recording.tidying.live_ids", lambda gitrun_dir: [])
    hand.live(ID, heartbeat_age_s=30, host="node7")
    run = call("show", ID, "--json").json()
    check(run)
    assert run["status"] == "running"
    assert run["exit"] == {"code": None, "signal": None}
    assert run["ended_at"] is None
    assert run["liveness"]["host"] == "node7"
    assert 29 <= run["liveness"]["heartbeat_age_s"] <= 60
    assert call("ls", "--json").json()[0]["liveness"]["host"] == "node7"


def test_paths_that_are_not_utf8_have_their_written_form(hand: Any, call: Callable[..., Any]) -> None:
    hand.seal(ID, source={"modified": [b"caf\xe9".decode("utf-8", "surrogateescape")]})
    assert call("show", ID, "--json").json()["source"]["modified"] == [{"$bytes": "Y2Fm6Q=="}]


def test_unknown_fields_do_no_harm(hand: Any, call: Callable[..., Any]) -> None:
    hand.seal(ID, new_field={"x": 1}, source={"new": 1})
    check(call("show", ID, "--json").json())
