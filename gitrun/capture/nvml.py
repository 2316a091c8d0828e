"""Asks NVIDIA's management library what devices there are: a process of its own, `python -m gitrun.capture.nvml`.

A driver that hangs or crashes must not take a recorder along, and the bindings (nvidia-ml-py, the extra `gpu`) cost
a tenth of a second to import. So the question is put by another process, which writes one line of JSON:
`{"devices": [...], "driver": ..., "cuda": ..., "problems": [...]}`, or `{"missing": true}` without the bindings, or
`{"error": "..."}` where the library refuses.

With the word `watch` it goes on, and writes what the devices are busy with, once a second, in a line of JSON each:
`{"gpu/<index>/busy": 0.93, "gpu/<index>/memory_bytes": ..., ...}`, until nobody reads it any more.

Every fact is asked for by itself: old drivers and small devices lack some, and then that one is null.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

MAX_DEVICES = 256
_SHARE = 1000  # of the time between two looks, how many times what one takes


def main() -> int:
    """Writes the answer to stdout; 0 always, for the answer says what went wrong."""
    if sys.argv[1:] == ["watch"]:
        watch()
    else:
        sys.stdout.write(json.dumps(answer()) + "\n")
    return 0


def watch() -> None:
    """Writes the load of all devices once a second, or less often where asking takes long; returns where it cannot."""
    try:
        import pynvml

        pynvml.nvmlInit()
        found = {n: _or_none(pynvml.nvmlDeviceGetHandleByIndex, n) for n in range(_count(pynvml))}
    except Exception:  # what is missing, the answer to the first question has said
        return
    allowed = {n: handle for n, handle in found.items() if handle is not None}
    while allowed:
        began = time.process_time()
        values = {name: value for n, handle in allowed.items() for name, value in _load(pynvml, n, handle).items()}
        try:
            sys.stdout.write(json.dumps(values) + "\n")
            sys.stdout.flush()
        except OSError:
            return  # the keeper is gone
        time.sleep(max(1.0, (time.process_time() - began) * _SHARE))


def _load(nvml: Any, index: int, handle: Any) -> dict[str, float]:
    """What one device does: busy as a share of the last moment (0 to 1), bytes, watts, degrees Celsius."""
    rates = _or_none(nvml.nvmlDeviceGetUtilizationRates, handle)
    memory = _or_none(nvml.nvmlDeviceGetMemoryInfo, handle)
    milliwatts = _or_none(nvml.nvmlDeviceGetPowerUsage, handle)
    values = {
        "busy": None if rates is None else rates.gpu / 100,
        "memory_bytes": None if memory is None else memory.used,
        "power_w": None if milliwatts is None else milliwatts / 1000,
        "temperature_c": _or_none(nvml.nvmlDeviceGetTemperature, handle, 0),
    }
    return {f"gpu/{index}/{name}": float(value) for name, value in values.items() if value is not None}


def _count(nvml: Any) -> int:
    return min(int(nvml.nvmlDeviceGetCount()), MAX_DEVICES)


def answer() -> dict[str, Any]:
    """What the library says; never raises."""
    try:
        import pynvml  # optional, and only where there is a device
    except ModuleNotFoundError as problem:
        return {"missing": True} if problem.name == "pynvml" else {"error": str(problem)}
    except Exception as problem:  # something else of that name, or a broken one
        return {"error": f"pynvml cannot be imported ({type(problem).__name__}: {problem})"}
    try:
        pynvml.nvmlInit()
    except Exception as problem:  # NVMLError, or AttributeError of another module of that name
        return {"error": _words(problem)}
    try:
        return _read(pynvml)
    except Exception as problem:
        return {"error": _words(problem)}
    finally:
        _or_none(pynvml.nvmlShutdown)


def _read(nvml: Any) -> dict[str, Any]:
    problems: list[str] = []
    devices = []
    for index in range(_count(nvml)):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
        except nvml.NVMLError as problem:  # a scheduler may forbid some devices
            problems.append(f"device {index}: {_words(problem)}")
            continue
        mode = _or_none(nvml.nvmlDeviceGetMigMode, handle)
        ecc = _or_none(nvml.nvmlDeviceGetEccMode, handle)
        pci = _or_none(nvml.nvmlDeviceGetPciInfo, handle)
        devices.append(
            {
                "index": index,
                **_identity(nvml, handle),
                "pci": _text(getattr(pci, "busId", None)),
                "compute_capability": _version(_or_none(nvml.nvmlDeviceGetCudaComputeCapability, handle)),
                "ecc": bool(ecc[0]) if ecc else None,
                "instances": _instances(nvml, handle) if mode and mode[0] == 1 else None,
            }
        )
    cuda = _or_none(nvml.nvmlSystemGetCudaDriverVersion_v2)
    driver = _text(_or_none(nvml.nvmlSystemGetDriverVersion))
    version = None if not cuda else f"{cuda // 1000}.{cuda % 1000 // 10}"
    return {"devices": devices, "driver": driver, "cuda": version, "problems": problems}


def _identity(nvml: Any, handle: Any) -> dict[str, Any]:
    memory = _or_none(nvml.nvmlDeviceGetMemoryInfo, handle)
    return {
        "name": _text(_or_none(nvml.nvmlDeviceGetName, handle)),
        "uuid": _text(_or_none(nvml.nvmlDeviceGetUUID, handle)),
        "memory_bytes": int(memory.total) if memory is not None else None,
    }


def _instances(nvml: Any, handle: Any) -> list[dict[str, Any]]:
    """The parts that a device is divided into (MIG); slots that hold none are passed over."""
    found = []
    for slot in range(min(_or_none(nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0, MAX_DEVICES)):
        part = _or_none(nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, slot)
        if part is None:
            continue
        numbers = {
            "gpu_instance": _or_none(nvml.nvmlDeviceGetGpuInstanceId, part),
            "compute_instance": _or_none(nvml.nvmlDeviceGetComputeInstanceId, part),
        }
        found.append({**_identity(nvml, part), **numbers})
    return found


def _or_none(ask: Callable[..., Any], *words: Any) -> Any:
    try:
        return ask(*words)
    except Exception:  # this device or driver does not tell: NVMLError has a class for each reason
        return None


def _text(value: Any) -> str | None:
    """Text: older bindings give bytes."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return value if isinstance(value, str) and value else None


def _version(numbers: Any) -> str | None:
    return None if numbers is None else ".".join(map(str, numbers))


def _words(problem: Exception) -> str:
    return f"{type(problem).__name__}: {problem}"


if __name__ == "__main__":
    sys.exit(main())
