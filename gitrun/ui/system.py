"""The section of a run's page about what it took of the machine."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gitrun.ui.words import size

Lines = Iterator[tuple[str, str]]

GPU = re.compile("gpu/([0-9]+)/(.+)")
_MOST_GPUS = 16


def system_lines(system: dict[str, Any], curves: Mapping[str, str] | None = None) -> Lines:
    """Each series in words, as (label, text), with its sparkline where there are such by name."""
    drawn = curves or {}
    for name, label, words in SERIES:
        if (text := _words(system.get(name), words)) is not None:
            yield label, f"{text}  {drawn.get(name, '')}".rstrip()
    gpus: dict[int, dict[str, Any]] = {}
    for name, found in system.items():
        if match := GPU.fullmatch(name):
            gpus.setdefault(int(match[1]), {})[match[2]] = found
    for number in sorted(gpus)[:_MOST_GPUS]:
        parts = [_words(gpus[number].get(name), words) for name, words in GPU_SERIES]
        text = "; ".join(part for part in parts if part)
        yield f"gpu {number}", f"{text}  {drawn.get(f'gpu/{number}/busy', '')}".rstrip()


def gpu_words(values: dict[str, float]) -> str:
    """What a device does at one moment."""
    return ", ".join(words(values[name]) for name, words in GPU_SERIES if name in values)


def cores(value: float) -> str:
    """`1.93 cores`."""
    return f"{value:.2f} cores"


def amount(value: float) -> str:
    """`1.2 GiB`."""
    return size(round(value))


def rate(value: float) -> str:
    """`4.2 MiB/s`."""
    return f"{size(round(value))}/s"


def percent(share: float) -> str:
    """`87 % busy`."""
    return f"{share * 100:.0f} % busy"


def watts(value: float) -> str:
    """`310 W`."""
    return f"{value:.0f} W"


# The series that people are shown: name, label, and how a value is said.
SERIES = (
    ("cpu_cores", "cpu", cores),
    ("memory_bytes", "memory", amount),
    ("read_bytes_s", "read", rate),
    ("written_bytes_s", "written", rate),
)
GPU_SERIES = (("busy", percent), ("memory_bytes", amount), ("power_w", watts))


def _words(found: Any, words: Callable[[Any], str]) -> str | None:
    """Mean and peak of a series; None for one that is not there, or always zero."""
    numbers = [found.get(key) for key in ("mean", "max")] if type(found) is dict else []
    mean, most = numbers if numbers and all(map(_is_number, numbers)) else (0.0, 0.0)
    return f"{words(mean)}, {words(most)} at most" if most else None


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
