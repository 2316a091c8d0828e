"""What the programs of a run said they were configured with, merged into the reading of the command line.

The reading (`config`) is a guess, and the program's own parser knows. Where one was observed, the words it took are
no longer guessed at; words it left over, and those of a launcher before it, still are. A run may have many parsers:
launchers, a first pass for `--config`, one in each worker, a job for each point of a sweep. One program is the
run's: the first that parsed the command line and is no launcher. What others said is kept beside it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.capture.config import MAX_FILES, read_file
from gitrun.capture.configfile import format_of
from gitrun.capture.facts import Facts, place
from gitrun.capture.places import Places
from gitrun.capture.secrets import Redactor
from gitrun.model.canonical import path_bytes, path_text

if TYPE_CHECKING:
    from gitrun.capture.observed import Observed, Process

MAX_OTHERS = 20
MAX_JOBS = 1000
MAX_PROBLEMS = 50
_READ_NO_FILES = ("argparse", "click", "typer", "absl", "fire")  # what their programs read, they read themselves
_NAMES_A_FILE = ("conf", "cfg")


class _Chosen(NamedTuple):
    """The configurations that are the run's, and the process that reported them."""

    process: Process
    configs: list[dict[str, Any]]


def merge_config(
    config: dict[str, Any],
    observed: Observed,
    redactor: Redactor,
    *,
    command: Sequence[bytes],
    worktree: bytes | None,
) -> Facts:
    """The content of config.json with what was observed, and a sentence for each thing that is missing.

    `config` is the reading of the command line; `command` the command as it was read, secrets replaced or not.
    """
    chosen = _choose(observed)
    if chosen is None:
        others = _others(observed, [], redactor)
        return Facts({**config, **({"others": others} if others else {})}, [])
    merger = _Merger(config, redactor, command, worktree, observed.places)
    merger.merge(chosen)
    if others := _others(observed, chosen.configs, redactor):
        merger.config["others"] = others
    return Facts(merger.config, merger.problems[:MAX_PROBLEMS])


def _choose(observed: Observed) -> _Chosen | None:
    """The first process with a parser of the command line; else one whose program brought words of its own."""
    for role in ("program", "given"):
        for process in observed.processes:
            configs = [config for config in process.configs if config.get("role", "program") == role]
            if configs:
                return _Chosen(process, configs)
    return None


