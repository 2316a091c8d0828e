"""What the child costs a Python process: `python -c pass`, `open`, importing numpy and pandas where they are installed.

Interleaved rounds of the program as it is and with the child; the second as processor time, because the
import takes so long that its wall time varies by more than the child costs. Run alone, or as a part of
`scripts/bench capture`, which takes `measure`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from ground import report

from gitrun.recording.injection import with_child

BOUND_MS = 3
DROPPED = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "GITRUN_RUN_DIR")
Row = tuple[str, str, str]


def measure(rounds: int, python: str = sys.executable) -> tuple[list[Row], dict[str, float]]:
    """Rows for `ground.report`, and medians in milliseconds."""
    bare, child = both(python, "pass", rounds, wall=True)
    data = {"pass_ms": bare, "child_adds_ms": child - bare}
    rows = [
        ("python -c pass", f"{bare:.1f} ms", ""),
        ("  the child adds", f"{child - bare:.1f} ms", f"at most {BOUND_MS} ms"),
    ]
    bare, child = opening(python)
    data.update(open_us=bare, child_adds_to_open_us=child - bare)
    rows += [("open and close a file", f"{bare:.1f} µs", ""), ("  the child adds", f"{child - bare:.1f} µs", "")]
    found = [name for name in ("numpy", "pandas") if has(python, name)]
    if found:
        code = f"import {', '.join(found)}"
        bare, child = both(python, code, max(5, rounds // 3), wall=False)
        data.update(import_cpu_ms=bare, child_adds_to_import_cpu_ms=child - bare)
        rows += [(code, f"{bare:.0f} ms CPU", ""), ("  the child adds", f"{child - bare:.0f} ms CPU", "within noise")]
    return rows, data


OPENING = """
import timeit
times = timeit.repeat(lambda: open({path!r}).close(), number=1000, repeat=20)
import sys
sys.stdout.write(str(min(times) * 1e3))
"""


def opening(python: str) -> tuple[float, float]:
    """Microseconds for a file that was opened before, without and with the child: the best of 20 rounds."""
    environ = {name: value for name, value in os.environ.items() if name not in DROPPED}
    with reports() as run:
        words = [python, "-c", OPENING.format(path=os.path.abspath(__file__))]
        observed = with_child({os.fsencode(name): os.fsencode(value) for name, value in environ.items()})
        observed[b"GITRUN_RUN_DIR"] = os.fsencode(run)
        bare, child = (subprocess.run(words, env=env, check=True, capture_output=True) for env in (environ, observed))
    return float(bare.stdout), float(child.stdout)


def has(python: str, name: str) -> bool:
    return subprocess.run([python, "-c", f"import {name}"], check=False, stderr=subprocess.DEVNULL).returncode == 0


def both(python: str, code: str, rounds: int, *, wall: bool) -> tuple[float, float]:
    """The medians of the program as it is and with the child, the first round left out: it writes bytecode."""
    environ = {os.fsencode(name): os.fsencode(value) for name, value in os.environ.items() if name not in DROPPED}
    with reports() as run:
        sides = (environ, {**with_child(environ), b"GITRUN_RUN_DIR": os.fsencode(run)})
        times: tuple[list[float], list[float]] = ([], [])
        for number in range(rounds + 1):
            for side in (0, 1) if number % 2 else (1, 0):
                taken = one(python, code, sides[side], wall)
                if number > 0:
                    times[side].append(taken)
    return statistics.median(times[0]), statistics.median(times[1])


def one(python: str, code: str, environ: dict[bytes, bytes], wall: bool) -> float:
    start = perf_counter()
    pid = os.posix_spawn(python, [python, "-c", code], environ)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"{python} -c {code!r} failed")
    return (perf_counter() - start if wall else usage.ru_utime + usage.ru_stime) * 1e3


@contextmanager
def reports() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "members" / "0").mkdir(parents=True)
        yield Path(place)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench_lib/capture_child.py", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--python", default=sys.executable, help="another interpreter to measure")
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    rows, data = measure(args.rounds, args.python)
    report(f"the child: medians of {args.rounds} interleaved rounds", rows, data, args.json)


if __name__ == "__main__":
    main()
