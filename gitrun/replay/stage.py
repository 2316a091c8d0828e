"""Where a replay takes place: its checkout, a directory of its own outside the worktree, and what its command sees.

The checkout lies below the archive's own directory, so that neither the user's tree nor an earlier replay can be seen
by the program, and it carries the worktree's own name, because programs look at it. What has to be named while the
worktree is hidden lies in a second directory, in the user's cache or among the temporary files. Both are removed in the
end, by the next replay where this one was killed: as soon as its run has left the live directory.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from gitrun import __file__ as _package
from gitrun.archive.children import children_of
from gitrun.files.locks import FileLock, held_by_other
from gitrun.files.user_cache import user_cache
from gitrun.files.write import make_dirs
from gitrun.model.ids import is_run_id
from gitrun.monitor import SILENT, Monitor
from gitrun.replay.checkout import LOADED, ROOTS, CheckedOut
from gitrun.replay.elsewhere import Elsewhere
from gitrun.replay.isolate import name_of
from gitrun.replay.place import Place, Refused, Shown, alternates, hidden, is_below, make_place, may_have
from gitrun.replay.recipe import Recipe
from gitrun.replay.removal import remove_tree
from gitrun.replay.source import Source

if TYPE_CHECKING:
    from gitrun.archive.archive import Archive
    from gitrun.replay.environments import Built

REPLAYS = "replays"
_LOCK, KEPT = "lock", "kept"


class Stage:
    """The directories of the replay `run_id`; use it as a context manager, which removes them unless `keep` is set."""

    def __init__(self, archive: Archive, recipe: Recipe, run_id: str, monitor: Monitor = SILENT) -> None:
        self._archive = archive
        self._recipe = recipe
        self._monitor = monitor
        self.keep = False
        self.run_id = run_id
        self.parent = os.path.join(archive.gitrun_dir, REPLAYS, run_id)
        self.directory = os.path.join(self.parent, name_of(recipe.worktree))
        self.scratch = _scratch(archive.environ, recipe.worktree, run_id)
        self.place: Place | Refused = Refused("it was not tried")
        self._unplaced: list[str] = []
        self._lock = FileLock(os.path.join(self.parent, _LOCK))

    def __enter__(self) -> Stage:
        sweep(self._archive, self._monitor)
        make_dirs(self.parent)
        self._lock.acquire()
        os.makedirs(self.scratch, 0o700)  # others may look into the place it lies in, and the umask is the run's
        return self

    def __exit__(self, *_: object) -> None:
        if self.keep:
            with open(os.path.join(self.parent, KEPT), "x", encoding="ascii"):
                pass  # the mark is the file
        else:
            remove_tree(self.parent, self._monitor)
        self._lock.release()
        remove_tree(self.scratch, self._monitor)

    def may_be_at_place(self) -> bool:
        """Whether the run's own place could be had; `place` says why not."""
        if self._archive.settings.get("replay.place") == "elsewhere":
            self.place = Refused("the setting replay.place says so")
            return False
        empty = os.path.join(self.scratch, "empty")
        os.mkdir(empty)
        refused = may_have(self._recipe.worktree, empty)
        self.place = refused or self.place
        return refused is None

    @property
    def is_at_place(self) -> bool:
        """Whether the command sees the checkout at the place of the run's worktree."""
        return isinstance(self.place, Place)

    def notes(self) -> list[str]:
        """What a verdict should say: that it was another place, or which copies are not where the originals were."""
        if isinstance(self.place, Refused):
            return [f"it was not run at its old place: {self.place.why}"]
        words = "the record's copy could not be put there; only modules are sure to come from it"
        return [f"{path}: {words}" for path in self._unplaced]

    def seen(self, path: str) -> str:
        """The name under which the command sees a path of ours."""
        return self.place.seen(path) if isinstance(self.place, Place) else path

    def take_place(self, source: Source, made: CheckedOut, environment: Built | None, inputs: Iterable[str]) -> bool:
        """Put together what the command will see at the run's own place; whether that works."""
        worktree = self._recipe.worktree
        assert worktree is not None, "there is a place"
        roots = [Shown(made.roots[root.n], os.fsdecode(root.path)) for root in source.roots if root.n in made.roots]
        roots = [each for each in roots if os.path.isabs(each.seen)]
        tops = [worktree, *(each.seen for each in roots)]
        shown = [
            *roots,
            Shown(self.directory, worktree, is_needed=True),
            *self._outside_copies(source, made, tops),
            *self._environment(environment, tops),
            *self._still_seen(inputs, tops),
            *self._archive_parts(tops),
            *alternates(self._git_directories(source, worktree), tops, self.scratch),
        ]
        self.place = make_place(shown)
        if not isinstance(self.place, Place):
            return False
        self._unplaced = [each.seen for each in roots if not self.place.has(each.seen)]
        return True

    def link_environment(self, environment: Built | None) -> bool:
        """Without a place: a link to the built environment where the recorded one lay inside the worktree."""
        prefix = self._recipe.interpreter.get("prefix")
        worktree = self._recipe.worktree
        if environment is None or environment.directory is None or worktree is None or not isinstance(prefix, str):
            return False
        if not is_below(prefix, worktree) or prefix == worktree:
            return False
        link = self.directory + prefix[len(worktree.rstrip("/")) :]
        if os.path.realpath(os.path.dirname(link)) != os.path.dirname(link) or os.path.lexists(link):
            return False  # the source has something else there
        os.symlink(environment.directory, link)
        return True

    # -- the parts

    def _outside_copies(self, source: Source, made: CheckedOut, tops: list[str]) -> list[Shown]:
        """Copies of what lay outside the worktree: single files at their places, all of them under some name."""
        loaded = self.directory + LOADED
        changed = Elsewhere(source, self.directory).changed if made.loaded is not None else ()
        shown = [Shown(loaded + path, path) for path in map(os.fsdecode, changed)]
        for copies in (self.directory + ROOTS, loaded):
            if os.path.isdir(copies) and hidden(copies, tops):
                shown.append(Shown(copies, self._point(os.path.basename(copies).rpartition(".")[2]), read_only=True))
        return shown

    def _environment(self, environment: Built | None, tops: list[str]) -> list[Shown]:
        """The built environment at the place of the recorded one; where there is none, that one; their interpreters."""
        found = self._recipe.interpreter
        prefix, base = (_absolute(found.get(name)) for name in ("prefix", "base_prefix"))
        built = None if environment is None else environment.directory
        shown = []
        if built is not None and prefix is not None and prefix != base:
            shown.append(Shown(built, prefix, read_only=True))
        wanted = [built, None if built is not None else prefix, base]
        if environment is not None and environment.python is not None:
            wanted.append(os.path.dirname(os.path.dirname(os.path.realpath(environment.python))))
        for path in dict.fromkeys(each for each in wanted if each is not None):
            if hidden(path, tops) and os.path.isdir(path) and not any(is_below(each.seen, path) for each in shown):
                shown.append(Shown(path, path, read_only=True))
        return shown

    def _still_seen(self, inputs: Iterable[str], tops: list[str]) -> list[Shown]:
        """What lies below a hidden place, is no source, and is needed where it is."""
        kept = [Shown(path, path, read_only=True) for path in inputs if hidden(path, tops)]
        temporary = _absolute(self._archive.environ.get("TMPDIR"))
        if temporary is not None and hidden(temporary, tops):
            kept.append(Shown(temporary, temporary))
        return kept

    def _archive_parts(self, tops: list[str]) -> list[Shown]:
        """The archive, and the package that reports from the command's processes, under names outside.

        Only gitrun's own part can be written, but where the run had recorded runs inside it, as its repetition will.
        """
        common, own = self._archive.repo.common_dir, self._archive.gitrun_dir
        shown = []
        if hidden(common, tops):
            there = os.path.join(self._point("archive"), ".git")
            os.mkdir(there)
            is_shut = not children_of(self._archive, self._recipe.first)
            shown.append(Shown(common, there, read_only=is_shut, is_needed=True))
            if is_below(own, common):
                shown.append(Shown(own, there + own[len(common) :], is_needed=True))
        if hidden(own, tops) and not is_below(own, common):
            shown.append(Shown(own, self._point("gitrun"), is_needed=True))
        package = os.path.dirname(os.path.abspath(_package))
        if hidden(package, tops):
            there = os.path.join(self._point("package"), "gitrun")
            os.mkdir(there)
            shown.append(Shown(package, there, read_only=True, is_needed=True))
        return shown

    def _point(self, name: str) -> str:
        path = os.path.join(self.scratch, name)
        os.mkdir(path)
        return path

    def _git_directories(self, source: Source, worktree: str) -> list[tuple[str, str]]:
        inside = ["", *(os.fsdecode(root.path) for root in source.roots if not root.is_outside)]
        return [tuple(os.path.join(top, path, ".git") for top in (self.directory, worktree)) for path in inside]  # type: ignore[misc]