class _Merger:
    def __init__(
        self,
        config: dict[str, Any],
        redactor: Redactor,
        command: Sequence[bytes],
        worktree: bytes | None,
        places: Places,
    ) -> None:
        self.config = {
            **config,
            "values": dict(config.get("values") or {}),
            "provenance": dict(config.get("provenance") or {}),
            "files": list(config.get("files") or []),
        }
        self.problems: list[str] = []
        self._redactor, self._command, self._worktree = redactor, command, worktree
        self._places = places
        self._values: dict[str, Any] = {}
        self._provenance: dict[str, dict[str, Any]] = {}

    def merge(self, chosen: _Chosen) -> None:
        """Merges all that one process has parsed, in the order in which it did."""
        jobs = [one for one in chosen.configs if one.get("framework") == "hydra"]
        varied = _varied(jobs)
        for one in chosen.configs:
            offset = self._offset(one)
            self._drop_guesses(one, offset, varied)
            self._take(one, offset, varied)
            self._list_files(one, chosen.process)
            self._say(one)
        if varied:
            self.config["jobs"] = [
                {self._text(name): self._plain(name, one["values"].get(name)) for name in sorted(varied)}
                for one in jobs[:MAX_JOBS]
            ]
        self._read_named_files(chosen.process)
        for name, value in self._values.items():
            self._settle(name, value)
        self.config["program"] = {
            "name": self._text(_program(chosen.configs[-1])),
            "frameworks": sorted({str(one.get("framework")) for one in chosen.configs}),
        }

    def _offset(self, one: dict[str, Any]) -> int | None:
        """How many words of the command stand before the program's own, where those are its last."""
        argv = one.get("argv") or []
        offset = len(self._command) - len(argv)
        if not argv or offset < 0:
            return None
        same = all(
            mine == theirs or b"<secret:" in mine or b"<secret:" in theirs
            for mine, theirs in zip(argv[1:], self._command[offset + 1 :], strict=True)
        )
        return offset if same else None

    def _drop_guesses(self, one: dict[str, Any], offset: int | None, varied: set[str]) -> None:
        """Takes back what was read out of words that the program has taken."""
        if offset is None:
            return
        rest = {offset + index for index in one.get("rest") or []}
        values, provenance = self.config["values"], self.config["provenance"]
        for name, origin in list(provenance.items()):
            position = origin.get("position") if origin.get("source") == "argv" else None
            if isinstance(position, int) and position > offset and position not in rest and name not in varied:
                values.pop(name, None)
                del provenance[name]
        words = [path_text(word) for word in self._command]
        taken = [word for index, word in enumerate(words) if index > offset and index not in rest]
        self.config["positional"] = [word for word in self.config.get("positional") or [] if word not in taken]

    def _take(self, one: dict[str, Any], offset: int | None, varied: set[str]) -> None:
        """Adds values; one that was set stays where a later parser only has its default."""
        sources, defaults, words = one.get("sources") or {}, one.get("defaults") or {}, one.get("words") or {}
        inexact = set(one.get("unserialisable") or [])
        for raw, value in (one.get("values") or {}).items():
            if raw in varied:
                continue
            source = sources.get(raw)
            if source not in ("argv", "default", "file", "environment", "override"):
                source = "override"
            if source == "argv" and one.get("role") == "given":
                source = "override"  # the program wrote these words itself
            name = self._text(raw)
            before = self._provenance.get(name)
            if before is not None and before["source"] != "default" and source == "default":
                continue
            origin: dict[str, Any] = {"source": source, "default": self._plain(raw, defaults.get(raw))}
            origin["framework"] = self._text(str(one.get("framework")))
            if source == "argv":
                origin["position"] = offset + words[raw] if offset is not None and raw in words else None
            if source == "file":
                files = one.get("files") or []
                origin["file"] = place(files[0], self._worktree) if len(files) == 1 else None
            if raw in inexact:
                origin["exact"] = False
            self._values[name], self._provenance[name] = self._plain(raw, value), origin

    def _settle(self, name: str, value: Any) -> None:
        """Puts an observed value in the place of what was read before, unless a file says more than a default."""
        values, provenance = self.config["values"], self.config["provenance"]
        before, origin = provenance.get(name) or {}, self._provenance[name]
        if before.get("source") == "file" and origin["source"] == "default" and origin["framework"] in _READ_NO_FILES:
            if values[name] != value:
                self.problems.append(
                    f"config {name}: {before.get('file')} has a value and {origin['framework']} its default; "
                    "the file's is recorded"
                )
            provenance[name] = {**before, "default": origin["default"], "framework": origin["framework"]}
            return
        values[name], provenance[name] = value, origin

    def _list_files(self, one: dict[str, Any], process: Process) -> None:
        """Adds the files that a framework read; their values are in what it reported."""
        for path in one.get("files") or []:
            self._add_file(path, str(one.get("framework")), process)

    def _read_named_files(self, process: Process) -> None:
        """Reads the files that observed options such as `--config` name, defaults included."""
        for name, value in list(self._values.items()):
            if self._provenance[name]["framework"] not in _READ_NO_FILES:
                continue
            if not isinstance(value, str) or not any(part in name.lower() for part in _NAMES_A_FILE):
                continue
            path = self._places.real(os.path.join(process.start.get("cwd") or b"/", path_bytes(value)))
            if format_of(path) and os.path.isfile(path):
                found = self._add_file(path, "program", process)
                for key, item in found.items():
                    self.config["values"].setdefault(key, item)
                    if key not in self.config["provenance"]:
                        origin = {"source": "file", "file": place(path, self._worktree), "default": None}
                        self.config["provenance"][key] = origin

    def _add_file(self, path: bytes, given_by: str, process: Process) -> dict[str, Any]:
        """Describes a file once; its values, where it has not been written since the program started."""
        path = self._places.real(os.path.normpath(os.path.join(process.start.get("cwd") or b"/", path)))
        known = [entry.get("path") for entry in self.config["files"]]
        if place(path, self._worktree) in known or len(known) >= MAX_FILES:
            return {}
        description, found = read_file(
            path, given_by, self._redactor, self._worktree, not_after_ns=process.start.get("started_ns")
        )
        self.config["files"].append(description)
        if description["note"]:
            self.problems.append(f"config file {description['path']}: {description['note']}")
        return found

    def _say(self, one: dict[str, Any]) -> None:
        framework = self._text(str(one.get("framework")))
        for note in one.get("notes") or []:
            self.problems.append(f"config from {framework}: {self._text(note)}")
        if (one.get("unserialisable") or []) == ["*"]:
            self.problems.append(f"config from {framework}: the values could not be reported")

    def _text(self, text: str) -> str:
        return self._redactor.text(text)

    def _plain(self, name: str, value: Any) -> Any:
        return self._redactor.tree(value, name)


def _program(one: dict[str, Any]) -> str:
    """The name of a program; of a script, as it was called."""
    name, argv = str(one.get("program") or ""), one.get("argv") or []
    return path_text(argv[0]) if name == "__main__" and argv and argv[0] else name


def _varied(jobs: list[dict[str, Any]]) -> set[str]:
    """The names whose values differ between the jobs of a sweep."""
    if len(jobs) < 2:
        return set()
    first = jobs[0].get("values") or {}
    varied: set[str] = set()
    for job in jobs[1:]:
        values = job.get("values") or {}
        varied |= {name for name in first.keys() | values.keys() if first.get(name) != values.get(name)}
    return varied


def _others(observed: Observed, used: list[dict[str, Any]], redactor: Redactor) -> list[dict[str, Any]]:
    """What further parsers reported, each once; of one like the run's own, only what differs."""
    seen = [(one.get("framework"), one.get("program"), one.get("values")) for one in used]
    others: list[dict[str, Any]] = []
    for process in observed.processes:
        for one in process.configs:
            values = one.get("values") or {}
            identity = (one.get("framework"), one.get("program"), one.get("values"))
            if identity in seen or not values:
                continue
            seen.append(identity)
            like = [
                mine.get("values") or {}
                for mine in used
                if (mine.get("framework"), mine.get("program")) == identity[:2]
            ]
            shown = {
                name: value
                for name, value in values.items()
                if not any(name in mine and mine[name] == value for mine in like)
            }
            if shown and len(others) < MAX_OTHERS:
                others.append(
                    {
                        "program": redactor.text(_program(one)),
                        "framework": redactor.text(str(one.get("framework"))),
                        "role": redactor.text(str(one.get("role") or "program")),
                        "values": redactor.tree(shown),
                    }
                )
    return others
