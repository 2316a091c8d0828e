"""What two files have in common: every way to spoil one, and what must not count."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from gitrun.replay.levels import Level
from tests.two_sides import RECORD, AtHand, compared, entry, link, side

BIT, SEMANTIC, TOLERANCE, UNVERIFIABLE, DIFFERS = (
    Level.BIT, Level.SEMANTIC, Level.TOLERANCE, Level.UNVERIFIABLE, Level.DIFFERS,
)  # fmt: skip
RUN = {"a.txt": b"one\n", "out/b.bin": b"\0\1\2"}
EVENTS = "events.out.tfevents.{}.{}.{}.0"


def levels(a: AtHand, b: AtHand) -> dict[str, Level]:
    return {each.path.decode(): each.level for each in compared(a, b)}


def test_the_same_files_are_the_same() -> None:
    assert set(levels(side(RUN), side(RUN)).values()) == {BIT}


SPOILED: dict[str, tuple[dict[str, bytes], str]] = {
    "one byte": ({**RUN, "a.txt": b"One\n"}, "a.txt"),
    "one byte less": ({**RUN, "a.txt": b"one"}, "a.txt"),
    "empty": ({**RUN, "out/b.bin": b""}, "out/b.bin"),
    "extra": ({**RUN, "more.txt": b"x"}, "more.txt"),
    "extra and empty": ({**RUN, "done": b""}, "done"),
    "missing": ({"a.txt": b"one\n"}, "out/b.bin"),
    "renamed": ({"c.txt": b"one\n", "out/b.bin": b"\0\1\2"}, "c.txt"),
    "renamed in another case": ({"A.txt": b"one\n", "out/b.bin": b"\0\1\2"}, "A.txt"),
    "moved": ({"out/a.txt": b"one\n", "out/b.bin": b"\0\1\2"}, "out/a.txt"),
    "swapped": ({"a.txt": b"\0\1\2", "out/b.bin": b"one\n"}, "a.txt"),
    "copied": ({**RUN, "copy.txt": b"one\n"}, "copy.txt"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_spoiled_file_differs_in_both_directions(case: str) -> None:
    files, path = SPOILED[case]
    for a, b in ((RUN, files), (files, RUN)):
        found = compared(side(a), side(b))
        assert min(each.level for each in found) == DIFFERS
        assert all(each.detail for each in found if each.level == DIFFERS)
    assert levels(side(RUN), side(files))[path] == DIFFERS


def with_entry(**more: Any) -> AtHand:
    return AtHand([entry("a", b"x", **more)], {b"a": b"x"}, None)


@pytest.mark.parametrize(
    ("more", "level", "words"),
    [
        ({"mode": "0755"}, DIFFERS, "mode was 0644, now 0755"),
        ({"mode": "0600"}, DIFFERS, "mode"),
        ({"mode": None}, UNVERIFIABLE, "mode"),
        ({"evidence": "ambiguous"}, UNVERIFIABLE, "its bytes are the same"),
        ({"evidence": "observed"}, BIT, ""),
        ({"kind": "artifact"}, DIFFERS, "only the replay"),
        ({"sha256": None, "reason": "deferred"}, UNVERIFIABLE, "no time"),
        ({"sha256": None, "reason": "secret"}, UNVERIFIABLE, "secrets"),
        ({"sha256": None, "reason": "unreadable"}, UNVERIFIABLE, "could not be read"),
        ({"sha256": None, "reason": "something new"}, UNVERIFIABLE, "something new"),
        ({"stored": False, "reason": "limit"}, BIT, ""),
        ({"stored": False, "reason": "dropped"}, BIT, ""),
        ({"type": "link", "target": "x"}, DIFFERS, "was a file, now it is a link"),
    ],
)
def test_what_is_known_of_a_file_decides(more: dict[str, Any], level: Level, words: str) -> None:
    for a, b in ((with_entry(), with_entry(**more)), (with_entry(**more), with_entry())):
        assert min(each.level for each in compared(a, b)) == level
    assert any(words in each.detail for each in compared(with_entry(), with_entry(**more)))


def test_a_file_that_may_be_somebody_elses_is_never_different_nor_the_same() -> None:
    mine = side({}, entry("a", b"x", evidence="ambiguous"))
    for other in (side({"a": b"y"}), side({}), side({"a": b"x"})):
        assert [each.level for each in compared(mine, other)] == [UNVERIFIABLE]


def test_what_was_not_kept_differs_by_its_digest() -> None:
    found = compared(side({}, entry("a", b"one", stored=False, reason="limit")), side({"a": b"two"}))
    assert (found[0].level, "run's are not at hand" in found[0].detail) == (DIFFERS, True)


def test_values_in_another_container_are_semantic_and_near_numbers_tolerance() -> None:
    packed = [gzip.compress(b"the same", mtime=moment) for moment in (1, 2)]
    assert levels(side({"a.gz": packed[0]}), side({"a.gz": packed[1]})) == {"a.gz": SEMANTIC}
    near = [json.dumps({"loss": loss}).encode() for loss in (0.1, 0.1 + 1e-12)]
    assert levels(side({"a.json": near[0]}), side({"a.json": near[1]})) == {"a.json": TOLERANCE}
    far = json.dumps({"loss": 0.2}).encode()
    assert levels(side({"a.json": near[0]}), side({"a.json": far})) == {"a.json": DIFFERS}


def test_a_change_of_mode_spoils_what_is_semantic() -> None:
    files = [gzip.compress(b"the same", mtime=moment) for moment in (1, 2)]
    a = AtHand([entry("a.gz", files[0])], {b"a.gz": files[0]}, None)
    b = AtHand([entry("a.gz", files[1], mode="0755")], {b"a.gz": files[1]}, None)
    assert levels(a, b) == {"a.gz": DIFFERS}


@pytest.mark.parametrize(
    ("was", "now", "level"),
    [
        ("target", "target", BIT),
        ("target", "other", DIFFERS),
        ("/work/repo/out", "/replays/1/repo/out", SEMANTIC),
        ("/work/repo/out", "/replays/1/repo/in", DIFFERS),
        ("/work/repo/out", "/work/repo/out", BIT),
        ("/elsewhere/out", "/replays/1/repo/out", DIFFERS),
        ("run-20261124_061246-ab12cd34", "run-20261125_071246-ef56ab78", SEMANTIC),
    ],
)
def test_links_are_compared_by_where_they_lead(was: str, now: str, level: Level) -> None:
    a, b = side({}, link("l", was), top=b"/work/repo"), side({}, link("l", now), top=b"/replays/1/repo")
    assert levels(a, b) == {"l": level}


EXPLAINED = {
    "TensorBoard": ("runs/" + EVENTS.format(1700000000, "host", 12), "runs/" + EVENTS.format(1800000000, "node7", 99)),
    "SummaryWriter": ("runs/Nov24_06-12-46_host/x", "runs/Dec01_10-00-00_node/x"),
    "Hydra": ("outputs/2026-11-24/06-12-46/r.txt", "outputs/2026-11-25/01-02-03/r.txt"),
    "multirun": ("multirun/2026-11-24/06-12-46/0/r.txt", "multirun/2026-11-25/01-02-03/0/r.txt"),
    "Lightning": ("lightning_logs/version_3/hparams.yaml", "lightning_logs/version_0/hparams.yaml"),
    "wandb": ("wandb/run-20261124_061246-ab12cd34/files/r", "wandb/run-20261125_071246-ef56ab78/files/r"),
    "wandb offline": ("wandb/offline-run-20261124_061246-ab12cd34/r", "wandb/offline-run-20261125_071246-ef56ab78/r"),
}


@pytest.mark.parametrize("case", EXPLAINED)
def test_a_name_that_a_rule_explains_is_semantic_and_its_content_decides_all_the_same(case: str) -> None:
    was, now = EXPLAINED[case]
    (found,) = compared(side({was: b"x"}), side({now: b"x"}))
    assert (found.level, found.renamed_from) == (SEMANTIC, was.encode())
    assert case.split()[0] in found.detail or case in ("SummaryWriter", "multirun")
    (found,) = compared(side({was: b"x"}), side({now: b"y"}))
    assert found.level == DIFFERS


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("epoch=3.ckpt", "epoch=4.ckpt"),
        ("out/2026-11-24/06-12-46/r.txt", "out/2026-11-25/01-02-03/r.txt"),
        ("tmpab12cd34/r.txt", "tmpzz99yy88/r.txt"),
        ("result-1234.txt", "result-9876.txt"),
        ("multirun/2026-11-24/06-12-46/0/r.txt", "multirun/2026-11-25/01-02-03/1/r.txt"),
        ("a/version_3/x", "b/version_0/x"),
        ("versions_3/x", "versions_4/x"),
        ("events.out.tfevents.1700000000.h.1.0", "events.out.tfevents.1800000000.h.1.1"),
    ],
)
def test_no_rule_explains_any_other_name(was: str, now: str) -> None:
    found = compared(side({was: b"x"}), side({now: b"x"}))
    assert [each.level for each in found] == [DIFFERS]
    assert found[0].renamed_from == was.encode()


def test_versions_are_told_apart_by_their_order_and_not_by_their_content() -> None:
    def versions(first: int, *contents: dict[str, bytes]) -> dict[str, bytes]:
        return {f"version_{first + n}/{name}": data for n, files in enumerate(contents) for name, data in files.items()}

    run = versions(3, {"a": b"1", "b": b"2"}, {"a": b"3", "b": b"4"})
    again = versions(0, {"a": b"1", "b": b"2"}, {"a": b"3", "b": b"4"})
    assert set(levels(side(run), side(again)).values()) == {SEMANTIC}
    mixed = versions(0, {"a": b"1", "b": b"4"}, {"a": b"3", "b": b"2"})
    assert min(levels(side(run), side(mixed)).values()) == DIFFERS
    swapped = versions(0, {"a": b"3", "b": b"4"}, {"a": b"1", "b": b"2"})
    assert min(levels(side(run), side(swapped)).values()) == DIFFERS
    one_less = versions(0, {"a": b"1", "b": b"2"}, {"b": b"4"})
    assert min(levels(side(run), side(one_less)).values()) == DIFFERS
    shifted = versions(0, {"a": b"1"}, {"a": b"3", "b": b"2"}) | {"version_2/b": b"4"}
    assert min(levels(side(run), side(shifted)).values()) == DIFFERS
    overlapping = versions(2, {"a": b"1", "b": b"2"}, {"a": b"3", "b": b"4"})
    assert set(levels(side(run), side(overlapping)).values()) == {SEMANTIC}


def test_the_text_of_a_log_decides_nothing_and_everything_else_of_it_does() -> None:
    (found,) = compared(side({"train.log": b"06:12:46 done\n"}), side({"train.log": b"06:13:01 done\n"}))
    assert (found.level, found.decides, found.why) == (DIFFERS, False, "stamps")
    for files in ({}, {"other.log": b"06:12:46 done\n"}):
        assert all(
            each.decides and each.level == DIFFERS for each in compared(side({"train.log": b"x\n"}), side(files))
        )
    (found,) = compared(side({}, entry("train.log", b"x")), side({}, entry("train.log", b"y", mode="0755")))
    assert found.decides
    (found,) = compared(side({"catalog": b"x"}), side({"catalog": b"y"}))
    assert found.decides


def test_a_text_says_why_it_differs_where_it_can() -> None:
    cases = {
        "stamps": (b"at 2026-11-24T06:12:46Z it took 3.2 s\n", b"at 2026-11-25T07:00:01Z it took 4 s\n"),
        "place": (b"wrote /work/repo/out\n", b"wrote /replays/1/repo/out\n"),
        "order": (b"{'a', 'b', 'c'}\n", b"{'c', 'a', 'b'}\n"),
        "": (b"loss 0.3\n", b"loss 0.4\n"),
    }
    for why, (was, now) in cases.items():
        (found,) = compared(side({"r": was}, top=b"/work/repo"), side({"r": now}, top=b"/replays/1/repo"))
        assert (found.level, found.why) == (DIFFERS, why)


def test_a_file_that_was_left_and_handed_over_counts_once() -> None:
    def both(output: bytes, artifact: bytes) -> AtHand:
        entries = [entry("m.pt", output), entry("m.pt", artifact, kind="artifact")]
        return AtHand(entries, {}, None)

    assert len(compared(both(b"1", b"1"), both(b"1", b"1"))) == 1
    assert len(compared(both(b"2", b"1"), both(b"2", b"1"))) == 2
    assert min(each.level for each in compared(both(b"1", b"1"), both(b"1", b"2"))) == DIFFERS
    assert min(each.level for each in compared(both(b"1", b"1"), both(b"2", b"1"))) == DIFFERS
    assert min(each.level for each in compared(both(b"1", b"1"), side({"m.pt": b"1"}))) == DIFFERS


def test_many_files_are_paired_quickly() -> None:
    a = {f"out/{n}.txt": b"%d" % n for n in range(3000)}
    b = {f"out/{n + 1}.txt": b"%d" % n for n in range(3000)}
    assert len(compared(side(a), side(b))) >= 3000
    assert RECORD["coverage"]
