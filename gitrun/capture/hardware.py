"""The machine, read straight from /proc and /sys: a millisecond, where libraries that ask take a second.

Two groups. `relevant` can change the bits of a result: the processor and its vector instructions, how many cores a
program may use, graphics processors and their driver, the operating system and its C library, the container's image.
`informative` cannot, and a difference there is no reason to distrust a replay: memory, kernel, scheduler.

Neither group holds anything that differs between two runs on machines of one kind: which of eight equal devices a job
got, which cores, which node, under which job id. That is told with the member in run.json, so that the hundred runs of
an array share one hardware.json.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.capture.cgroups import cgroup_limits
from gitrun.capture.container import find_container
from gitrun.capture.facts import clean_text, read_start, structure, word_set
from gitrun.capture.gpu import find_gpus
from gitrun.capture.scheduler import find_placement, loaded_modules

if TYPE_CHECKING:
    from gitrun.capture.gpu_question import Question

# Instruction sets that numerical libraries choose their kernels by (x86 and ARM names).
_ISA = word_set(
    "sse2 ssse3 sse4_1 sse4_2 avx f16c fma bmi2 avx2 avx512f avx512dq avx512cd avx512bw avx512vl avx512ifma "
    "avx512vbmi avx512_vbmi2 avx512_vnni avx512_bf16 avx512_fp16 avx_vnni amx_tile amx_int8 amx_bf16 sha_ni "
    "asimd asimdhp asimddp asimdfhm sve sve2 bf16 i8mm svebf16 sme"
)
_MEMORY_STEP = 64 << 20


class Hardware(NamedTuple):
    """The content of hardware.json, what run.json tells of this member, and what could not be found out."""

    value: dict[str, Any]
    member: dict[str, Any]
    problems: list[str]


def capture_hardware(
    root: str = "/",
    *,
    environ: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
    question: Question | None = None,
) -> Hardware:
    """The facts of the machine for a program with this environment; each is null where this system does not tell.

    `variables` are the recorded ones of `environ` (default: found here), `question` one that was asked before, so
    that the answer comes while other things are found out. `root` is where /proc, /sys, /dev and /etc are looked for.
    """
    environ = os.environ if environ is None else environ
    variables = _variables(environ) if variables is None else variables
    cpu = _cpu(root)
    problems = [] if cpu["model"] else ["no /proc/cpuinfo here, so the processor is known by its architecture only"]
    quota, memory_limit = cgroup_limits(root)
    affinity = _affinity(root)
    container = find_container(variables, environ, root)
    placement = find_placement(variables, root)
    gpus = find_gpus(environ, root, question)
    system = os.uname()
    relevant = {
        "machine": system.machine,
        "cpu": cpu,
        "logical_cores": os.cpu_count(),
        "usable_cores": _count(affinity),
        "cpu_quota_cores": quota,
        "os": {"system": system.sysname, **_distribution(root)},
        "libc": _libc(),
        "gpus": gpus.devices,
        "gpu_driver": gpus.driver,
        "container": container.facts if container else None,
        "modules": loaded_modules(variables),
    }
    informative = {
        "kernel": {"release": system.release, "version": system.version},
        "memory_bytes": _memory(root),
        "memory_limit_bytes": memory_limit,
        "product": _product(root),
        "scheduler": placement.places,
    }
    member = {
        "host": system.nodename,
        **placement.ranks,
        "affinity": affinity,
        "devices": gpus.identities,
        "container": container.id if container else None,
        "jobs": placement.jobs,
    }
    return Hardware(structure(relevant=relevant, informative=informative), member, problems + gpus.problems)


def _variables(environ: Mapping[str, str]) -> Mapping[str, str]:
    from gitrun.capture.secrets import Redactor  # a recorder has them at hand
    from gitrun.capture.variables import capture_variables

    return capture_variables(environ, Redactor(environ)).value


def _cpu(root: str) -> dict[str, Any]:
    """The first processor's block of /proc/cpuinfo; asking for all of it takes long with many cores."""
    text = (read_start(root + "/proc/cpuinfo", 16 << 10) or b"").decode("utf-8", "replace")
    fields: dict[str, str] = {}
    for line in text.split("\n\n", 1)[0].splitlines():
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip().lower(), value.strip())
    flags = (fields.get("flags") or fields.get("features") or "").split()
    per_socket, siblings = _number(fields.get("cpu cores")), _number(fields.get("siblings"))
    return {
        "model": fields.get("model name") or fields.get("cpu part"),
        "vendor": fields.get("vendor_id") or fields.get("cpu implementer"),
        "family": _number(fields.get("cpu family")),
        "model_number": _number(fields.get("model")),
        "stepping": _number(fields.get("stepping")),
        "isa": sorted(_ISA.intersection(flags)),
        "threads_per_core": siblings // per_socket if siblings and per_socket else None,
    }


def _memory(root: str) -> int | None:
    """Installed memory, rounded: kernels of equal machines report a few pages more or less."""
    for line in (read_start(root + "/proc/meminfo", 4096) or b"").splitlines():
        if line.startswith(b"MemTotal:"):
            kib = _number(line[9:].decode("ascii", "replace").removesuffix("kB"))
            return None if kib is None else (kib * 1024 + _MEMORY_STEP // 2) // _MEMORY_STEP * _MEMORY_STEP
    return None


def _affinity(root: str) -> str | None:
    """The processors that this process may use, as ranges."""
    name = b"Cpus_allowed_list:"
    for line in (read_start(root + "/proc/self/status") or b"").splitlines():
        if line.startswith(name):
            return line[len(name) :].strip().decode("ascii", "replace")
    return None


def _count(ranges: str | None) -> int | None:
    """How many numbers `0-3,8` holds."""
    total = 0
    for part in (ranges or "").split(","):
        first, dash, last = part.partition("-")
        low, high = _number(first), _number(last if dash else first)
        if low is None or high is None or high < low:
            return None
        total += high - low + 1
    return total


def _product(root: str) -> str | None:
    """What the firmware calls this machine: a model, or a cloud's type of instance."""
    names = [read_start(f"{root}/sys/class/dmi/id/{name}", 256) for name in ("sys_vendor", "product_name")]
    words = [name.decode("utf-8", "replace").strip() for name in names if name]
    return clean_text(" ".join(word for word in words if word)) or None


def _distribution(root: str) -> dict[str, str | None]:
    text = (read_start(root + "/etc/os-release") or b"").decode("utf-8", "replace")
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {
        "distribution": fields.get("ID", "").strip("\"'") or None,
        "distribution_version": fields.get("VERSION_ID", "").strip("\"'") or None,
    }


def _libc() -> str | None:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (OSError, ValueError):
        return None  # another C library, which does not say


def _number(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None
