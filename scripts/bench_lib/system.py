"""What the system series costs: one look at a run of few and of many processes, on this machine with all that it runs.

The looks are those of the keeper, in a process that has so many children. The yardstick is what nearly every monitor
does: one listing of /proc with the `stat` of every process. The promise is a thousandth of a core, so with a look
every second a millisecond; where looks take more the keeper makes fewer.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable

from ground import report

from gitrun.files.holder import stat_of
from gitrun.recording.sampling import Sampling

PROCESSES = (1, 10, 100)
BOUND_MS = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench system", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    everyone = len(all_processes())
    yardstick = cost_ms(lambda: [stat_of(pid) for pid in all_processes()], args.rounds // 4)
    rows = [(f"all {everyone} processes of the machine", f"{yardstick:.3f} ms", "")]
    data = {"machine_processes": everyone, "all_processes_ms": yardstick}
    for count in PROCESSES:
        took = look_ms(count, args.rounds)
        bound = f"at most {BOUND_MS:g} ms" if count <= 10 else ""
        rows.append((f"a run of {count}", f"{took:.3f} ms, {took / 10:.3f} % of a core", bound))
        data[f"run_of_{count}_ms"] = took
    report(f"one look: medians of {args.rounds}", rows, data, args.json)


def all_processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def look_ms(count: int, rounds: int) -> float:
    """A look of the keeper, with a process that comes and goes between two of them."""
    children = [subprocess.Popen(["sleep", "3600"]) for _ in range(count)]
    with tempfile.TemporaryDirectory(prefix="gitrun-bench-") as member:
        sampling = Sampling(member)
        try:
            sampling.look(time.monotonic(), set())  # which loads what it needs
            return cost_ms(lambda: sampling.look(time.monotonic(), set()), rounds, come_and_go)
        finally:
            sampling.close()
            for child in children:
                child.kill()
                child.wait()


def come_and_go() -> None:
    subprocess.run(["true"], check=True)


def cost_ms(action: Callable[[], object], rounds: int, between: Callable[[], object] = lambda: None) -> float:
    """The processor time of an action."""
    costs = []
    for _ in range(rounds):
        between()
        began = time.thread_time()
        action()
        costs.append((time.thread_time() - began) * 1e3)
    return statistics.median(costs)
