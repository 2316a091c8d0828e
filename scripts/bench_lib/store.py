"""The store against `zstd -1 -T2`, restic, dvc and borg, on a mix of what runs leave behind.

Half of the mix is fp32 weights, an eighth each bf16 weights, mostly zeros, noise and JSON lines. CPU is that of
the whole process, start included, and both sides take turns. The tools are measured where they are on PATH.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ground import interleaved, report, scratch
from store_mix import MIB, floats, log_lines, make_mix

# A child's ru_maxrss begins with its parent's: the high water mark of its own memory is what counts.
PEAK = """
def peak(): return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) << 10
"""
INGEST = (
    PEAK
    + """
import json, sys
from gitrun.store.blobs import BlobStore
def read(): return int(open("/proc/self/io").read().split()[1])
store = BlobStore(sys.argv[1])
before = read()
with store.session() as session:
    content = session.put_file(sys.argv[2])
    session.commit()
print(json.dumps({"read": read() - before, "peak": peak(), "chunks": content.chunks, "sha256": content.sha256}))
"""
)
RESTORE = """
import json, sys, time
from gitrun.store.blobs import BlobStore
content = json.load(open(sys.argv[2]))
started = time.process_time()
with open(sys.argv[3], "wb", buffering=0) as file:
    for piece in BlobStore(sys.argv[1]).read_file(content["chunks"], content["sha256"]): file.write(piece)
print(time.process_time() - started)
"""
HASH = """
import hashlib, sys, time
digest, started = hashlib.sha256(), time.process_time()
with open(sys.argv[1], "rb", buffering=0) as file:
    while piece := file.read(1 << 20): digest.update(piece)
print(time.process_time() - started)
"""
ZSTANDARD = """
import sys, zstandard
with open(sys.argv[1], "rb") as source, open(sys.argv[2], "wb") as out:
    zstandard.ZstdCompressor(level=1, threads=2).copy_stream(source, out)
"""
STREAM = (
    PEAK
    + """
import io, os, sys
from gitrun.store.blobs import BlobStore
class Source(io.RawIOBase):
    left = int(sys.argv[2])
    def readinto(self, room):
        size = min(len(room), self.left); self.left -= size
        room[:size] = os.urandom(size)
        return size
with BlobStore(sys.argv[1]).session() as session:
    session.put_stream(Source())
    session.commit()
print(peak())
"""
)
TOOLS = {"restic": 0.45, "dvc": 0.6, "borg": 0.8}
STORED = {"restic": 0.92, "dvc": 0.72}
KEPT_IN = {"restic": "r", "dvc": ".dvc/cache", "borg": "r"}
Rows = list[tuple[str, str, str]]


class Cost(NamedTuple):
    """What a process took, CPU and wall in seconds, and what it printed."""

    cpu: float
    wall: float
    out: str


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench store", description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="size of the mix; the other cases scale with it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=1000, help="small files that are made durable")
    parser.add_argument("--keep", action="store_true", help="leave the files behind")
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    path = os.environ["PATH"]
    with scratch(args.keep) as root:
        os.environ["PATH"] = path
        mix = root / "mix"
        make_mix(mix, args.mib)
        rows: Rows = []
        for measure in (ingest, beside_tools, restore):
            rows += measure(root, mix, args.rounds)
        rows += edits(root, args.mib) + flat(root, args.mib) + small_files(root, args.files, args.rounds)
        rows.append(("pyfastcdc", cutter(), "compiled"))
    report("store", rows, {what: measured for what, measured, _ in rows}, args.json)


def spend(*argv: str | Path, cwd: Path | None = None) -> Cost:
    """Run a command that must succeed; what it took."""
    started = time.perf_counter()
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd, text=True)
    assert process.stdout is not None and process.stderr is not None
    out = process.stdout.read()
    problem = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise SystemExit(f"{argv[0]} ended with {process.returncode}: {problem}")
    return Cost(used.ru_utime + used.ru_stime, time.perf_counter() - started, out)


def python(code: str, *words: str | Path) -> Cost:
    return spend(sys.executable, "-c", code, *words)


def ingest(root: Path, mix: Path, rounds: int) -> Rows:
    """CPU beside zstd's, memory, and the same file again."""
    program = shutil.which("zstd")
    ours, yardstick = [], []
    for number in range(rounds):
        store = root / f"store{number}"
        ours.append(python(INGEST, store, mix))
        packed = root / "mix.zst"
        zstd = [program, "-1", "-T2", "-q", "-f", str(mix), "-o", str(packed)] if program else []
        yardstick.append(spend(*zstd) if zstd else python(ZSTANDARD, mix, packed))
        packed.unlink()
        if number:
            shutil.rmtree(store)
    name = "zstd -1 -T2" if program else "zstandard, level 1, two threads (no zstd on PATH)"
    again = python(INGEST, root / "store0", mix)
    peak = max(json.loads(cost.out)["peak"] for cost in ours)
    size = mix.stat().st_size
    cpu = [round(statistics.median(cost.cpu for cost in costs), 2) for costs in (ours, yardstick)]
    return [
        (f"ingest CPU ÷ {name}", f"{cpu[0] / cpu[1]:.2f} ({cpu[0]} s ÷ {cpu[1]} s)", "at most 1.8"),
        ("ingest wall", f"{statistics.median(cost.wall for cost in ours):.2f} s", ""),
        ("ingest peak memory", f"{peak / MIB:.0f} MiB", "at most 128 MiB"),
        ("stored ÷ plain", f"{stored_bytes(root / 'store0') / size:.3f}", ""),
        ("unchanged file again: read", f"{json.loads(again.out)['read'] / size:.2%}", "not read"),
    ]


