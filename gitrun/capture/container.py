"""Which container this is and from which image, as far as anything inside it says.

No standard tells a process that it is in a container, let alone in which. Podman and Apptainer leave files, Docker
leaves an empty one, schedulers and notebooks set variables, and `GITRUN_IMAGE` is there for everybody else. What is
the same for all runs from one image (kind, image) is kept apart from what is not (the container's id), so that runs
of one image have the same hardware facts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from gitrun.capture.facts import clean_text, read_start

MAX_CHARS = 1024
# Variables that hold the image, the surest first.
IMAGE_VARIABLES = (
    "GITRUN_IMAGE", "APPTAINER_CONTAINER", "SINGULARITY_CONTAINER", "SHIFTER_IMAGEREQUEST", "SLURM_CONTAINER_IMAGE",
    "CI_JOB_IMAGE", "JUPYTER_IMAGE",
)  # fmt: skip
_BY_VARIABLE = (
    ("APPTAINER_CONTAINER", "apptainer"),
    ("SINGULARITY_CONTAINER", "singularity"),
    ("SHIFTER_RUNTIME", "shifter"),
    ("ENROOT_ROOTFS", "enroot"),
    ("CH_RUNNING", "charliecloud"),
)
# A container's own cgroup, and the file of its host name, are named after it.
_RUNTIMES = (b"docker", b"libpod", b"cri-containerd", b"crio", b"containerd", b"kubepods", b"lxc")
_KINDS = {"libpod": "podman", "cri-containerd": "containerd", "crio": "cri-o", "kubepods": "containerd"}


class Container(NamedTuple):
    """`facts`: `kind`, `image`, `image_id`, each null where nothing says; `id` is the container's own."""

    facts: dict[str, Any]
    id: str | None


def find_container(variables: Mapping[str, str], environ: Mapping[str, str], root: str = "/") -> Container | None:
    """The container around this process, None where nothing speaks of one.

    `variables` are those a record may hold, their secrets replaced; `environ` is only asked which names it has.
    """
    podman = _podman(read_start(root + "/run/.containerenv", 4096))
    identity = podman.get("id") or _identity(root)
    kind = _kind(environ, root, podman)
    if kind is None:
        return None
    image = podman.get("image") or next((variables[name] for name in IMAGE_VARIABLES if variables.get(name)), None)
    facts = {"kind": kind, "image": _text(image), "image_id": _text(podman.get("imageid") or _built(root))}
    return Container(facts, _text(identity))


def _kind(environ: Mapping[str, str], root: str, podman: dict[str, str]) -> str | None:
    for name, kind in _BY_VARIABLE:
        if environ.get(name):
            return kind
    if os.path.exists(root + "/run/.containerenv"):
        return podman.get("engine", "podman").partition("-")[0] or "podman"
    if os.path.exists(root + "/.dockerenv"):
        return "docker"
    if said := _text(environ.get("container")):  # systemd's convention, which LXC, Podman and nspawn keep
        return said
    runtime, _ = _cgroup(root)
    if runtime:
        return _KINDS.get(runtime, runtime)
    return "containerd" if environ.get("KUBERNETES_SERVICE_HOST") else None


def _identity(root: str) -> str | None:
    _, identity = _cgroup(root)
    if identity:
        return identity
    # with a cgroup namespace the path is `/`: the mounts still name the directory of the container
    for line in (read_start(root + "/proc/self/mountinfo", 256 << 10) or b"").splitlines():
        words = line.split(b" ", 5)
        if len(words) > 4 and words[4] in (b"/etc/hostname", b"/etc/hosts", b"/etc/resolv.conf"):
            return _long_id(words[3])
    return None


def _cgroup(root: str) -> tuple[str | None, str | None]:
    """The runtime that this process's cgroup is named after, and the container's id in its path."""
    for line in (read_start(root + "/proc/self/cgroup") or b"").splitlines():
        runtime = next((name for name in _RUNTIMES if name in line), None)
        if runtime is not None and (identity := _long_id(line)):
            return runtime.decode(), identity
    return None, None


def _long_id(path: bytes) -> str | None:
    import re  # in a container alone: others have nothing to search in

    found = re.search(rb"[0-9a-f]{64}", path)
    return found[0].decode() if found else None


def _podman(data: bytes | None) -> dict[str, str]:
    """`name="value"` lines of Podman's file, which is empty where it tells nothing."""
    pairs = (line.partition("=") for line in (data or b"").decode("utf-8", "replace").splitlines())
    return {name.strip(): value.strip().strip('"') for name, equals, value in pairs if equals and value.strip('" ')}


def _built(root: str) -> str | None:
    """What an Apptainer image says of its own making: the source and the time of its build."""
    data = read_start(root + "/.singularity.d/labels.json", 64 << 10)
    try:
        labels = json.loads(data) if data else {}
    except (ValueError, RecursionError):
        return None
    if not isinstance(labels, dict):
        return None
    names = ("org.label-schema.usage.singularity.deffile.from", "org.label-schema.build-date")
    said = [labels[name] for name in names if isinstance(labels.get(name), str)]
    return ", built ".join(said) or None


def _text(value: str | None) -> str | None:
    return clean_text(value)[:MAX_CHARS] if value else None
