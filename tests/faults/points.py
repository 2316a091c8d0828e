"""Every point at which a scenario can go wrong, and what becomes of the repository there.

A scenario runs once to the end and its story is kept. Each beginning of that story is a crash: the disk that is left
is made from the model, in each of its modes, and with the write under way half done. And each call can fail: then the
scenario runs again with that call failing. Whatever it was, what the repository holds is checked, the same is done
once more without a fault, as a user would, and it is checked again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gitrun.archive.archive import Archive
from gitrun.archive.fsck import fsck
from gitrun.files import holder
from gitrun.monitor import SILENT
from gitrun.recording.recover import recover_all
from gitrun.store.sessions import is_over, session_paths
from tests.faults.checking import Told, assert_git_can_work, assert_git_is_content, check, user_files
from tests.faults.disk import MODES, Disk, Found, restore
from tests.faults.layer import Fault, Layer, apply, read_story
from tests.faults.scenarios import Scenario, environ
from tests.forking import ENDED, REFUSED, in_child
from tests.git_support import opened

FAILURES = ("eio", "enospc", "full")


class Point(NamedTuple):
    """Call number `at` (from 1 on; one more than there are: after the end) and what happens there.

    `what` is a mode of the disk for a crash before the call, "torn " and a mode for one in the middle of a write, or
    the kind of a `Fault`.
    """

    at: int
    what: str


class Rig:
    """A scenario at a place of its own, with its story and the repository it begins with."""

    def __init__(self, scenario: Scenario, home: Path) -> None:
        self.scenario = scenario
        self.place = home / "place"
        self.root = self.place / "repository"
        self._base = home / "base"
        self._story = home / "story"
        self._seen: dict[bytes, frozenset[Told]] = {}
        self._failing: list[str] = []
        self.place.mkdir()
        assert in_child(lambda: self._begin(home / "prepared")) == ENDED
        self._told = [step.given for step in read_story(str(home / "prepared")) if step.what == "told"]
        self.place.rename(self._base)
        self._put_base()
        self._users = user_files(self.root)
        self._disk = Disk.load(str(self.place))
        ended = in_child(lambda: self._act(Layer(str(self.place), str(self._story))))
        assert ended == ENDED, f"without a fault it ended with {ended}"
        self._steps = list(read_story(str(self._story)))
        self.calls = [step.given[0] for step in self._steps if step.what == "call"]

    def points(self) -> Iterator[Point]:
        """All of them."""
        for at, call in enumerate([*self.calls, None], 1):
            yield from (Point(at, mode) for mode in MODES)
            if call in ("write", "pwrite"):
                yield from (Point(at, f"torn {mode}") for mode in MODES if mode != "forgotten")
                yield Point(at, "short")
            if call is not None:
                yield from (Point(at, kind) for kind in FAILURES)

    def try_point(self, point: Point) -> None:
        """Have it happen; raises AssertionError where anything is lost, or where what follows does not work."""
        if point.what in (*FAILURES, "short"):
            self._put_base()
            ended = in_child(lambda: self._act(Layer(str(self.place), str(self._story) + " again", Fault(*point))))
            assert ended in ((ENDED,) if point.what == "short" else (ENDED, REFUSED)), "the problem was no GitrunError"
            told = [*self._told, *self._told_in(str(self._story) + " again")]
            self._check_twice(told, is_reboot=False)
            return
        view, told = self._crash(point)
        key, known = _digest(view), frozenset(told)
        if self._seen.get(key, frozenset()) >= known and key in self._seen:
            return  # this very state was good before
        self._clear()
        restore(view, str(self.place))
        self._rebind()
        self._check_twice(told, is_reboot=not point.what.endswith("kill"))
        self._seen[key] = known

    # -- inside

    def _begin(self, story: Path) -> None:
        layer = Layer(str(self.place), str(story))
        self.scenario.prepare(self.root, layer.tell)

    def _act(self, layer: Layer) -> None:
        layer.install()
        self.scenario.act(self.root, layer.tell)

    def _told_in(self, story: str) -> list[Told]:
        told = [step.given for step in read_story(story) if step.what == "told"]
        os.unlink(story)
        return told

    def _crash(self, point: Point) -> tuple[dict[str, Found], list[Told]]:
        """What is left of the disk, and what had been promised."""
        disk = _copy(self._disk)
        told, calls = list(self._told), 0
        mode = point.what.removeprefix("torn ")
        for step in self._steps:
            calls += step.what == "call"
            if calls >= point.at and mode == point.what:
                break
            if calls > point.at:
                break
            if step.what == "told":
                told.append(step.given)
            elif calls == point.at and step.what == "write":
                inode, offset, data = step.given
                disk.write(inode, offset, data[: len(data) // 2])
                break
            else:
                apply(disk, step)
        return disk.view(mode, point.at), told

    def _check_twice(self, told: list[Told], *, is_reboot: bool) -> None:
        is_sound = self.scenario.is_sound
        check(self.root, self._users, told, is_sound=is_sound)
        again = str(self._story) + " healing"
        assert in_child(lambda: self._heal(again, is_reboot)) == ENDED, "it could not be done again"
        told = [*told, *self._told_in(again)]
        check(self.root, self._users, told, is_sound=is_sound)
        assert_git_can_work(self.root)
        assert_git_is_content(self.root)

    def _heal(self, story: str, is_reboot: bool) -> None:
        """What later commands do by themselves, `gitrun fsck --repair`, and then the same once more."""
        layer = Layer(str(self.place), story)
        _sync_nothing()
        if is_reboot:
            real = holder._read
            holder._read = lambda path: "another" if path.endswith("/boot_id") else real(path)
        for found in recover_all(opened(self.root), environ(), SILENT):
            layer.tell("run", found.run_id)
        with Archive.open(str(self.root), environ()) as archive:
            list(fsck(archive, mend=True))
        self.scenario.act(self.root, layer.tell)
        left = session_paths(str(self.root / ".git/gitrun/store"))
        assert all(is_over(path, holder.here()) for path in left), "a session keeps every collector waiting"

    def _put_base(self) -> None:
        self._clear()
        shutil.copytree(self._base, self.place, symlinks=True)
        self._rebind()

    def _clear(self) -> None:
        if self.place.exists():
            shutil.rmtree(self.place)

    def _rebind(self) -> None:
        """It is the same disk: a copy would otherwise know that it is one, and draw another writer."""
        path = self.root / ".git/gitrun/config.json"
        try:
            fields = json.loads(path.read_bytes())
            facts = path.parent.stat()
        except (OSError, ValueError):
            return  # not made yet, or torn
        fields["bound"] |= {"device": facts.st_dev, "inode": facts.st_ino}
        path.write_text(json.dumps(fields))


def _sync_nothing() -> None:
    os.fsync = os.fdatasync = lambda fd: None


def _copy(disk: Disk) -> Disk:
    import copy

    return copy.deepcopy(disk)


def _digest(view: dict[str, Found]) -> bytes:
    nodes: dict[int, int] = {}
    digest = hashlib.sha256()
    for path, found in sorted(view.items()):
        number = nodes.setdefault(found.node, len(nodes))
        digest.update(f"{path}\0{found.kind}\0{number}\0{len(found.content)}\0".encode() + found.content)
    return digest.digest()