def beside_tools(root: Path, mix: Path, rounds: int) -> Rows:
    """Wall time and stored bytes beside other tools, in turn."""
    rows: Rows = []
    size = stored_bytes(root / "store0")
    for name, (prepare, add) in tools(root, mix).items():
        if shutil.which(name) is None:
            rows.append((f"wall ÷ {name}", "not measured", f"{name} is not on PATH"))
            continue
        theirs, ours = [], []
        for number in range(rounds):
            place = root / name
            place.mkdir()
            prepare(place)
            theirs.append(add(place).wall)
            taken = stored_bytes(place / KEPT_IN[name])
            shutil.rmtree(place)
            ours.append(python(INGEST, root / f"beside{number}", mix).wall)
            shutil.rmtree(root / f"beside{number}")
        ratio = statistics.median(ours) / statistics.median(theirs)
        rows.append((f"wall ÷ {name}", f"{ratio:.2f}", f"at most {TOOLS[name]}"))
        rows.append((f"stored ÷ {name}", f"{size / taken:.2f}", f"at most {STORED[name]}" if name in STORED else ""))
    return rows


def tools(root: Path, mix: Path) -> dict[str, tuple[Callable[[Path], object], Callable[[Path], Cost]]]:
    """For each tool: make its repository in a directory, then add the mix."""
    os.environ.update(
        RESTIC_PASSWORD="bench",
        RESTIC_CACHE_DIR=str(root / "cache"),
        BORG_BASE_DIR=str(root / "cache"),
        DVC_NO_ANALYTICS="1",
    )

    def dvc(place: Path) -> None:
        for words in (["git", "init", "-q"], ["dvc", "init", "-q"]):
            spend(*words, cwd=place)
        shutil.copyfile(mix, place / "mix")

    return {
        "restic": (
            lambda place: spend("restic", "-q", "-r", place / "r", "init"),
            lambda place: spend("restic", "-q", "-r", place / "r", "backup", mix),
        ),
        "dvc": (dvc, lambda place: spend("dvc", "add", "-q", "mix", cwd=place)),
        "borg": (
            lambda place: spend("borg", "init", "-e", "none", place / "r"),
            lambda place: spend("borg", "create", f"{place / 'r'}::a", mix),
        ),
    }


def restore(root: Path, mix: Path, rounds: int) -> Rows:
    """CPU of writing the mix into a file again, verified, against hashing it."""
    listed = root / "content.json"
    listed.write_text(python(INGEST, root / "store0", mix).out)
    words = root / "store0", listed, root / "restored"
    pairs = [(float(python(RESTORE, *words).out), float(python(HASH, mix).out)) for _ in range(rounds)]
    ours, yardstick = (statistics.median(side) for side in zip(*pairs, strict=True))
    return [("restore into a file and verify, CPU ÷ sha256", f"{ours / yardstick:.2f}", "at most 2.5")]


