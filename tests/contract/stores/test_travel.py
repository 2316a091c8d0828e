"""Blobs of runs on their way: to each kind of place and back, with everything that goes wrong on it."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gitrun.archive.archive import Archive
from gitrun.archive.run import SealedRun
from gitrun.errors import RemoteFailed
from gitrun.monitor import Monitor
from gitrun.remote import packing
from gitrun.remote.blobs import Plan, Sending, Sent
from gitrun.remote.bringing import Bringing, Brought
from gitrun.remote.stores.protocol import BlobStoreBackend, LocalPack
from gitrun.store.blobs import BlobStore
from tests.contract.stores.conftest import Directory, InsideGit, Place
from tests.entries import RUNS, line, seal
from tests.hand import Hand

NOISE = random.Random(7).randbytes(6 << 20)
FILES: dict[str | bytes, bytes] = {"model.bin": NOISE[: 3 << 20], "log.txt": b"done\n" * 1000, "empty": b""}


class Hearing(Monitor):
    """What was said."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def warn(self, code: str, message: str) -> None:
        self.said.append((code, message))


def runs_of(archive: Archive) -> list[SealedRun]:
    archive.look_again()
    return [SealedRun(archive.objects, run_id, commit) for run_id, commit in sorted(archive.sealed().items())]


def send(hand: Hand, place: Place, runs: slice = slice(None)) -> tuple[Plan, Sent]:
    with hand.open() as archive, Sending(archive, place.open()) as sending:
        plan = sending.plan(runs_of(archive)[runs])
        sent = sending.send(plan)
        sending.check(plan)
        return plan, sent


@pytest.fixture
def other(hand: Hand, tmp_path: Path) -> Callable[[], Hand]:
    """A clone of the repository with its runs, and none of their blobs."""

    def make() -> Hand:
        root = tmp_path / "other"
        words = ["git", "-c", "protocol.file.allow=always"]
        if not root.exists():
            subprocess.run([*words, "clone", "-q", "--no-local", str(hand.root), str(root)], check=True)
            (root / ".git" / "objects" / "info").mkdir(exist_ok=True)
        subprocess.run([*words, "fetch", "-q", "origin", "refs/gitrun/runs/*:refs/gitrun/runs/*"], cwd=root, check=True)
        return Hand(root)

    return make


def bring(hand: Hand, *places: Place, files: bool = True, monitor: Monitor | None = None) -> Brought:
    stores = [place.open() for place in places]
    with hand.open() as archive, Bringing(archive, stores, monitor or Hearing()) as bringing:
        return bringing.runs(runs_of(archive), files=files)


def content(hand: Hand, run_id: str, path: str) -> bytes:
    from gitrun.archive.since import entries_of

    with hand.open() as archive:
        run = archive.run(run_id)
        assert run is not None
        [entry] = [each for each in entries_of(run) if each.path == os.fsencode(path)]
        assert entry.sha256 is not None
        return b"".join(archive.store.read_file(entry.chunks(archive.store.get), entry.sha256))


def test_all_that_runs_need_arrives_and_comes_back(place: Place, hand: Hand, other: Callable[[], Hand]) -> None:
    seal(hand, RUNS[0], FILES)
    seal(hand, RUNS[1], {**FILES, "other.bin": NOISE[3 << 20 :]})
    plan, sent = send(hand, place)
    assert sent.blobs == plan.blobs > 20 and plan.lacking == {} and not plan.relied
    assert sum(plan.run_bytes.values()) == plan.bytes
    clone = other()
    brought = bring(clone, place)
    assert brought.missing == [] and brought.problems == {} and brought.blobs == plan.blobs
    for path, data in FILES.items():
        assert content(clone, RUNS[0], str(path)) == data
    assert content(clone, RUNS[1], "other.bin") == NOISE[3 << 20 :]
    again = bring(clone, place)
    assert (again.blobs, again.missing) == (0, [])


def test_only_what_is_missing_travels(place: Place, hand: Hand, other: Callable[[], Hand]) -> None:
    seal(hand, RUNS[0], FILES)
    first, _ = send(hand, place)
    again, nothing = send(hand, place)
    assert again.blobs == 0 and nothing == Sent(0, 0, 0) and len(again.relied) == first.blobs
    seal(hand, RUNS[1], {**FILES, "new.bin": b"new" * 1000})
    plan, sent = send(hand, place)
    assert (plan.blobs, sent.packs) == (1, 1) and plan.run_bytes == {RUNS[0]: 0, RUNS[1]: plan.bytes}
    assert plan.there_bytes > 3 << 20
    assert bring(other(), place).missing == []


