"""What looking for outputs adds to a recording, in milliseconds, and what storing many small ones takes.

The recorder runs as it always does, with a clock around its look at the tree; the modules that are loaded for it
where there are no outputs are timed beside that. The command makes nothing, then 1,000 files of 4 KiB.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
from pathlib import Path

from ground import make_repository, report, scratch

BOUNDS_MS = {200: 5, 20_000: 60}
MODULES = ("capture.outputs", "recording.gathering", "recording.artifacts", "model.artifacts")
TIMED = """
import os, sys, time
import gitrun.recording.observing as observing
gather = observing.gather
def timed(subject):
    began = time.perf_counter(), time.process_time()
    found = gather(subject)
    took = (time.perf_counter() - began[0]) * 1e3, (time.process_time() - began[1]) * 1e3
    os.write(2, b"gathering took %.3f ms, %.3f of them at work\\n" % took)
    return found
observing.gather = timed
from gitrun.cli.fast import main
sys.exit(main(sys.argv[1:]))
"""
MAKE = "import os\nos.makedirs('made')\nfor n in range(1000): open(f'made/{n}', 'wb').write(os.urandom(4096))"


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench outputs", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    loading = statistics.median(load_ms() for _ in range(args.rounds))
    rows, data = [("loading what it needs", f"{loading:.1f} ms", "")], {"load_ms": loading}
    for files, bound in BOUNDS_MS.items():
        with scratch() as root:
            repo = root / "repo"
            repo.mkdir()
            make_repository(repo, files)
            looks = [gather_ms(repo, "pass") for _ in range(args.rounds)]
            wall, work = (statistics.median(times) for times in zip(*looks, strict=True))
            rows.append((f"{files} files, no outputs", f"{wall:.1f} ms", f"at most {bound} ms"))
            rows.append(("  processor time", f"{work:.1f} ms", ""))
            data |= {f"{files}_files_ms": wall, f"{files}_files_cpu_ms": work}
            if files == min(BOUNDS_MS):
                data["made_1000_ms"] = made = gather_ms(repo, MAKE)[0]
                rows.append(("1,000 outputs of 4 KiB, stored", f"{made:.1f} ms", ""))
    report(f"outputs: medians of {args.rounds} rounds", rows, data, args.json)


def gather_ms(repo: Path, program: str) -> tuple[float, float]:
    """What bringing the outputs into the live directory takes: on the wall's clock, and of the processor."""
    command = [sys.executable, "-c", TIMED, "--", sys.executable, "-c", program]
    done = subprocess.run(command, cwd=repo, check=True, capture_output=True, text=True)
    wall, work = re.findall(r"gathering took ([\d.]+) ms, ([\d.]+) of", done.stderr)[0]
    return float(wall), float(work)


def load_ms() -> float:
    """What the modules cost that nothing else in sealing loads."""
    command = [sys.executable, "-X", "importtime", "-c", "import gitrun.recording.seal"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stderr.splitlines()
    own = {f"gitrun.{name}" for name in MODULES}
    times = [line.removeprefix("import time:").split("|") for line in lines if line.count("|") == 2]
    return sum(int(self) for self, _, name in times if name.strip() in own) / 1e3
