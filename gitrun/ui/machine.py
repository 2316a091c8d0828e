"""The section of a run's page about the machine: what it was, and which part of it the run got."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitrun.model.listing import listed
from gitrun.ui.words import size

Lines = Iterator[tuple[str, str]]

_SHOWN = 8


def machine_lines(hardware: dict[str, Any], members: list[Any], process: dict[str, Any]) -> Lines:
    """The few facts people look for, as (label, text); `--json` has them all."""
    relevant, informative = _object(hardware.get("relevant")), _object(hardware.get("informative"))
    yield from _line("cpu", _object(relevant.get("cpu")).get("model"))
    yield from _line("cores", _cores(relevant))
    if type(informative.get("memory_bytes")) is int:
        limit = informative.get("memory_limit_bytes")
        limited = f", limited to {size(limit)}" if type(limit) is int else ""
        yield "memory", size(informative["memory_bytes"]) + limited
    yield from _gpus(relevant)
    yield from _line("container", _container(_object(relevant.get("container"))))
    yield from _line("modules", " ".join(map(str, _list(relevant.get("modules")))))
    yield from _numerics(process)
    system = _object(relevant.get("os"))
    words = (system.get("system"), system.get("distribution"), system.get("distribution_version"))
    yield from _line("os", " ".join(str(word) for word in words if word))
    for member in map(_object, members):
        yield from _member(member, len(members) > 1)


def _cores(relevant: dict[str, Any]) -> str:
    cores, usable, quota = (relevant.get(key) for key in ("logical_cores", "usable_cores", "cpu_quota_cores"))
    if type(cores) is not int:
        return ""
    some = f", {usable} usable" if type(usable) is int and usable != cores else ""
    return f"{cores}{some}" + (f", a quota of {quota:g}" if type(quota) in (int, float) else "")


def _gpus(relevant: dict[str, Any]) -> Lines:
    counts: dict[str, int] = {}
    for device in map(_object, _list(relevant.get("gpus"))):
        memory = device.get("memory_bytes")
        text = str(device.get("name") or "unknown device") + (f" ({size(memory)})" if type(memory) is int else "")
        counts[text] = counts.get(text, 0) + 1
    label = "gpu"
    for text, count in list(counts.items())[:_SHOWN]:
        yield label, text if count == 1 else f"{count} × {text}"
        label = ""
    driver = _object(relevant.get("gpu_driver"))
    if driver.get("version"):
        yield "gpu driver", str(driver["version"]) + (f", CUDA {driver['cuda']}" if driver.get("cuda") else "")


def _container(container: dict[str, Any]) -> str:
    if not container:
        return ""
    image = container.get("image") or container.get("image_id")
    return f"{container.get('kind')}, " + (f"image {image}" if image else "its image is not known (GITRUN_IMAGE tells)")


def _numerics(process: dict[str, Any]) -> Lines:
    """Threads, BLAS and vector instructions that the first Python process of the run ended with."""
    first = _object(next(iter(_list(_object(process.get("observed")).get("processes"))), None))
    numerics = _object(first.get("numerics"))
    threads = {name: count for name, count in _object(numerics.get("threads")).items() if count is not None}
    yield from _line("threads", ", ".join(f"{name} {count}" for name, count in threads.items()))
    libraries = [_object(each) for each in _list(numerics.get("blas"))]
    named = [" ".join(str(each[key]) for key in ("kind", "core") if each.get(key)) for each in libraries]
    yield from _line("blas", ", ".join(dict.fromkeys(name for name in named if name)))


def _member(member: dict[str, Any], is_one_of_many: bool) -> Lines:
    rank = f", rank {member['rank']}" if type(member.get("rank")) is int else ""
    if is_one_of_many:
        ended = f", {member.get('status')}{exit_words(_object(member.get('exit')))}" if member.get("status") else ""
        yield f"member {member.get('n')}", f"{member.get('host')}{rank}{ended}"
        yield from _line("command", " ".join(map(str, _list(member.get("command")))))
    else:
        yield from _line("host", f"{member['host']}{rank}" if member.get("host") else "")
    for job in map(_object, _list(member.get("jobs"))):
        words = [
            f"{key.replace('_', ' ')} {value}" for key, value in sorted(job.items(), key=_job_first) if key != "kind"
        ]
        yield str(job.get("kind")), ", ".join(words)
    names = [str(_object(each).get("uuid") or _object(each).get("pci")) for each in _list(member.get("devices"))]
    yield from _line("devices", listed(names, _SHOWN))


def exit_words(exit: dict[str, Any]) -> str:
    """`, exit 3` or `, signal 9`; empty where nobody saw the end."""
    if exit.get("signal") is not None:
        return f", signal {exit['signal']}"
    return "" if exit.get("code") is None else f", exit {exit['code']}"


def _job_first(item: tuple[str, Any]) -> bool:
    return item[0] != "job_id"


def _line(label: str, text: Any) -> Lines:
    if text:
        yield label, str(text)


def _object(value: Any) -> dict[str, Any]:
    return value if type(value) is dict else {}


def _list(value: Any) -> list[Any]:
    return value if type(value) is list else []
