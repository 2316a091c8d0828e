"""What describing an environment costs a recorder: 39, 150 and 477 distributions, never seen before and seen before.

The environments are made up: as many `*.dist-info` directories, with file lists as long as real ones (a few files for
most, a thousand for some). Each time is that of the first capture in a fresh process, as wall time and, because this is
often measured on a busy machine, as processor time; "never seen" has no cache of gitrun's, and the files lie in the
system's cache. Run alone, or as a part of `scripts/bench capture`, which takes `measure`.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from ground import report

BOUNDS_MS = {39: 20, 150: 60, 477: 200}
HIT_MS = 6
ROWS = (6, 10, 18, 30, 45, 70, 100, 160, 300, 900)  # files of a distribution, and as many compiled ones
# What a recorder has loaded by then is loaded first.
SCRIPT = """
import os, sys, time
import gitrun.recording.facts, gitrun.model.canonical
from gitrun.capture.program import find_program
python, cache = os.fsencode(sys.argv[1]), sys.argv[2]
program = find_program([python, b"train.py"], {}, b"/")
import gitrun.capture.environment as room
wall, processor = time.perf_counter(), time.process_time()
found = room.capture_environment(program, b"/", cache)
print((time.perf_counter() - wall) * 1e3, (time.process_time() - processor) * 1e3)
assert len(found.value["distributions"]) == int(sys.argv[3]), len(found.value["distributions"])
"""
Row = tuple[str, str, str]


def measure(rounds: int) -> tuple[list[Row], dict[str, float]]:
    """Rows for `ground.report`, and the medians in milliseconds."""
    rows: list[Row] = []
    data: dict[str, float] = {}
    for count, bound in BOUNDS_MS.items():
        with tempfile.TemporaryDirectory(prefix="gitrun-bench-") as place:
            root = Path(place)
            python = make_environment(root / "env", count)
            found: dict[str, list[tuple[float, float]]] = {"": [], "one_new_": [], "hit_": []}
            for number in range(rounds + 1):  # the first round writes bytecode and warms the system's cache
                shutil.rmtree(root / "gitrun", ignore_errors=True)
                (root / "gitrun").mkdir()
                for case in found:
                    if case == "one_new_":
                        touch_one(root / "env")
                    times = capture(python, root / "gitrun/cache", count)
                    if number > 0:
                        found[case].append(times)
        words = (f"{count} distributions, never seen", "  one of them reinstalled", "  seen before")
        bounds = (f"at most {bound} ms", "", f"at most {HIT_MS} ms")
        for (case, times), title, limit in zip(found.items(), words, bounds, strict=True):
            wall, processor = (statistics.median(values) for values in zip(*times, strict=True))
            data[f"environment_{count}_{case}ms"] = wall
            data[f"environment_{count}_{case}processor_ms"] = processor
            rows.append((title, f"{wall:.1f} ms (processor {processor:.1f} ms)", limit))
    return rows, data


def capture(python: Path, cache: Path, count: int) -> tuple[float, float]:
    """Milliseconds, wall and processor, of one capture in a fresh process."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    words = [sys.executable, "-c", SCRIPT, str(python), str(cache), str(count)]
    done = subprocess.run(words, check=True, capture_output=True, text=True, env=environ)
    wall, processor = map(float, done.stdout.split())
    return wall, processor


def make_environment(root: Path, count: int) -> Path:
    """A virtual environment of this Python with made-up distributions, all of them a day old; its `python`."""
    (root / "bin").mkdir(parents=True)
    python = root / "bin/python"
    python.symlink_to(os.path.realpath(sys.executable))
    (root / "pyvenv.cfg").write_text(f"home = {os.path.dirname(os.path.realpath(sys.executable))}\n")
    site = root / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    for number in range(count):
        make_distribution(site, number, ROWS[number % len(ROWS)])
    for path in [root, *root.rglob("*")]:
        age(path)
    return python


def make_distribution(site: Path, number: int, rows: int) -> None:
    """One metadata directory, with a license as large as its description and a list of `rows` files."""
    name = f"package_{number:04d}"
    directory = site / f"{name}-1.{number}.dist-info"
    directory.mkdir(parents=True)
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.{number}\nSummary: made up\n\n"
    (directory / "METADATA").write_text(head + "What it does, at length.\n" * 300)
    (directory / "WHEEL").write_text("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    digest = "sha256=" + "abcdefgh" * 5 + "abc"
    lines = [f"{name}/part{row // 30}/module_{row:05d}.py,{digest},{row * 37}" for row in range(rows)]
    lines += [f"{name}/part{row // 30}/__pycache__/module_{row:05d}.cpython-311.pyc,," for row in range(rows)]
    lines += [f"{directory.name}/{file},{digest},9" for file in ("INSTALLER", "METADATA", "WHEEL")]
    (directory / "RECORD").write_text("\n".join([*lines, f"{directory.name}/RECORD,,", ""]))


def touch_one(root: Path) -> None:
    """One distribution is another now, and so is the directory it lies in."""
    record = next(iter(sorted(root.rglob("package_0003*/RECORD"))))
    record.write_text(record.read_text() + f"another_{os.urandom(4).hex()}.py,,\n")
    for path in (record, record.parent, record.parent.parent):
        age(path)


def age(path: Path) -> None:
    """A file that was written within the last seconds is not believed to stay as it is."""
    os.utime(path, ns=(0, os.lstat(path).st_mtime_ns - 3_600_000_000_000), follow_symlinks=False)


def main() -> None:
    rows, data = measure(7)
    report("environment: medians of 7 rounds", rows, data, None)


if __name__ == "__main__":
    main()
