"""Spoiled metrics, and runs that end otherwise or print something else."""

from __future__ import annotations

import math
import struct

from scripts.spoil_lib.case import BIT, DIFFERS, TOLERANCE, Case, Point, case

_NAN, _OTHER_NAN = struct.pack("<Q", 0x7FF8000000000000), struct.pack("<Q", 0x7FF8000000000001)
_LOSS = (1.5, 0.75, 0.25)


def _points(*values: float | bytes, name: str = "loss", steps: tuple[int, ...] = (0, 1, 2, 3)) -> tuple[Point, ...]:
    return tuple(Point(name, step, value) for step, value in zip(steps, values, strict=False))


def _metric(
    name: str, now: tuple[Point, ...], verdict: str = DIFFERS, was: tuple[Point, ...] = _points(*_LOSS), **more: object
) -> Case:
    return case("metrics", name, verdict, points=was, now_points=now, **more)


def _metrics() -> list[Case]:
    near = _points(1.5, math.nextafter(0.75, 1), 0.25)
    far = _points(1.5, 0.8, 0.25)
    return [
        _metric("one ULP", near, TOLERANCE, told="ULP p99 1"),
        _metric("one ULP, and --rtol 0 --atol 0", near, DIFFERS, options=("--rtol", "0", "--atol", "0")),
        _metric("one ULP, and --accept tolerance", near, TOLERANCE, exit=0, options=("--accept", "tolerance")),
        _metric("a value", far, told="at step 1: 0.75, now 0.8"),
        _metric("a value of a metric that is ignored", far, BIT, told="ignored by", options=("--ignore", "*ignored*")),
        _metric("a point is missing", _points(1.5, 0.75), told="3 points, now 2"),
        _metric("a point more", _points(1.5, 0.75, 0.25, 0.1), told="3 points, now 4"),
        _metric("the metric is missing", (), told="the replay did not log it"),
        _metric("a metric more", (*_points(*_LOSS), *_points(1.0, name="more")), told="only the replay logged it"),
        _metric("another name", _points(*_LOSS, name="cost")),
        _metric("two values in another order", _points(1.5, 0.25, 0.75)),
        _metric("two values of one step in another order", _points(1.5, 0.25, 0.75, steps=(0, 1, 1)),
                was=_points(1.5, 0.75, 0.25, steps=(0, 1, 1))),
        _metric("the steps begin at 1", _points(*_LOSS, steps=(1, 2, 3)), told="has step 0, now 1"),
        _metric("a step is left out", _points(1.5, 0.75, 0.25, steps=(0, 1, 3)), told="has step 2, now 3"),
        _metric("the payload of a NaN", _points(1.5, _OTHER_NAN), TOLERANCE, _points(1.5, _NAN), told="other payloads"),
        _metric("a value is NaN", _points(1.5, math.nan, 0.25), told="no number"),
        _metric("infinite with another sign", _points(1.5, -math.inf), was=_points(1.5, math.inf)),
        _metric("infinite and the largest number", _points(1.7976931348623157e308), was=_points(math.inf)),
        _metric("zero with another sign", _points(-0.0), TOLERANCE, _points(0.0), told="another sign"),
        _metric("a time decides like any other", _points(3.2, name="epoch_seconds"),
                was=_points(3.1, name="epoch_seconds")),
    ]  # fmt: skip


def _ends() -> list[Case]:
    kept = {"was": {"a": b"x"}, "now": {"a": b"x"}}

    def end(name: str, verdict: str, cause: str | None = None, **more: object) -> Case:
        return case("ends", name, verdict, cause, **kept, **more)

    return [
        end("another exit code", DIFFERS, "the run ended with exit 0, the replay with exit 3", now_end="exit 3"),
        end("another exit code, and a file more", DIFFERS, "the run ended with exit 0",
            now_end="echo y > other; exit 1"),
        end("killed by a signal", DIFFERS, "the replay with signal 9", now_end="kill -9 $$"),
        end("128 + 9 is no signal", DIFFERS, "the replay with exit 137", now_end="exit 137"),
        end("another stdout, which informs", BIT, now_end="echo more"),
        end("another stdout, and --strict-console", DIFFERS, now_end="echo more", options=("--strict-console",)),
        end("another stderr, and --strict-console", DIFFERS, now_end="echo more >&2", options=("--strict-console",)),
        end("nothing is spoiled", BIT),
    ]  # fmt: skip


CASES = [*_metrics(), *_ends()]
