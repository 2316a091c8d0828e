"""Which of a machine's NVIDIA devices a program sees, and in which order: `CUDA_VISIBLE_DEVICES` on paper.

The words of that variable are indices, ids (`GPU-8932f937-…`, any unique beginning of one) or parts of a device
(`MIG-<uuid>`, `MIG-GPU-<uuid>/<gpu instance>/<compute instance>`). The first word that names nothing ends the list,
which is how people switch devices off (`-1`, `NoDevFiles`). Method: CUDA Programming Guide, "Environment Variables".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_NOTHING = frozenset(("", "-1", "none", "void", "nodevfiles"))  # words that are meant to hide what follows

_NONE = "names no device here, so it and all behind it are not visible"
_TWICE = "names a device a second time, which CUDA does not take"


class Device(NamedTuple):
    """A device, or a part of one: `number` is the index of the whole, `instances` the parts of a divided device."""

    number: int
    name: str | None
    uuid: str | None
    pci: str | None = None
    memory_bytes: int | None = None
    compute_capability: str | None = None
    ecc: bool | None = None
    gpu_instance: int | None = None
    compute_instance: int | None = None
    instances: tuple[Device, ...] | None = None


class Visible(NamedTuple):
    """The devices that a program sees, in CUDA's order, and what is not certain about them."""

    devices: list[Device]
    problems: list[str]


def visible_devices(devices: Sequence[Device], chosen: str | None, order: str | None = None) -> Visible:
    """What `CUDA_VISIBLE_DEVICES=chosen` and `CUDA_DEVICE_ORDER=order` leave of all devices; None for unset.

    A divided device is seen through its parts: all of them are listed where nothing is chosen, and its first one
    where the device itself is.
    """
    if chosen is None:
        return Visible([part for device in devices for part in _parts(device)], [])
    found: list[Device] = []
    problems: list[str] = []
    by_index = False
    for word in chosen.split(","):
        word = word.strip()
        device = _named(word, devices)
        if device is None or device in found:
            if word.lower() not in _NOTHING:
                problems.append(f"CUDA_VISIBLE_DEVICES: {word[:80]!r} {_NONE if device is None else _TWICE}")
            break
        by_index = by_index or word.isdecimal()
        found.append(device)
    if by_index and order != "PCI_BUS_ID" and len({device.name for device in devices}) > 1:
        problems.append(
            "the devices are of several kinds and CUDA_DEVICE_ORDER is not PCI_BUS_ID, so CUDA may count them"
            " in another order than they are listed here"
        )
    return Visible(found, problems)


def _named(word: str, devices: Sequence[Device]) -> Device | None:
    if re.fullmatch(r"[0-9]{1,6}", word):
        whole = devices[int(word)] if int(word) < len(devices) else None
        return next(iter(_parts(whole)), None) if whole else None
    lower = word.lower()
    if lower.startswith("gpu-"):
        wholes = [device for device in devices if (device.uuid or "").lower().startswith(lower)]
        return next(iter(_parts(wholes[0])), None) if len(wholes) == 1 else None
    if match := re.fullmatch(r"mig-(gpu-[0-9a-f-]+)/([0-9]{1,6})/([0-9]{1,6})", lower):
        place = (int(match[2]), int(match[3]))
        parts = [p for d in devices if (d.uuid or "").lower() == match[1] for p in d.instances or ()]
        return next((part for part in parts if (part.gpu_instance, part.compute_instance) == place), None)
    if lower.startswith("mig-"):
        parts = [p for d in devices for p in d.instances or () if (p.uuid or "").lower().startswith(lower)]
        return parts[0] if len(parts) == 1 else None
    return None


def _parts(device: Device) -> tuple[Device, ...]:
    return (device,) if device.instances is None else device.instances
