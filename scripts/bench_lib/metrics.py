"""What `gitrun.log` of three metrics costs a loop, beside a write, JSON lines, sqlite, other trackers; kills; sealing.

Each is a program of its own that times every call. gitrun and the bare write of 64 bytes take turns in one program, so
that both see the same machine. Trackers are measured by the Python after `--peers` where it has them, or by a new one
into which `--install` puts them; what is absent is named.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from ground import make_repository, report, scratch
from peers import PEERS, YARDSTICKS, program
from series import sealing

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.metrics_journal import read_journals  # an independent reader

MEDIAN_NS, P99_NS, WRITES, IMPORT_MS = 3000, 12_000, 6, 10
Row = tuple[str, str, str]

BESIDE_A_WRITE = """
import gitrun, json, os, sys, time
clock, log, write, data = time.perf_counter_ns, gitrun.log, os.write, b"x" * 64
fd = os.open("bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
values = {"loss": 0.25, "acc": 0.5, "lr": 1e-3}
log(values)
ours, bare = [], []
for i in range(int(sys.argv[1])):
    began = clock(); gitrun.log(values, step=i); ours.append(clock() - began)
    began = clock(); write(fd, data); bare.append(clock() - began)
ours.sort(); bare.sort()
half, most = len(ours) // 2, len(ours) * 99 // 100
print(json.dumps([ours[half], ours[most], bare[half], bare[most]]))
"""
LONG = """
import gitrun, json, sys, time
def memory(): return int(open("/proc/self/statm").read().split()[1]) * 4096
values, pieces, per_piece = {"loss": 0.25, "acc": 0.5, "lr": 1e-3}, 10, int(sys.argv[1]) // 10
gitrun.log(values)
before, times = memory(), []
for piece in range(pieces):
    began = time.process_time()
    for i in range(per_piece):
        gitrun.log(values, step=i)
    times.append((time.process_time() - began) / per_piece * 1e9)
print(json.dumps([min(times[:3]), min(times[-3:]), memory() - before]))
"""
START = """
import time
began = time.perf_counter()
import gitrun
imported = time.perf_counter()
gitrun.log({"loss": 0.25})
print(f"[{(imported - began) * 1e3}, {(time.perf_counter() - began) * 1e3}]")
"""
KILLED = """
import gitrun, os
for i in range(10**9):
    gitrun.log({"loss": 0.25, "acc": i, "lr": 1e-3}, step=i)
    os.write(1, b"%d\\n" % i)
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench metrics", description=__doc__)
    parser.add_argument("--calls", type=int, default=200_000, help="calls of gitrun.log beside as many writes")
    parser.add_argument("--points", type=int, default=10_000_000, help="points of one process, for time and memory")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--peers", metavar="PYTHON", help="a Python that has other trackers installed")
    parser.add_argument("--install", action="store_true", help="install them into an environment for this once")
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    with scratch() as root:
        rows, data = ours(root, args.calls)
        for more in (starting(root), at_length(root, args.points), kills(root, args.kills)):
            rows += more
        back, sealed = sealing(root, make_repository(root / "repo", 3))
        rows, data = rows + back, data | sealed
        for name, setup in YARDSTICKS.items():
            rows.append(peer(root, sys.executable, name, setup))
        python = with_peers(root / "peers") if args.install else args.peers
        for name, (_, setup) in PEERS.items():
            rows.append(peer(root, python, name, setup) if python else (name, "not measured", "--peers, --install"))
    report(f"gitrun.log of 3 metrics, {sys.version.split()[0]}", rows, data, args.json)


def logging(root: Path, code: str, *words: str, python: str = sys.executable) -> list[float]:
    """What a program printed that logs into a run of its own, whose journals are removed."""
    run = root / f"run{time.monotonic_ns()}"
    (run / "members" / "0").mkdir(parents=True)
    done = subprocess.run(
        [python, "-c", code, *words], cwd=root, env=environment(run), check=True, stdout=subprocess.PIPE, text=True
    )
    for path in run.rglob("metrics-*"):
        path.unlink()
    found: list[float] = json.loads(done.stdout)
    return found


def environment(run: Path) -> dict[str, str]:
    return {**os.environ, "GITRUN_RUN_DIR": str(run), "PYTHONPATH": str(Path(__file__).resolve().parents[2])}


def ours(root: Path, calls: int) -> tuple[list[Row], dict[str, float]]:
    """The best of three programs: what a busy neighbour adds is nobody's cost."""
    median, p99, bare, bare_p99 = min(logging(root, BESIDE_A_WRITE, str(calls)) for _ in range(3))
    rows = [
        ("gitrun.log, median", f"{median / 1e3:.2f} us", f"at most {MEDIAN_NS / 1e3:g} us"),
        ("  as a multiple of the write", f"{median / bare:.1f}", f"at most {WRITES}"),
        ("  99 % of the calls within", f"{p99 / 1e3:.1f} us", f"at most {P99_NS / 1e3:g} us"),
        ("os.write of 64 bytes, median", f"{bare / 1e3:.2f} us", f"yardstick (99 %: {bare_p99 / 1e3:.1f} us)"),
    ]
    return rows, {"median_ns": median, "p99_ns": p99, "write_median_ns": bare, "write_p99_ns": bare_p99}


def starting(root: Path) -> list[Row]:
    imported, first = min(logging(root, START) for _ in range(10))
    return [
        ("import gitrun", f"{imported:.1f} ms", f"at most {IMPORT_MS} ms"),
        ("  and the first point", f"{first:.1f} ms", ""),
    ]


def at_length(root: Path, points: int) -> list[Row]:
    first, last, grown = logging(root, LONG, str(points))
    return [
        (f"{points:,} points: first and last tenths", f"{first / 1e3:.2f}, {last / 1e3:.2f} us CPU", "flat"),
        ("  memory grown by", f"{grown / 1024:.0f} KiB", "flat"),
    ]


def kills(root: Path, rounds: int) -> list[Row]:
    """Points whose call had returned when the process was killed, and which are in no journal."""
    told = lost = 0
    for number in range(rounds):
        run = root / f"killed{number}"
        (run / "members" / "0").mkdir(parents=True)
        with subprocess.Popen(
            [sys.executable, "-c", KILLED], cwd=root, env=environment(run), stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.02 + number * 0.007)
            process.kill()
            last = int(process.stdout.read().split()[-1])
        kept = {point.step for point in read_journals(run).points}
        told += last + 1
        lost += len(set(range(last + 1)) - kept)
    return [(f"kill -9, {rounds} times: {told:,} points", f"{lost} lost", "none")]


def peer(root: Path, python: str, name: str, setup: str) -> Row:
    place = root / name.replace(" ", "-")
    place.mkdir()
    done = subprocess.run(
        [python, "-c", program(setup)],
        cwd=place,
        check=False,
        env={**os.environ, "HOME": str(place)},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return (name, "absent" if "ModuleNotFoundError" in why else "failed", why[:100])
    median, p99 = json.loads(done.stdout.splitlines()[-1])
    return (name, f"{median / 1e3:.1f} us", f"99 %: {p99 / 1e3:.1f} us")


def with_peers(place: Path) -> str:
    """A Python with as many of the trackers as can be installed."""
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    python = str(place / "bin" / "python")
    for packages, _ in PEERS.values():
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages.split()], check=False)
    return python


if __name__ == "__main__":
    main()
