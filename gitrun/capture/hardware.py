"""The machine, read straight from /proc and /sys: a millisecond, where libraries that ask take a second.

Two groups. `relevant` can change the bits of a result: the processor and its vector instructions, how many
cores a program may use, the operating system and its C library. `informative` cannot, and a difference there
is no reason to distrust a replay: memory, kernel, host name.
"""

from __future__ import annotations

import os
from typing import Any

from gitrun.capture.facts import Facts, read_start, structure, word_set

# Instruction sets that numerical libraries choose their kernels by (x86 and ARM names).
_ISA = word_set(
    "sse2 ssse3 sse4_1 sse4_2 avx f16c fma bmi2 avx2 avx512f avx512dq avx512cd avx512bw avx512vl avx512ifma "
    "avx512vbmi avx512_vbmi2 avx512_vnni avx512_bf16 avx512_fp16 avx_vnni amx_tile amx_int8 amx_bf16 sha_ni "
    "asimd asimdhp asimddp asimdfhm sve sve2 bf16 i8mm svebf16 sme"
)
_UNLIMITED = 1 << 60  # cgroup v1 writes its absence of a limit as a number near 2^63


def capture_hardware(root: str = "/") -> Facts:
    """The facts of hardware.json; every one is null where this system does not tell.

    `root` is where /proc, /sys and /etc are looked for.
    """
    problems: list[str] = []
    system = os.uname()
    cpu = _cpu(root)
    if cpu["model"] is None:
        problems.append("hardware: no /proc/cpuinfo here, so the processor is known by its architecture only")
    quota, memory_limit = _cgroup_limits(root)
    relevant = {
        "machine": system.machine,
        "cpu": cpu,
        "logical_cores": os.cpu_count(),
        "affinity": _status_field(root, b"Cpus_allowed_list:"),
        "cpu_quota_cores": quota,
        "os": {"system": system.sysname, **_distribution(root)},
        "libc": _libc(),
    }
    informative = {
        "hostname": system.nodename,
        "kernel": {"release": system.release, "version": system.version},
        "memory_bytes": _memory(root),
        "memory_limit_bytes": memory_limit,
    }
    return Facts(structure(relevant=relevant, informative=informative), problems)


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


def _cgroup_limits(root: str) -> tuple[float | None, int | None]:
    """CPU quota in cores and memory limit in bytes: the least of the process's cgroups, v1 or v2."""
    quotas: list[float] = []
    limits: list[int] = []
    for line in (read_start(root + "/proc/self/cgroup") or b"").decode("utf-8", "surrogateescape").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        names = controllers.split(",")
        if number == "0":
            for directory in _upwards(root + "/sys/fs/cgroup", path):
                quotas += _quota((read_start(directory + "/cpu.max") or b"").split())
                limits += _limit(directory + "/memory.max")
        elif "memory" in names:
            for directory in _upwards(root + "/sys/fs/cgroup/memory", path):
                limits += _limit(directory + "/memory.limit_in_bytes")
        elif "cpu" in names:
            for directory in _upwards(root + "/sys/fs/cgroup/cpu", path):
                files = (read_start(directory + "/cpu.cfs_quota_us"), read_start(directory + "/cpu.cfs_period_us"))
                quotas += _quota([word.strip() for word in files if word])
    return min(quotas, default=None), min(limits, default=None)


def _upwards(mount: str, path: str) -> list[str]:
    """A cgroup's directory and those above it; inside a container only the mount itself may exist."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    return [mount + "".join("/" + part for part in parts[:count]) for count in range(min(len(parts), 32), -1, -1)]


def _quota(words: list[bytes]) -> list[float]:
    try:
        quota, period = (int(word) for word in words)
    except ValueError:
        return []  # "max": no limit
    return [round(quota / period, 3)] if quota > 0 and period > 0 else []


def _limit(path: str) -> list[int]:
    number = _number((read_start(path, 64) or b"").decode("ascii", "replace"))
    return [number] if number is not None and 0 < number < _UNLIMITED else []


def _memory(root: str) -> int | None:
    for line in (read_start(root + "/proc/meminfo", 4096) or b"").splitlines():
        if line.startswith(b"MemTotal:"):
            kib = _number(line[9:].decode("ascii", "replace").removesuffix("kB"))
            return None if kib is None else kib * 1024
    return None


def _status_field(root: str, name: bytes) -> str | None:
    for line in (read_start(root + "/proc/self/status") or b"").splitlines():
        if line.startswith(name):
            return line[len(name) :].strip().decode("ascii", "replace")
    return None


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
