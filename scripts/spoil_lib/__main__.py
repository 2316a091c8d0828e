"""`scripts/spoil`: judge every spoiled case, and make docs/spoiled-cases.md of what has to come of them."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scripts.spoil_lib import alone, table, trainings
from scripts.spoil_lib.by_hand import Bench
from scripts.spoil_lib.case import Case, problem_of
from scripts.spoil_lib.steered import Steered

Judge = Callable[[], tuple[int, dict[str, Any]]]
WAYS = ("records", "replays", "worlds", "trainings")


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/spoil", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the page and judge nothing")
    parser.add_argument("--only", action="append", choices=WAYS, help="judge only these (may be repeated)")
    parser.add_argument("--case", metavar="WORD", help="judge only cases with this word in their group or name")
    parser.add_argument("--trainings", metavar="PYTHON", help="the Python with numpy, scikit-learn, hydra-core, torch")
    options = parser.parse_args()
    if options.write:
        table.DOCUMENT.write_text(table.document())
        return 0
    problems = [f"called the same without a reason: {name}" for name in table.unexpected()]
    if table.DOCUMENT.read_text() != table.document():
        problems.append(f"{table.DOCUMENT.name} is not what scripts/spoil --write makes")
    with tempfile.TemporaryDirectory(prefix="gitrun-spoil-") as place:
        for way in options.only or WAYS:
            began, count = time.monotonic(), 0
            for case, judge in judges(way, Path(place) / way, options.trainings or sys.executable):
                if options.case and options.case not in f"{case.group} {case.name}":
                    continue
                count += 1
                try:
                    problem = problem_of(case, *judge())
                except RuntimeError as fault:  # the other cases are judged all the same
                    problem = f"{case.group}: {case.name}: {fault}"
                if problem:
                    problems.append(f"{way}: {problem}")
                    print(problems[-1], flush=True)
            print(f"{way}: {count} cases in {time.monotonic() - began:.0f} s", flush=True)
    print("\n".join(problems) if problems else "scripts/spoil: every case is what it has to be")
    return 1 if problems else 0


def judges(way: str, root: Path, python: str) -> Iterator[tuple[Case, Judge]]:
    """The cases of one way, each with what judges it."""
    root.mkdir()
    if way == "records":
        bench = Bench(root, table.BY_HAND)
        for case in table.BY_HAND:
            if bench.can_judge(case):
                yield case, lambda case=case: bench.judge(case)  # type: ignore[misc]
    elif way == "replays":
        steered = Steered(root / "world", table.STEERED)
        for case in table.STEERED:
            yield case, lambda case=case: steered.judge(case)  # type: ignore[misc]
    elif way == "worlds":
        for number, each in enumerate(alone.CASES):
            yield each.case, lambda each=each, number=number: each.judge(root / str(number))  # type: ignore[misc]
    else:
        yield from trainings.judged(python, root)


if __name__ == "__main__":
    sys.exit(main())
