"""The bytes under spec/vectors/store are read, made again, and read by a program that has no gitrun."""

import hashlib
import json
import os
import runpy
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zstandard

from gitrun.archive.annotations import annotate
from gitrun.archive.since import DROP, STORED
from gitrun.child.frames import frame, pack_value
from gitrun.git.objects import open_reader
from gitrun.model.canonical import encode_line
from gitrun.store import chunk_lists
from gitrun.store.blobs import BlobStore
from gitrun.store.index import Index, Indexed
from gitrun.store.pack import PackReader, scan
from gitrun.store.sessions import decode_session
from tests.entries import RUNS, line, link, seal_lines, stored
from tests.hand import Hand

ROOT = Path(__file__).resolve().parents[3]
VECTORS = ROOT / "spec" / "vectors" / "store"
READER = ROOT / "scripts" / "read_without_gitrun.py"


def read_without_gitrun(*words: str | Path) -> subprocess.CompletedProcess[bytes]:
    """Run the independent reader where no gitrun can be imported."""
    hide = "import sys, runpy; sys.modules['gitrun'] = None; sys.argv = sys.argv[1:]"
    code = f"{hide}; runpy.run_path(sys.argv[0], run_name='__main__')"
    return subprocess.run([sys.executable, "-c", code, READER, *words], capture_output=True)


def small() -> tuple[bytes, dict[str, Any]]:
    return (VECTORS / "small.gpk").read_bytes(), json.loads((VECTORS / "small.json").read_text())


def test_the_code_makes_the_golden_bytes() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "make_vectors.py", "--check"], capture_output=True, text=True
    )
    assert done.stderr == ""
    assert [line for line in done.stdout.splitlines() if "vectors/store/" in line] == []


def test_the_golden_pack_is_read() -> None:
    data, about = small()
    assert hashlib.sha256(data).hexdigest() == about["name"]
    reader = PackReader(data, about["name"])
    assert [{**entry._asdict(), "blob": entry.blob.hex()} for entry in reader.entries()] == about["entries"]
    assert sorted(scan(data, "small")) == list(reader.entries())
    for entry in reader.entries():
        assert hashlib.sha256(reader.read(entry)).digest() == entry.blob


def test_the_golden_table_is_read(tmp_path: Path) -> None:
    """By the code, and by nothing but the words of spec/store.md."""
    data, (_, about) = (VECTORS / "two-packs.gpi").read_bytes(), small()
    blobs = [bytes.fromhex(entry["blob"]) for entry in about["entries"]]
    magic, version, zero, packs, count, crc, end = struct.unpack_from("<8sHHIQII", data)
    assert (magic, version, zero, packs, count, end) == (b"GITRUNIX", 1, 0, 2, 7, 0)
    rows = 32 + 2 * 40
    assert zlib.crc32(data[:24] + bytes(8) + data[32:rows]) == crc
    names = [struct.unpack_from("<32sQ", data, 32 + n * 40) for n in range(packs)]
    assert names[0] == (bytes.fromhex(about["name"]), (VECTORS / "small.gpk").stat().st_size)
    entries = [struct.unpack_from("<32sII", data, rows + n * 40) for n in range(count)]
    assert [entry[:2] for entry in entries] == sorted(entry[:2] for entry in entries)
    assert all(zlib.crc32(data[at : at + 36]) == entries[n][2] for n in range(count) for at in (rows + n * 40,))
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "00112233445566ff.gpi").write_bytes(data)
    index = Index(str(tmp_path))
    assert [len(index.find(blob)) for blob in blobs] == [2, 2, 1, 1]
    assert index.find(hashlib.sha256(b"own").digest()) == [Indexed(names[1][0].hex(), 4242)]


def test_the_golden_session_is_read() -> None:
    found = decode_session((VECTORS / "session").read_bytes(), "session")
    assert found.header["process"] == {"pid": 4242, "start": 123456}
    assert (found.blobs, found.packs) == ([hashlib.sha256(b"short\n").hexdigest()], [small()[1]["name"]])