def sweep(archive: Archive, monitor: Monitor = SILENT) -> None:
    """Remove what replays have left that were killed, once their runs are sealed."""
    home = os.path.join(archive.gitrun_dir, REPLAYS)
    try:
        names = [name for name in os.listdir(home) if is_run_id(name)]
    except FileNotFoundError:
        return
    for name in names:
        parent = os.path.join(home, name)
        lock, live = os.path.join(parent, _LOCK), os.path.join(archive.gitrun_dir, "live", name)
        if not os.path.exists(lock) or os.path.exists(os.path.join(parent, KEPT)) or os.path.exists(live):
            continue
        if not held_by_other(lock):
            for base in _bases(archive.environ):
                if _is_own(base) and os.path.isdir(os.path.join(base, name)):
                    remove_tree(os.path.join(base, name), monitor)
            remove_tree(parent, monitor)


def _bases(environ: Mapping[str, str]) -> list[str]:
    """Where a replay's second directory may lie, the best place first."""
    own = user_cache(environ, None, REPLAYS)
    # Directories with a name that nobody else takes, below those that everybody has.
    shared = (tempfile.gettempdir(), "/var/tmp", "/dev/shm")
    return [*([own] if own is not None else []), *(os.path.join(base, f"gitrun-{os.getuid()}") for base in shared)]


def _scratch(environ: Mapping[str, str], worktree: str | None, run_id: str) -> str:
    """The first of these places that can be had, and that the worktree does not hide."""
    for base in _bases(environ):
        path = os.path.join(os.path.realpath(base), run_id)
        if worktree is None or not hidden(path, [worktree, os.path.realpath(worktree)]):
            try:
                os.makedirs(base, 0o700, exist_ok=True)
                if _is_own(base) and os.access(base, os.W_OK | os.X_OK):
                    return path
            except OSError:
                continue  # no such place here, or one that cannot be written
    return os.path.join(tempfile.gettempdir(), run_id)


def _is_own(base: str) -> bool:
    """Whether a directory with a name that anybody could take is ours, and no link."""
    try:
        found = os.lstat(base)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _absolute(value: object) -> str | None:
    return value if isinstance(value, str) and os.path.isabs(value) and "\0" not in value else None