def edits(root: Path, mib: int) -> Rows:
    """What is stored again of a file that changed a little; as many edits a MiB whatever the size."""
    chance, size = random.Random(4), mib * MIB // 4
    weights = b"".join(floats(size, 7))
    places = max(1, 64 * size // (256 * MIB))
    edited = bytearray(weights)
    for _ in range(places):
        at = chance.randrange(size - size // 100 // places)
        edited[at : at + size // 100 // places] = chance.randbytes(size // 100 // places)
    log = b"".join(log_lines(size // 2, 0))
    grown = log + b"".join(log_lines(size // 4, 1))
    layers, trained = checkpoints(size, chance)
    cases: list[tuple[str, Any, Any, str]] = [
        (f"fp32, 1 % changed in {places} places: stored again", weights, edited, "at most 15 %"),
        ("777 bytes put before it: stored again", weights, chance.randbytes(777) + weights, "at most 1 %"),
        ("a log grown by half: stored again", log, grown, "at most 36 %"),
        ("a checkpoint, biases trained (0.1 %): stored again", layers, trained, "at most 2 %"),
    ]
    rows: Rows = []
    for what, before, after, bound in cases:
        (root / "before").write_bytes(before)
        (root / "after").write_bytes(after)
        store = root / "edited"
        python(INGEST, store, root / "before")
        first = stored_bytes(store)
        python(INGEST, store, root / "after")
        rows.append((what, f"{(stored_bytes(store) - first) / len(after):.1%}", bound))
        shutil.rmtree(store)
    return rows


def checkpoints(size: int, chance: random.Random) -> tuple[bytes, bytes]:
    """Two safetensors files of layers of 4 MiB, each with a bias of 4 KiB, which alone differ."""
    layers = [(weights, chance.randbytes(4 << 10)) for weights in floats(size, 11, at_once=4 * MIB)]
    header, at = {}, 0
    for number, tensors in enumerate(layers):
        for name, data in zip(("weight", "bias"), tensors, strict=True):
            where = [at, at + len(data)]
            header[f"{number}.{name}"] = {"dtype": "F32", "shape": [len(data) // 4], "data_offsets": where}
            at += len(data)
    listed = json.dumps(header).encode("ascii")
    head = len(listed).to_bytes(8, "little") + listed
    trained = [(weights, chance.randbytes(len(bias))) for weights, bias in layers]
    before, after = (head + b"".join(b"".join(pair) for pair in each) for each in (layers, trained))
    return before, after


def flat(root: Path, mib: int) -> Rows:
    """Peak memory of noise, as large as the mix and eight times that."""
    peaks = []
    for times in (1, 8):
        peaks.append(int(python(STREAM, root / "flat", str(times * mib * MIB)).out) / MIB)
        shutil.rmtree(root / "flat")
    return [("peak memory, eight times as much", f"{peaks[0]:.0f} and {peaks[1]:.0f} MiB", "at most 128 MiB, flat")]


def small_files(root: Path, count: int, rounds: int) -> Rows:
    """Files of 4 KiB made durable: in one pack, and each synced by itself."""
    from gitrun.store.blobs import BlobStore

    batch: list[bytes] = []

    def draw(_: int) -> None:
        batch[:] = [os.urandom(4096) for _ in range(count)]

    def ours() -> None:
        with BlobStore(str(root / "small")).session() as session:
            for content in batch:
                session.put(content)
            session.commit()

    def synced() -> None:
        place = root / "synced"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for number, content in enumerate(batch):
            with open(place / str(number), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())

    times = interleaved({"ours": ours, "synced": synced}, 3 * rounds, draw)
    return [(f"{count} files of 4 KiB, fsync each ÷ ours", f"{times['synced'] / times['ours']:.0f}", "at least 20")]


def cutter() -> str:
    """Which of pyfastcdc's two implementations cuts here."""
    from pyfastcdc import FastCDC

    return "compiled" if FastCDC.__module__.startswith("pyfastcdc.cy") else "in Python, very slow (W020)"


def stored_bytes(place: Path) -> int:
    """The bytes of all files below `place`."""
    return sum(path.lstat().st_size for path in place.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