def test_the_independent_reader_reads_the_golden_pack(tmp_path: Path) -> None:
    data, about = small()
    (tmp_path / f"{about['name']}.gpk").write_bytes(data)
    done = read_without_gitrun("packs", tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"4 blobs" in done.stdout


def test_the_independent_reader_finds_every_changed_byte(tmp_path: Path) -> None:
    data, _ = small()
    reader = runpy.run_path(str(READER))
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 0x10
        path = tmp_path / f"{hashlib.sha256(changed).hexdigest()}.gpk"
        path.write_bytes(changed)
        with pytest.raises(reader["SpecError"]):
            reader["read_pack"](path)
        path.unlink()


def test_the_independent_reader_reads_a_run(
    tmp_path: Path, make_repo: Callable[..., Path], git: Callable[..., Any]
) -> None:
    """The form of a run's commit, made by hand: a part in the tree, one in the store, a file beside the tree."""
    repo = make_repo()
    store = BlobStore(str(repo / ".git" / "gitrun"))
    large, beside = b"metrics " * 500_000, b"\r\nraw"
    with store.session() as session:
        part, extra = session.put_bytes(large), session.put_bytes(beside)
        session.commit()
    line = {
        "path": "a.txt",
        "mode": 0o100644,
        "bytes": 5,
        "sha256": extra.sha256,
        "reason": "raw",
        "chunks": extra.chunks,
    }
    extra_jsonl = json.dumps(line).encode() + b"\n"
    spool = [{"format": 1, "kind": "console", "requires": []}, [1, 5, b"epoch 1\n"], {"gap": 7}, [2, 6, b"oops\n"]]
    console = zstandard.ZstdCompressor().compress(b"".join(frame(pack_value(value)) for value in spool))
    with store.session() as session:
        kept = session.put_bytes(console)
        session.commit()
    parts = {
        "console.zst": {"in": "store", "bytes": kept.bytes, "sha256": kept.sha256, "chunks": kept.chunks},
        "extra.jsonl": {"in": "tree", "bytes": len(extra_jsonl), "sha256": hashlib.sha256(extra_jsonl).hexdigest()},
        "metrics.parquet": {"in": "store", "bytes": part.bytes, "sha256": part.sha256, "chunks": part.chunks},
    }
    run_json = json.dumps({"format": 1, "id": "20261124-061246-abcdef", "parts": parts}).encode() + b"\n"
    oids = {
        name: git("hash-object", "-w", "--stdin", cwd=repo, input=data).stdout.strip()
        for name, data in (("extra.jsonl", extra_jsonl), ("run.json", run_json))
    }
    tree = git(
        "mktree", cwd=repo, input="".join(f"100644 blob {oid}\t{name}\n" for name, oid in oids.items())
    ).stdout.strip()
    commit = git("commit-tree", "-m", "run", tree, cwd=repo).stdout.strip()
    git("update-ref", "refs/gitrun/runs/20261124-061246-abcdef", commit, cwd=repo)
    done = read_without_gitrun("run", repo, "20261124-061246-abcdef")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"part metrics.parquet: 4000000 bytes in the store, verified" in done.stdout
    assert b"extra a.txt: 5 bytes, raw, verified" in done.stdout
    assert done.stdout.endswith(b"console:\nepoch 1\n\n[7 bytes were not kept]\noops\n")


def test_the_independent_reader_verifies_what_a_run_stored(hand: Hand) -> None:
    """Files in a line and in a list, a directory's list, links, names that are no text, and what was said since."""
    run_id, late, big = RUNS[0], b"later\n", bytes(range(256)) * (80 << 10)
    below = line("data/x", kind="input", bytes=3, reason="input")
    with BlobStore(hand.gitrun_dir).session() as session:
        put = session.put
        chunks = [(put(big[at : at + (1 << 20)]), 1 << 20) for at in range(0, len(big), 1 << 20)]
        lines = [
            stored(session, "out/small", b"small\n"),
            line("out/big", bytes=len(big), sha256=hashlib.sha256(big).hexdigest(), stored=True, reason=None)
            | chunk_lists.place(chunks, put),
            line("out/late", bytes=len(late), reason="deferred"),
            stored(session, "out/dropped", b"of no use\n"),
            line("data", kind="input", type="directory", reason="input", manifest=put(encode_line(below))),
            link("out/link", "small"),
            line(b"out/\xff", reason="limit"),
        ]
        assert "chunk_list" in lines[1]
        content = session.put_bytes(late)
        session.commit()
        seal_lines(hand, run_id, lines)
    body = {"path": "out/late", "kind": "output", "bytes": len(late), "sha256": content.sha256}
    with open_reader(hand.repo) as reader:
        say = partial(annotate, hand.repo, hand.gitrun_dir, os.environ, reader, run_id)
        say(STORED, {**body, "chunks": content.chunks}, [content.chunks[0][0]])
        say(DROP, {"paths": ["out/dropped"]}, [])
    done = read_without_gitrun("run", hand.root, run_id)
    assert (done.returncode, done.stderr) == (0, b"")
    told = [row.decode() for row in done.stdout.splitlines() if row.startswith((b"output ", b"input "))]
    assert told == [
        "input data: directory, not stored, input",
        "input data/x: file, not stored, input",
        f"output out/big: file, {len(big)} bytes, verified",
        "output out/dropped: file, not stored, dropped",
        "output out/late: file, 6 bytes, verified",
        "output out/link: link, 5 bytes, verified",
        "output out/small: file, 6 bytes, verified",
        "output out/\\xff: file, not stored, limit",
    ]


@pytest.mark.parametrize("wrong", [{"sha256": "0" * 64}, {"bytes": 5}, {"chunks": []}, {"chunk_list": "0" * 64}])
def test_the_independent_reader_finds_a_file_that_is_not_what_its_entry_says(hand: Hand, wrong: dict[str, Any]) -> None:
    with BlobStore(hand.gitrun_dir).session() as session:
        lines = [stored(session, "out", b"small\n") | wrong]
        session.commit()
        seal_lines(hand, RUNS[0], lines)
    done = read_without_gitrun("run", hand.root, RUNS[0])
    assert done.returncode == 1 and done.stderr.startswith(b"damaged: ")


@pytest.mark.parametrize("words", [(), ("run", "."), ("other", "x")])
def test_the_independent_reader_explains_itself(words: tuple[str, ...]) -> None:
    done = read_without_gitrun(*words)
    assert done.returncode == 2 and b"read_without_gitrun.py run REPOSITORY RUN" in done.stderr
