"""Comparing an environment with what was installed, beside a command that runs long enough for it.

Looking at tens of thousands of files takes a second or more, which nobody waits for at the end of a run. So it is
done in a thread while the command runs, and what came of it lies in a file of the live directory as soon as it is
known: a rescuer finds it there as the recorder does. What the run loaded is compared when it is sealed in any case, so
a command that ends before has at least that, and `coverage` says which of both it was.
"""

import os
import threading
from typing import TYPE_CHECKING, Any

from gitrun.capture.secrets import Redactor
from gitrun.errors import GitrunError
from gitrun.files.write import write_file
from gitrun.model.canonical import MAX_BYTES, DecodeProblem, decode, encode, path_bytes, path_text
from gitrun.recording.live import LiveDirectory

if TYPE_CHECKING:
    from gitrun.capture.edited import Installed
    from gitrun.capture.observed import Observed
    from gitrun.capture.ownership import Owners

STATE = "installed.json"
ALL, LOADED = "all", "loaded"
_UNKNOWN = "installed files were not compared with what their distributions list: no process said what it had loaded"


class Survey:
    """One comparison of all files in `sites`; `start` it once, `settle` it before the run is sealed."""

    def __init__(self, live: LiveDirectory, sites: list[bytes], cache_dir: str, redactor: Redactor) -> None:
        self._live = live
        self._sites = sites
        self._cache_dir = cache_dir
        self._redactor = redactor
        self._stop = threading.Event()
        self._writing = threading.Lock()
        self._begun = False

    def start(self) -> None:
        """Begins, unless that was done; returns at once."""
        if self._begun:
            return
        self._begun = True
        try:
            threading.Thread(target=self._run, name="gitrun-survey", daemon=True).start()
        except RuntimeError:
            pass  # no thread is to be had: what was loaded is compared when the run is sealed

    def settle(self) -> None:
        """Nothing is written any more afterwards; waits for nobody."""
        with self._writing:
            self._stop.set()

    def _run(self) -> None:
        try:
            from gitrun.capture.edited import check_installed

            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)  # the command comes first
            found = check_installed(self._sites, cache_dir=self._cache_dir, stop=self._stop.is_set)
            self._publish(_told(found, ALL), found.problems)
        except Exception as problem:  # a bug as well: it is worth knowing, and never worth a run
            self._publish(None, [f"not captured: {type(problem).__name__}: {problem}"])

    def _publish(self, installed: dict[str, Any] | None, problems: list[str]) -> None:
        sites = list(map(path_text, self._sites))
        state = {"sites": sites, "installed": installed, "problems": list(map(self._redactor.text, problems))}
        with self._writing:
            if self._stop.is_set() or not self._live.exists():
                return
            try:
                write_file(os.path.join(self._live.home, STATE), encode(state), sync=False)
            except GitrunError:
                pass  # a full disk: what was loaded is compared when the run is sealed


def settle_installed(
    live: LiveDirectory, draft: dict[str, Any], observed: "Observed | None", owners: "Owners", cache_dir: str
) -> Any:
    """Writes into the draft how the installed files differ; what `coverage.installed` says then.

    `observed` is None where no process said what it had loaded, or these files lie elsewhere.
    """
    sites = [path_bytes(site) for site in (draft.get("live") or {}).get("sites") or []]
    surveyed, problems = _read_state(live, sites)
    compared = None
    if observed is not None:
        from gitrun.capture.edited_loaded import check_loaded  # not before the spawn, as the next one
        from gitrun.capture.imports import loaded_files, started_in, worktree_of

        files = loaded_files(observed, draft["command"], started_in(draft), worktree_of(draft))
        compared = check_loaded(files, sites, owners, cache_dir=cache_dir)
    if surveyed is None:
        if compared is None:
            return problems or ([_UNKNOWN] if sites else None)
        draft["process"]["installed"] = _told(compared, LOADED)
        return [*problems, *compared.problems, *_uncompared(compared)] or LOADED
    if surveyed["compared"] < surveyed["files"]:
        problems.append(f"{surveyed['compared']} of {surveyed['files']} installed files compared by content")
    if compared is not None:
        of_both = [*surveyed["edited"], *compared.edited]  # what both name counts as the second has it
        named = {(path_bytes(each["path"]), each["distribution"]): each for each in of_both}
        surveyed["edited"] = [named[key] for key in sorted(named)]
        problems += [*compared.problems, *_uncompared(compared)]
    draft["process"]["installed"] = surveyed
    return problems or "complete"


def _told(found: "Installed", scope: str) -> dict[str, Any]:
    return {
        "scope": scope,
        "edited": found.edited,
        "unowned": found.unowned,
        "compared": found.hashed,
        "files": found.of,
    }


def _uncompared(found: "Installed") -> list[str]:
    if found.hashed == found.of:
        return []
    return [f"of {found.of} installed files that were loaded, {found.hashed} were compared by content"]


def _read_state(live: LiveDirectory, sites: list[bytes]) -> tuple[dict[str, Any] | None, list[str]]:
    """What a survey of these directories has left, and what it said is missing; nothing where there was none."""
    try:
        with open(os.path.join(live.home, STATE), "rb") as file:
            state = decode(file.read(MAX_BYTES + 1), MAX_BYTES)
        installed, problems = state["installed"], list(map(str, state["problems"]))
        if list(map(path_bytes, state["sites"])) != sites:
            return None, []  # of the environment that was expected before a process said which one it is
        if installed is None:
            return None, problems
        return {
            "scope": ALL,
            "edited": [{**each, "path": str(each["path"])} for each in installed["edited"] if each["distribution"]],
            "unowned": list(installed["unowned"]),
            "compared": int(installed["compared"]),
            "files": int(installed["files"]),
        }, problems
    except FileNotFoundError:
        return None, []
    except (OSError, DecodeProblem, ValueError, KeyError, TypeError, AttributeError) as problem:
        return None, [f"{STATE} cannot be read: {problem}"]
