"""What an answer of the management library says of the devices a program sees, kinds and identities apart.

Where it does not answer, the kernel module below /proc tells at least names, ids and places.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from gitrun.capture.devices import Device, visible_devices
from gitrun.capture.facts import clean_text, read_start

MISSING = (
    "gpu: nvidia-ml-py is not installed where gitrun is, so the memory and the compute capability of the devices"
    " are not known; pip install 'gitrun[gpu]'"
)
_DRIVER = re.compile(rb"Kernel Module(?: for \S+)?\s+([0-9][0-9.]*)")


Facts = tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any], list[str]]


def understand(said: Mapping[str, Any], environ: Mapping[str, str], root: str) -> Facts:
    """Kinds, identities, driver and problems of the devices that a program with this environment sees."""
    problems = []
    if "devices" in said:
        devices, told = _devices(said), said.get("problems")
        problems += [f"gpu: {clean_text(str(each))}" for each in told] if isinstance(told, list) else []
        version, cuda = _text(said.get("driver")), _text(said.get("cuda"))
    else:
        devices, version, cuda = _kernel_devices(root), None, None
        problems.append(MISSING if said.get("missing") else f"gpu: {_refusal(said)}")
    seen = visible_devices(devices, environ.get("CUDA_VISIBLE_DEVICES"), environ.get("CUDA_DEVICE_ORDER"))
    problems += [f"gpu: {problem}" for problem in seen.problems]
    return (
        [_kind(device) for device in seen.devices],
        [_identity(device) for device in seen.devices],
        {"version": version or kernel_version(root), "cuda": cuda},
        problems,
    )


def _refusal(said: Mapping[str, Any]) -> str:
    return f"NVIDIA's management library did not answer: {clean_text(str(said.get('error')))[:500]}"


def _kind(device: Device) -> dict[str, Any]:
    return {
        "name": device.name,
        "memory_bytes": device.memory_bytes,
        "compute_capability": device.compute_capability,
        "ecc": device.ecc,
    }


def _identity(device: Device) -> dict[str, Any]:
    facts = {"index": device.number, "uuid": device.uuid, "pci": device.pci}
    if device.gpu_instance is not None:
        facts.update(gpu_instance=device.gpu_instance, compute_instance=device.compute_instance)
    return facts


def _devices(said: Mapping[str, Any]) -> list[Device]:
    listed = said["devices"] if isinstance(said["devices"], list) else []
    found = []
    for each in listed:
        if not isinstance(each, dict) or type(each.get("index")) is not int:
            continue
        whole = _device(each, each["index"])
        parts = each.get("instances")
        if isinstance(parts, list):
            # a part has the processors and the memory protection of its whole
            made = [_device({**each, **part}, whole.number) for part in parts if isinstance(part, dict)]
            whole = whole._replace(instances=tuple(made))
        found.append(whole)
    return found


def _device(each: Mapping[str, Any], index: int) -> Device:
    ecc = each.get("ecc")
    return Device(
        index,
        _text(each.get("name")),
        _text(each.get("uuid")),
        _bus(each.get("pci")),
        _count(each.get("memory_bytes")),
        _text(each.get("compute_capability")),
        ecc if type(ecc) is bool else None,
        _count(each.get("gpu_instance")),
        _count(each.get("compute_instance")),
    )


def _kernel_devices(root: str) -> list[Device]:
    """What the kernel module tells: names and ids, in the order of the bus."""
    home = root + "/proc/driver/nvidia/gpus"
    try:
        places = sorted(os.listdir(home))[:256]
    except OSError:
        return []
    found = []
    for index, place in enumerate(places):
        lines = (read_start(f"{home}/{place}/information", 4096) or b"").decode("utf-8", "replace").splitlines()
        fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        uuid = fields.get("GPU UUID")
        found.append(Device(index, _text(fields.get("Model")), None if not uuid or "?" in uuid else uuid, _text(place)))
    return found


def kernel_version(root: str) -> str | None:
    """The version of the driver that is loaded, as its kernel module tells it."""
    match = _DRIVER.search(read_start(root + "/proc/driver/nvidia/version", 4096) or b"")
    return match[1].decode() if match else None


def _text(value: Any) -> str | None:
    return clean_text(value)[:200] if isinstance(value, str) and value else None


def _bus(value: Any) -> str | None:
    """A place on the bus as the kernel writes it, `0000:07:00.0`; the library gives the domain eight digits."""
    text = (_text(value) or "").lower()
    return text.removeprefix("0000") if re.fullmatch(r"0000[0-9a-f]{4}:.*", text) else text or None


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
