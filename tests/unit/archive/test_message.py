"""A commit message repeats what a list needs, and nothing in a record can forge it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gitrun.archive.message import SUBJECT_LIMIT, decode_message, encode_message

ID = "20261124-061246-k3v9tq"


def record(**more: Any) -> dict[str, Any]:
    return {
        "format": 1,
        "id": ID,
        "status": "completed",
        "command": ["python", "train.py"],
        "started_at": "2026-11-24T06:12:46.000001Z",
        "exit": {"code": 0, "signal": None},
        **more,
    }


def test_message_as_documented() -> None:
    message = encode_message(
        record(
            name="base line",
            group="sweep",
            tags=["best", "paper"],
            duration_s=1.23456,
            origin="abcdefgh",
            links={"replay_of": "20261123-000000-aaaaaa", "parent": None},
            source={"modified": ["a"], "untracked": ["b", "c"]},
        )
    )
    assert message == (
        f"run {ID} completed: python train.py\n"
        "\n"
        f"Run-Id: {ID}\n"
        "Status: completed\n"
        "Exit: 0\n"
        "Started: 2026-11-24T06:12:46.000001Z\n"
        "Duration: 1.235\n"
        "Name: base line\n"
        "Group: sweep\n"
        "Tag: best\n"
        "Tag: paper\n"
        "Replay-Of: 20261123-000000-aaaaaa\n"
        "Origin: abcdefgh\n"
        "Changes: 3\n"
        "Format: 1\n"
    )


def test_a_newline_in_a_name_or_command_forges_nothing() -> None:
    hostile = record(command=["x\n\nStatus: lost"], name="a\nStatus: failed\nTag: best")
    summary = decode_message(encode_message(hostile))
    assert summary is not None
    assert summary.status == "completed"
    assert summary.tags == ()
    assert summary.name == r"a\nStatus: failed\nTag: best"


def test_ten_megabytes_of_argv_make_a_short_subject() -> None:
    message = encode_message(record(command=["x" * 10_000_000, *["y"] * 1_000_000]))
    assert len(message) < 1000


def test_many_words_are_cut_with_an_ellipsis() -> None:
    subject = encode_message(record(command=["word"] * 1000)).splitlines()[0]
    command = subject.partition(": ")[2]
    assert len(command) == SUBJECT_LIMIT
    assert command.endswith("…")


def test_signals_and_unseen_ends() -> None:
    ended = encode_message(record(status="failed", exit={"code": None, "signal": 9}))
    assert "Exit: signal 9\n" in ended
    assert "Exit:" not in encode_message(record(status="lost", exit=None))


def test_a_message_that_is_no_runs_is_none() -> None:
    assert decode_message("fix the parser\n") is None
    assert decode_message("run x completed: y\n\nRun-Id: ../../x\nFormat: 1\n") is None
    assert decode_message(f"run\n\nRun-Id: {ID}\nFormat: ²\n") is None


@given(
    st.lists(st.text(max_size=60), min_size=1, max_size=20),
    st.one_of(st.none(), st.text(max_size=50)),
    st.lists(st.text(min_size=1, max_size=10), max_size=5),
)
def test_what_is_encoded_is_decoded(command: list[str], name: str | None, tags: list[str]) -> None:
    summary = decode_message(encode_message(record(command=command, name=name, tags=tags)))
    assert summary is not None
    assert (summary.run_id, summary.status, summary.exit, summary.format) == (ID, "completed", "0", 1)
    assert len(summary.tags) <= len(tags)


@given(st.text(max_size=2000))
def test_decoding_never_raises(text: str) -> None:
    decode_message(text)
    decode_message(f"subject: x\n\nRun-Id: {ID}\nFormat: 1\n{text}")