def test_content_of_runs_that_were_not_meant_stays_here(hand: Hand, tmp_path: Path) -> None:
    """One pack holds the blobs of two runs, of which only one is sent."""
    with BlobStore(hand.gitrun_dir).session() as session:
        from tests.entries import seal_lines, stored

        lines = [stored(session, "mine.bin", NOISE[:500_000]), stored(session, "secret.bin", NOISE[500_000:900_000])]
        session.commit()
        seal_lines(hand, RUNS[0], lines[:1])
        seal_lines(hand, RUNS[1], lines[1:])
    place = Directory(tmp_path / "shelf")
    plan, _ = send(hand, place, slice(0, 1))
    assert plan.blobs == 1
    stuff = b"".join(path.read_bytes() for path in place.root.rglob("*.gpk"))
    assert NOISE[100:10_000] in stuff and NOISE[600_000:610_000] not in stuff


def test_a_pack_of_which_all_is_wanted_goes_as_it_is(hand: Hand, tmp_path: Path) -> None:
    seal(hand, RUNS[0], FILES)
    place = Directory(tmp_path / "shelf")
    send(hand, place)
    mine = {path.name for path in Path(hand.gitrun_dir, "store", "packs").rglob("*.gpk")}
    assert {path.name for path in place.root.rglob("*.gpk")} == mine


