"""Which untracked files become source: not secrets, and not more than a snapshot can bear.

Tracked files are always source. Of the rest, secret files stay out by their names, a file over
`record.large_file` goes to the store, and beyond `record.max_files` or `record.max_bytes` what is
left stays out and is named by directory. Directories with little in them come first: code lies in
small ones, data in huge ones, and the same files give the same choice each time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from gitrun.capture.findings import View
from gitrun.capture.secret_files import is_secret_file
from gitrun.model.patterns import names
from gitrun.monitor import Monitor
from gitrun.settings import Settings

if TYPE_CHECKING:
    from gitrun.capture.recorded_outputs import Recorded

Candidate = tuple[bytes, os.stat_result]
_MOST_ENTRIES = 100
_MOST_OUTPUTS = 1000


class Limits(NamedTuple):
    """The guards' settings; sizes in bytes."""

    large: int
    warn_bytes: int
    warn_files: int
    max_bytes: int
    max_files: int
    include_secrets: tuple[str, ...]
    trackers: str


def read_limits(settings: Settings) -> Limits:
    """The guards as the settings have them."""
    keys = ("large_file", "warn_bytes", "warn_files", "max_bytes", "max_files", "include_secret_files", "trackers")
    return Limits(*(settings.get("record." + key) for key in keys))


class Guard:
    """Admits untracked files of all worktrees of one snapshot, and keeps count."""

    def __init__(self, limits: Limits, monitor: Monitor) -> None:
        self.limits = limits
        self._monitor = monitor
        self._files = 0
        self._bytes = 0
        self._by_directory: dict[bytes, list[int]] = {}

    def count(self, path: bytes, size: int) -> None:
        """Count a new file that is taken whatever it weighs, because it is tracked."""
        self._files += 1
        self._bytes += size
        weight = self._by_directory.setdefault(path[: path.rfind(b"/") + 1], [0, 0])
        weight[0] += 1
        weight[1] += size

    def admit(self, candidates: Iterable[Candidate], view: View) -> list[Candidate]:
        """The candidates that are source, sorted by path; the others are written into the findings."""
        found = []
        for path, facts in candidates:
            if is_secret_file(path) and not self._is_included(path):
                view.exclude(path, "secret", facts.st_size)
            else:
                found.append((path, facts))
        found.sort(key=lambda item: item[0])
        limits = self.limits
        total = sum(facts.st_size for _, facts in found)
        if self._files + len(found) > limits.max_files or self._bytes + total > limits.max_bytes:
            found = self._cut(found, view)
        for path, facts in found:
            self.count(view.prefix + path, facts.st_size)
        return found

    def warn(self) -> None:
        """Warn once, with the heaviest directories, when the snapshot is heavy."""
        limits = self.limits
        if self._files <= limits.warn_files and self._bytes <= limits.warn_bytes:
            return
        heaviest = sorted(self._by_directory.items(), key=lambda item: self._weight(*item[1]), reverse=True)
        named = [
            f"{os.fsdecode(directory) or './'} ({files} files, {size >> 20} MiB)"
            for directory, (files, size) in heaviest[:3]
        ]
        self._monitor.warn(
            "W041",
            f"the source has {self._files} new files, {self._bytes >> 20} MiB, most of them in {', '.join(named)}; "
            "what is no source belongs into .gitignore",
        )

    def _is_included(self, path: bytes) -> bool:
        return any(names(glob, os.fsdecode(path)) for glob in self.limits.include_secrets)

    def _weight(self, files: int, size: int) -> float:
        return files / (self.limits.max_files or 1) + size / (self.limits.max_bytes or 1)

    def _cut(self, found: list[Candidate], view: View) -> list[Candidate]:
        """As many of the candidates as the limits bear, the lightest directories first."""
        weights: dict[bytes, list[int]] = {}
        for path, facts in found:
            weight = weights.setdefault(path[: path.rfind(b"/") + 1], [0, 0])
            weight[0] += 1
            weight[1] += facts.st_size
        order = sorted(weights, key=lambda directory: (self._weight(*weights[directory]), directory))
        by_directory: dict[bytes, list[Candidate]] = {}
        for item in found:
            by_directory.setdefault(item[0][: item[0].rfind(b"/") + 1], []).append(item)
        files, size = self._files, self._bytes
        kept: list[Candidate] = []
        left: list[tuple[bytes, int, str]] = []
        for path, facts in (item for directory in order for item in by_directory[directory]):
            files, size = files + 1, size + facts.st_size
            if files > self.limits.max_files:
                left.append((path, facts.st_size, "max_files"))
            elif size > self.limits.max_bytes:
                left.append((path, facts.st_size, "max_bytes"))
            else:
                kept.append((path, facts))
        _name_by_directory(left, view)
        kept.sort(key=lambda item: item[0])
        return kept


def name_outputs(outputs: list[Recorded], view: View) -> None:
    """Name what is left out because a run recorded it; by directory where it is too much to list."""
    if len(outputs) > _MOST_OUTPUTS:
        _name_by_directory([(output.path, output.size, "output") for output in outputs], view)
        return
    for output in outputs:
        view.exclude(output.path, "output", output.size, run=output.run, sha256=output.sha256)


def _name_by_directory(left: list[tuple[bytes, int, str]], view: View) -> None:
    """Name what was left out by directory; by the topmost one where that would be a long list."""
    directories = {path[: path.rfind(b"/") + 1] for path, _, _ in left}
    topmost = len(directories) > _MOST_ENTRIES
    sums: dict[tuple[bytes, str], list[int]] = {}
    for path, size, reason in left:
        cut = (path.find(b"/") if topmost else path.rfind(b"/")) + 1
        total = sums.setdefault((path[:cut] or b"./", reason), [0, 0])
        total[0] += 1
        total[1] += size
    for (directory, reason), (files, size) in sums.items():
        view.exclude(directory, reason, size, files)
