"""Files of runs: listed, brought back verified, checked out beside the source."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitrun.store.blobs import BlobStore
from gitrun.store.chunk_lists import encode
from tests.conftest import Result
from tests.entries import RUNS, line, link, seal, seal_lines, stored
from tests.hand import Hand

Call = Callable[..., Result]
RUN, OTHER = RUNS[:2]
BIG = bytes(range(256)) * 40_000  # ten MiB, cut into more pieces than a line holds
FILES: dict[str | bytes, bytes] = {
    "out/model.pt": os.urandom(3 << 20),
    "out/log.txt": b"loss 0.1\n",
    "out/empty": b"",
    b"out/\xff\nname": b"odd",
    "big.bin": BIG + os.urandom(8 << 20),
    "/var/tmp/elsewhere.csv": b"1,2\n",
}


@pytest.fixture
def kept(hand: Hand) -> Hand:
    """An archive with one run that wrote files, some of which are not stored."""
    more = [
        link("out/latest", "model.pt"),
        line("out/huge.bin", bytes=5, sha256="a" * 64),
        line(".env", reason="secret"),
        line("data.csv", kind="input", bytes=3, sha256="b" * 64, reason="input"),
    ]
    seal(hand, RUN, FILES, more)
    return hand


def contents(directory: Path) -> dict[bytes, bytes]:
    found = {}
    for parent, _, names in os.walk(os.fsencode(directory)):
        for name in names:
            path = os.path.join(parent, name)
            if not os.path.islink(path):
                with open(path, "rb") as file:
                    found[os.path.relpath(path, os.fsencode(directory))] = file.read()
    return found


def test_artifacts_lists_every_file_and_why_it_is_not_stored(kept: Hand, call: Call) -> None:
    listed = call("artifacts", RUN, "--json").json()
    assert [each["path"] for each in listed][:3] == [".env", "/var/tmp/elsewhere.csv", "big.bin"]
    by_path = {str(each["path"]): each for each in listed}
    assert len(listed) == len(FILES) + 4
    assert (by_path["out/huge.bin"]["stored"], by_path["out/huge.bin"]["reason"]) == (False, "limit")
    assert by_path["out/latest"]["target"] == "model.pt" and by_path["data.csv"]["kind"] == "input"
    keys = {"path", "kind", "type", "mode", "bytes", "sha256", "stored", "reason", "produced_by", "evidence", "level"}
    assert all(each.keys() == keys | {"run", "target", "overwritten"} for each in listed)
    rows = [row.split("\t") for row in call("artifacts", RUN).stdout.splitlines()]
    assert all(len(row) == 8 for row in rows) and [row[4] for row in rows if row[7] == ".env"] == ["secret"]
    assert "\\n" in rows[-1][7] or any("\\n" in row[7] for row in rows), "a name cannot forge a line"
    shown = call("show", RUN, "--json").json()["artifacts"]
    assert [each["path"] for each in shown] == [each["path"] for each in listed]


def test_get_gives_the_very_bytes_back(kept: Hand, call: Call, tmp_path: Path) -> None:
    place = tmp_path / "got"
    done = call("get", RUN, "out/log.txt", "*.bin", "out/latest", "-o", str(place))
    assert done.code == 1 and "out/huge.bin: it was not stored (limit)" in done.stderr, "one of *.bin is not stored"
    assert contents(place) == {b"out/log.txt": b"loss 0.1\n", b"big.bin": FILES["big.bin"]}
    assert os.readlink(place / "out/latest") == "model.pt"
    assert sorted(done.stdout.splitlines()) == [f"{place}/{name}" for name in ("big.bin", "out/latest", "out/log.txt")]
    assert (place / "big.bin").stat().st_mode & 0o777 == 0o644
    assert not [path for path in place.rglob("*") if "gitrun-tmp" in path.name]


def test_a_directory_stands_for_all_below_it_and_dot_for_everything(kept: Hand, call: Call, tmp_path: Path) -> None:
    assert call("get", RUN, "out", "-o", str(tmp_path / "a")).code == 1
    assert contents(tmp_path / "a") == {
        os.fsencode(path): data for path, data in FILES.items() if os.fsencode(path).startswith(b"out/")
    }
    done = call("get", RUN, ".", "/", "-o", str(tmp_path / "b"))
    assert done.code == 1 and "may hold a secret" in done.stderr
    assert contents(tmp_path / "b") == {os.fsencode(path).lstrip(b"/"): data for path, data in FILES.items()}


def test_nothing_is_overwritten_and_then_nothing_is_written(kept: Hand, call: Call, tmp_path: Path) -> None:
    (tmp_path / "got/out").mkdir(parents=True)
    (tmp_path / "got/out/log.txt").write_text("mine")
    done = call("get", RUN, "out", "-o", str(tmp_path / "got"))
    assert done.code == 1 and "out/log.txt" in done.stderr and "there already" in done.stderr
    assert contents(tmp_path / "got") == {b"out/log.txt": b"mine"}
    assert call("get", RUN, "out/model.pt", "-o", str(tmp_path / "got")).code == 0, "beside it there is room"
    assert (tmp_path / "got/out/log.txt").read_text() == "mine"


def test_get_puts_files_into_the_working_tree_by_default(kept: Hand, call: Call) -> None:
    assert call("get", RUN, "out/log.txt").code == 0
    assert (kept.root / "out/log.txt").read_bytes() == b"loss 0.1\n"
    assert call("get", RUN, "out/log.txt").code == 1


@pytest.mark.parametrize("words", [["nothing-like-it"], ["out", "nothing-like-it"], ["out/log.tx"]])
def test_a_path_that_the_run_has_not_is_an_error(kept: Hand, call: Call, tmp_path: Path, words: list[str]) -> None:
    done = call("get", RUN, *words, "-o", str(tmp_path / "got"))
    assert done.code == 1 and "gitrun artifacts" in done.stderr and not (tmp_path / "got").exists()


def test_a_damaged_file_is_not_written_and_costs_no_other(kept: Hand, call: Call, tmp_path: Path) -> None:
    with BlobStore(kept.gitrun_dir).session() as session:
        wrong = stored(session, "wrong", b"what was stored")
        swapped = stored(session, "swapped", BIG)
        fine = stored(session, "fine", b"fine")
        session.commit()
    assert "chunks" not in swapped or len(swapped["chunks"]) > 1
    swapped["sha256"] = hashlib.sha256(b"something else").hexdigest()
    wrong["sha256"] = "c" * 64
    gone = line("gone", stored=True, reason=None, bytes=3, sha256="d" * 64, chunks=[["d" * 64, 3]])
    lies = line("lies", stored=True, reason=None, bytes=4, sha256="d" * 64, chunks=[["d" * 64, 3]])
    seal_lines(kept, OTHER, [wrong, swapped, fine, gone, lies])
    done = call("get", OTHER, ".", "-o", str(tmp_path / "got"))
    assert done.code == 5 and contents(tmp_path / "got") == {b"fine": b"fine"}
    for path in ("wrong", "swapped", "gone", "lies"):
        assert f"gitrun: {path}: " in done.stderr
    assert sorted(os.listdir(tmp_path / "got")) == ["fine"]


def test_a_file_in_many_pieces_is_listed_in_a_blob_of_its_own(kept: Hand, call: Call) -> None:
    with kept.open() as archive:
        (entry,) = [each for each in archive.run(RUN).value("artifacts.jsonl") if each["path"] == "big.bin"]  # type: ignore[union-attr]
        assert "chunks" not in entry and archive.store.has(entry["chunk_list"])
    assert call("gc").code == 0
    assert call("fsck", "--data").code == 0
    assert call("get", RUN, "big.bin").code == 0, "gc has followed the list"


@pytest.mark.parametrize(
    "wrong",
    [{"path": "../out"}, {"path": ""}, {"mode": "zz"}, {"bytes": -1}, {"sha256": "f" * 63}, {"chunks": "text"}],
    ids=str,
)
def test_fsck_names_entries_that_get_refuses(hand: Hand, call: Call, wrong: dict[str, Any]) -> None:
    entry = line("a", stored=True, reason=None, bytes=0, sha256="a" * 64, chunks=[])
    seal_lines(hand, RUN, [{**entry, **wrong}])
    problems = call("fsck", "--json").json()["problems"]
    assert [problem["code"] for problem in problems] == ["E039"]
    assert call("get", RUN, "a").code in (1, 5)


def test_fsck_says_what_is_wrong_with_a_list(hand: Hand, call: Call) -> None:
    with BlobStore(hand.gitrun_dir).session() as session:
        cut_off, missing = session.put(b"x" * 37), "e" * 64
        listed = session.put(encode([("f" * 64, 3)]))
        session.commit()
    lines = [
        line(name, stored=True, reason=None, bytes=3, sha256="a" * 64, chunk_list=blob)
        for name, blob in (("cut-off", cut_off), ("missing", missing), ("hollow", listed))
    ]
    seal_lines(hand, RUN, lines)
    problems = call("fsck", "--json").json()["problems"]
    assert sorted(problem["code"] for problem in problems) == ["E034", "E034", "E038"]
    assert {blob for blob in ("e" * 64, "f" * 64) if any(blob in problem["what"] for problem in problems)} == {
        "e" * 64,
        "f" * 64,
    }
    collected = call("gc")
    assert collected.code == 5, "what a list that cannot be read needs is not known"


@pytest.mark.parametrize("path", ["../x", "a/../../x", ".git/hooks/post-checkout", "a/.GIT/config"])
def test_a_hostile_path_is_damage(hand: Hand, call: Call, tmp_path: Path, path: str) -> None:
    seal(hand, RUN, {path: b"x"})
    done = call("get", RUN, ".", "-o", str(tmp_path / "got"))
    assert done.code == 5 and not (tmp_path / "got").exists()
    assert call("checkout", RUN, str(tmp_path / "out"), "--artifacts").code == 5 and not (tmp_path / "out").exists()


def test_a_file_that_was_read_where_nobody_may_write(hand: Hand, call: Call, tmp_path: Path) -> None:
    with BlobStore(hand.gitrun_dir).session() as session:
        lines = [stored(session, path, b"x", kind="input") for path in (".git/config", "../up", "data")]
        session.commit()
    seal_lines(hand, RUN, lines)
    assert call("get", RUN, ".", "..", ".git", "-o", str(tmp_path / "got")).code == 1
    assert contents(tmp_path / "got") == {b"data": b"x"}
    done = call("checkout", RUN, str(tmp_path / "out"), "--artifacts")
    assert done.code == 0 and done.stderr.count("W039") == 2 and (tmp_path / "out/data").read_bytes() == b"x"
    assert not (tmp_path / "up").exists()


def test_a_directory_made_for_nothing_is_gone_again(kept: Hand, call: Call, tmp_path: Path) -> None:
    assert call("get", RUN, "out/huge.bin", "-o", str(tmp_path / "got")).code == 1
    assert not (tmp_path / "got").exists()


def test_an_artifact_and_an_output_of_one_path(hand: Hand, call: Call, tmp_path: Path) -> None:
    with BlobStore(hand.gitrun_dir).session() as session:
        lines = [stored(session, "m", b"early", kind="artifact"), stored(session, "m", b"last")]
        session.commit()
    seal_lines(hand, RUN, lines)
    assert call("get", RUN, "m", "-o", str(tmp_path / "a")).code == 0
    assert call("get", RUN, "m", "--kind", "artifact", "-o", str(tmp_path / "b")).code == 0
    assert contents(tmp_path / "a") == {b"m": b"last"} and contents(tmp_path / "b") == {b"m": b"early"}
    assert call("get", RUN, "m", "--kind", "outputs").code == 2


def test_checkout_brings_what_is_stored_beside_the_source(kept: Hand, call: Call, tmp_path: Path) -> None:
    with BlobStore(kept.gitrun_dir).session() as session:
        lines = [stored(session, "train.py", b"written by the run"), stored(session, "out/m", b"m", mode="0600")]
        lines += [stored(session, "data.bin", b"read", kind="input"), stored(session, "/abs/x", b"far")]
        lines += [link("out/l", "m"), line("out/huge", bytes=1)]
        session.commit()
    seal_lines(kept, OTHER, lines)
    place = tmp_path / "out"
    done = call("checkout", OTHER, str(place), "--artifacts")
    assert done.code == 0 and done.stdout == f"{place}\n"
    assert "out/huge" in done.stderr and "W039" in done.stderr
    found = {path: data for path, data in contents(place).items() if not path.startswith(b".git/")}
    assert found == {b"train.py": OTHER.encode(), b"out/m": b"m", b"data.bin": b"read"}
    assert os.readlink(place / "out/l") == "m" and (place / "out/m").stat().st_mode & 0o777 == 0o600
    assert contents(Path(f"{place}.artifacts")) == {b"train.py": b"written by the run", b"abs/x": b"far"}
    plain = tmp_path / "plain"
    assert call("checkout", OTHER, str(plain)).code == 0
    assert {path for path in contents(plain) if not path.startswith(b".git/")} == {b"train.py"}


def test_a_checkout_with_a_damaged_file_leaves_nothing(kept: Hand, call: Call, tmp_path: Path) -> None:
    gone = line("gone", stored=True, reason=None, bytes=3, sha256="d" * 64, chunks=[["d" * 64, 3]])
    seal_lines(kept, OTHER, [gone])
    before = sorted(os.listdir(tmp_path))
    assert call("checkout", OTHER, str(tmp_path / "out"), "--artifacts").code == 5
    assert sorted(os.listdir(tmp_path)) == before
    assert call("checkout", OTHER, str(tmp_path / "out")).code == 0


def test_a_real_run_from_recording_to_restoring(
    make_repo: Callable[..., Path], gitrun: Callable[..., Result], tmp_path: Path
) -> None:
    script = "import os\nos.makedirs('out')\nopen('out/w.bin', 'wb').write(bytes(range(256)) * 20000)\n"
    root = make_repo({"train.py": script, ".gitignore": "out/\n"})
    assert gitrun("record", "-n", "first", "--", "python", "train.py", cwd=root).code == 0
    (listed,) = gitrun("artifacts", "first", "--json", cwd=root).json()
    assert (listed["path"], listed["kind"], listed["stored"]) == ("out/w.bin", "output", True)
    wanted = (root / "out/w.bin").read_bytes()
    (root / "out/w.bin").unlink()
    assert gitrun("get", "first", "out/w.bin", cwd=root).code == 0
    assert (root / "out/w.bin").read_bytes() == wanted
    out = tmp_path / "again"
    assert gitrun("checkout", "first", str(out), "--artifacts", cwd=root).code == 0
    assert (out / "out/w.bin").read_bytes() == wanted
    assert json.loads(gitrun("du", "first", "--json", cwd=root).stdout)["runs"][0]["files"] == 1
