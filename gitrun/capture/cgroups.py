"""What the control groups of this process allow it: cores and bytes, the least of all groups above it.

A container or a batch job shows all 128 cores of its node and may use four of them; programs that ask for the
number of cores start 128 threads, those that look at the quota start four, and their results differ in the last bits.
"""

from __future__ import annotations

from gitrun.capture.facts import read_start

_UNLIMITED = 1 << 60  # cgroup v1 writes its absence of a limit as a number near 2^63


def cgroup_limits(root: str = "/") -> tuple[float | None, int | None]:
    """CPU quota in cores and memory limit in bytes, v1 or v2; None without one."""
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
        if "memory" in names:
            for directory in _upwards(root + "/sys/fs/cgroup/memory", path):
                limits += _limit(directory + "/memory.limit_in_bytes")
        if "cpu" in names:
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
    text = (read_start(path, 64) or b"").strip()
    return [int(text)] if text.isdigit() and 0 < int(text) < _UNLIMITED else []