def test_new_packs_are_cut_and_the_same_each_time(hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seal(hand, RUNS[0], FILES)
    monkeypatch.setattr(packing, "PACK_BYTES", 1 << 20)
    monkeypatch.setattr(packing, "_MOST_WHOLE_BYTES", 1 << 20)
    places = [Directory(tmp_path / name) for name in ("one", "two")]
    for place in places:
        _, sent = send(hand, place)
        assert sent.packs >= 3
    names = [{path.name for path in place.root.rglob("*.gpk")} for place in places]
    assert names[0] == names[1] and all(path.stat().st_size < 3 << 20 for path in places[0].root.rglob("*.gpk"))
    assert not list(Path(hand.gitrun_dir, "store", "tmp").iterdir())


def test_records_come_without_their_files(place: Place, hand: Hand, other: Callable[[], Hand]) -> None:
    """Large parts and lists of blobs come with the record; the content of files does not."""
    from gitrun.archive.seal import Part
    from gitrun.model.artifacts import PART
    from gitrun.model.canonical import encode_line
    from tests.entries import stored

    with BlobStore(hand.gitrun_dir).session() as session:
        big = stored(session, "model.bin", NOISE)
        session.commit()
        assert "chunk_list" in big
        many = b"".join(encode_line(line(f"x{n:05}")) for n in range(4000))
        hand.seal(RUNS[0], {PART: Part(encode_line(big) + many), "console.zst": Part(NOISE[: 400 << 10])})
    send(hand, place)
    clone = other()
    brought = bring(clone, place, files=False)
    assert brought.missing == [] and brought.problems == {} and 0 < brought.bytes < 2 << 20
    with clone.open() as archive:
        [run] = runs_of(archive)
        assert run.part("console.zst") == NOISE[: 400 << 10]
        assert archive.store.can_get(big["chunk_list"])
    full = bring(clone, place)
    assert full.missing == [] and full.bytes > 5 << 20
    assert content(clone, RUNS[0], "model.bin") == NOISE


def test_a_damaged_blob_is_not_taken_and_comes_from_the_next_place(
    place: Place, hand: Hand, other: Callable[[], Hand], tmp_path: Path
) -> None:
    seal(hand, RUNS[0], FILES)
    send(hand, place)
    names = sorted(store_names(place))
    if not place.spoil(names[0], lambda data: data[:5000] + b"\0" * 2000 + data[7000:]):
        pytest.skip("what is in Git cannot be changed without git seeing it")
    clone, heard = other(), Hearing()
    brought = bring(clone, place, monitor=heard)
    assert len(brought.missing) == 1 and brought.blobs > 10
    assert [code for code, _ in heard.said] == ["W052"]
    second = Directory(tmp_path / "second")
    send(hand, second)
    assert bring(clone, place, second).missing == []
    assert content(clone, RUNS[0], "model.bin") == FILES["model.bin"]


def store_names(place: Place) -> set[str]:
    store = place.open()
    try:
        return store.names()
    finally:
        store.close()


@pytest.mark.parametrize("change", [lambda data: data[:40_000], lambda data: b"", lambda data: b"\0" * len(data)])
def test_a_pack_that_is_cut_off_or_gone_costs_its_blobs_alone(
    change: Callable[[bytes], bytes], hand: Hand, other: Callable[[], Hand], tmp_path: Path
) -> None:
    place = Directory(tmp_path / "shelf")
    seal(hand, RUNS[0], FILES)
    send(hand, place)
    seal(hand, RUNS[1], {"small": b"small" * 100})
    send(hand, place)
    large = max(place.root.rglob("*.gpk"), key=lambda path: path.stat().st_size)
    place.spoil(large.stem, change)
    clone = other()
    assert bring(clone, place).missing
    assert content(clone, RUNS[1], "small") == b"small" * 100


def test_a_tail_that_lies_costs_time_and_nothing_else(hand: Hand, other: Callable[[], Hand], tmp_path: Path) -> None:
    place, good = Directory(tmp_path / "shelf"), Directory(tmp_path / "good")
    seal(hand, RUNS[0], FILES)
    send(hand, place)
    send(hand, good)
    from gitrun.store.pack import Entry, PackReader, PackWriter

    for tail in (place.root / "tails").iterdir():
        data = (place.root / "packs" / tail.name[:2] / f"{tail.name}.gpk").read_bytes()
        entries = list(PackReader(data, tail.name).entries())
        moved = [Entry(e.blob, (1 << 63) + n, 0xFFFFFFFF, 0xFFFFFFFF, e.codec) for n, e in enumerate(entries)]
        out = bytearray()
        writer = PackWriter(out.extend)
        writer._entries = moved
        writer.finish()
        tail.chmod(0o644)
        tail.write_bytes(bytes(out[16:]))
    clone = other()
    assert bring(clone, place).missing
    assert bring(clone, place, good).missing == []


def test_a_cut_costs_what_was_under_way(hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seal(hand, RUNS[0], FILES)
    monkeypatch.setattr(packing, "PACK_BYTES", 1 << 20)
    monkeypatch.setattr(packing, "_MOST_WHOLE_BYTES", 1 << 20)
    place = Directory(tmp_path / "shelf")
    with hand.open() as archive, Sending(archive, place.open()) as sending:
        plan = sending.plan(runs_of(archive))
        made = packing.packs_for(archive.store, plan.places)

        def cut() -> Iterator[LocalPack]:
            yield next(made)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            place.open().put(cut())
        made.close()
    rest, _ = send(hand, place)
    assert 0 < rest.blobs < plan.blobs
    assert send(hand, place)[0].blobs == 0


def test_what_goes_away_meanwhile_is_sent_again(hand: Hand, tmp_path: Path) -> None:
    seal(hand, RUNS[0], FILES)
    place = Directory(tmp_path / "shelf")
    send(hand, place)
    with hand.open() as archive, Sending(archive, place.open()) as sending:
        plan = sending.plan(runs_of(archive))
        assert plan.blobs == 0
        place.open().remove(place.open().names())
        sending.send(plan)
        sending.check(plan)
    assert send(hand, place)[0].blobs == 0


def test_a_place_that_keeps_nothing_is_told(hand: Hand, tmp_path: Path) -> None:
    seal(hand, RUNS[0], FILES)
    place = Directory(tmp_path / "shelf")

    class Forgetful:
        def __init__(self, inner: BlobStoreBackend) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def names(self) -> set[str]:
            return set()

    forgetful: Any = Forgetful(place.open())
    with hand.open() as archive, Sending(archive, forgetful) as sending:
        plan = sending.plan(runs_of(archive))
        sending.send(plan)
        with pytest.raises(RemoteFailed, match="does not keep"):
            sending.check(plan)


def test_what_is_neither_here_nor_there_is_named(hand: Hand, tmp_path: Path) -> None:
    lost = "ab" * 32
    entry = line("gone.bin", bytes=5, sha256="cd" * 32, stored=True, reason=None, chunks=[[lost, 5]])
    seal(hand, RUNS[0], FILES, [entry])
    plan, _ = send(hand, Directory(tmp_path / "shelf"))
    assert plan.lacking == {RUNS[0]: [lost]}


def test_few_bytes_are_read_for_few_blobs(hand: Hand, other: Callable[[], Hand], place: Place) -> None:
    if isinstance(place, InsideGit):
        pytest.skip("Git brings whole packs")
    with BlobStore(hand.gitrun_dir).session() as session:
        from tests.entries import seal_lines, stored

        lines = [stored(session, f"{n}.bin", NOISE[n << 19 : (n + 1) << 19]) for n in range(12)]
        session.commit()
        seal_lines(hand, RUNS[0], lines)
    send(hand, place)
    clone = other()
    counted: list[int] = []
    store = place.open()

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def get(self, name: str, offset: int, length: int) -> bytes:
            counted.append(length)
            return store.get(name, offset, length)

    one: Any = Counting()
    with clone.open() as archive, Bringing(archive, [one]) as bringing:
        assert bringing.blobs([lines[5]["chunks"][0][0]]).blobs == 1
    assert sum(counted) < 600_000
