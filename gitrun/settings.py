"""gitrun's own settings: one table of keys, four places they can come from, later ones win.

    .gitrun.toml in the repository  <  git config gitrun.*  <  GITRUN_<SECTION>_<KEY>  <  flags

The repository's file travels with every clone and may be somebody else's, so the keys marked
`local` in the table (programs to run, paths to write to) are refused there. "config" always
means the run's own configuration, never these.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from gitrun.errors import UsageError

FILE = ".gitrun.toml"
Number = TypeVar("Number", int, float)


class Key(NamedTuple):
    """One setting: how its text is read, what it is by default, and whether a repository may set it."""

    kind: str  # text, choice, size (bytes), count, seconds, list
    default: Any
    local: bool
    help: str
    choices: tuple[str, ...] = ()


KEYS: dict[str, Key] = {
    "record.on_problem": Key(
        "choice",
        "auto",
        False,
        "when nothing can be recorded: stop, run the command anyway, or auto (run under a scheduler or in a container)",
        ("auto", "stop", "run"),
    ),
    "record.grace": Key(
        "seconds", 2.0, False, "how long descendants may outlive the command before they are only named"
    ),
    "record.console_max": Key(
        "size", 256 << 20, False, "console bytes kept whole; beyond it the head and the last 1 MiB"
    ),
    "record.free_space_floor": Key(
        "size", 64 << 20, False, "console capture stops when the disk has less free than this"
    ),
    "record.large_file": Key("size", 10 << 20, False, "a new file above this goes to the store instead of into Git"),
    "record.warn_bytes": Key("size", 100 << 20, False, "warn when a snapshot adds more new bytes than this"),
    "record.warn_files": Key("count", 5000, False, "warn when a snapshot adds more new files than this"),
    "record.max_bytes": Key("size", 1 << 30, False, "new bytes beyond this are left out of the source, and named"),
    "record.max_files": Key("count", 50_000, False, "new files beyond this are left out of the source, and named"),
    "record.include_secret_files": Key("list", (), True, "globs of untracked secret files to keep all the same"),
    "record.trackers": Key(
        "choice",
        "leave_out",
        False,
        "untracked directories with an experiment tracker's own marker: leave_out of the source, or keep",
        ("leave_out", "keep"),
    ),
    "record.loaded_bytes": Key(
        "size", 256 << 20, False, "loaded files that are no source are kept up to this in sum, small ones first"
    ),
    "record.loaded_files": Key("count", 5000, False, "loaded files that are no source are kept up to this many"),
    "record.root_bytes": Key("size", 256 << 20, False, "a directory outside with more than this is no root"),
    "record.root_files": Key("count", 20_000, False, "a directory outside with more files than this is no root"),
    "record.output_bytes": Key(
        "size", 2 << 30, False, "outputs are stored up to this in sum, small ones first; the rest is named by digest"
    ),
    "record.output_floor": Key(
        "size", 0, False, "outputs are not stored where the disk has less free than this; 0 is 5 %, at least 5 GiB"
    ),
    "record.output_time": Key(
        "seconds", 60.0, False, "how long outputs are stored before the run is sealed; the rest is stored afterwards"
    ),
    "record.scan_time": Key("seconds", 20.0, False, "how long the tree is looked through for outputs"),
    "record.keep": Key("list", (), False, "globs of outputs to store whatever they weigh, beside those of --keep"),
    "record.no_keep": Key("list", (), False, "globs of outputs to name and not to store, beside those of --no-keep"),
    "record.data": Key("list", (), False, "directories of data in the working tree, not looked through for outputs"),
    "record.input_bytes": Key(
        "size", 2 << 30, False, "inputs of which no digest is known are hashed up to this in sum; then samples are"
    ),
    "record.input_time": Key(
        "seconds", 15.0, False, "how long inputs are looked at after the command; then their size and time must do"
    ),
    "record.input_stored": Key(
        "size", 256 << 20, False, "files that were left out of the source and that the run read are stored up to this"
    ),
    "record.join_wait": Key(
        "seconds", 60.0, False, "how long the members of a run wait for each other, at its start and at its end"
    ),
    "record.variables": Key("list", (), True, "environment variables to record beside the built-in allow-list"),
    "record.opened": Key(
        "choice",
        "yes",
        False,
        "list the files that Python opens; each open() takes a microsecond longer",
        ("yes", "no"),
    ),
    "lock.resolver": Key(
        "choice",
        "auto",
        False,
        "what asks an index for the hashes of what is installed: uv, pip, auto (uv, else pip), none",
        ("auto", "uv", "pip", "none"),
    ),
    "lock.labels": Key(
        "text",
        "https://download.pytorch.org/whl",
        True,
        "below this address each label of a version like 2.5.1+cu121 has an index of its own",
    ),
    "lock.vendor": Key(
        "choice",
        "missing",
        False,
        "which installed packages are kept as wheels: those missing from every index, all, none",
        ("missing", "all", "none"),
    ),
    "lock.vendor_bytes": Key("size", 256 << 20, False, "packages are kept as wheels up to this in sum, small first"),
    "store.path": Key("text", "", True, "where the store lies; empty is beside everything else; asked when it is made"),
    "push.auto": Key(
        "text", "", True, "a remote to which each run is pushed when it is sealed, in the background; empty: none"
    ),
    "gc.grace": Key("seconds", 14 * 86_400.0, False, "how long a removed run can be had back before gc lets go of it"),
    "replay.place": Key(
        "choice",
        "same",
        False,
        "a replay's command sees its checkout at the run's own path where the system allows it, or only where it lies",
        ("same", "elsewhere"),
    ),
    "isolate.dir": Key("text", "", True, "where isolated runs get their directories"),
    "git.executable": Key(
        "text",
        "",
        True,
        "the git to use; empty searches PATH, none uses no executable; the repository's own configuration is not asked",
    ),
}

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class HasConfig(Protocol):
    """What settings need of Git's configuration: every value of a lower-case key, in order."""

    def get_all(self, key: str) -> list[str]: ...


class Value(NamedTuple):
    """A setting's value and the place it came from."""

    value: Any
    origin: str


class Settings:
    """The settings in force, each with its origin."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = values

    def get(self, key: str) -> Any:
        """The value of a key of the table; a key outside it is a bug."""
        return self._values[key].value

    def origin(self, key: str) -> str:
        """Where the value came from, in words."""
        return self._values[key].origin


def load(
    worktree: str | None,
    config: HasConfig | None,
    environ: Mapping[str, str],
    flags: Mapping[str, str] | None = None,
) -> Settings:
    """The settings for a worktree: its file, Git's configuration, variables, then flags."""
    values = {key: Value(entry.default, "default") for key, entry in KEYS.items()}
    if worktree is not None:
        for key, raw in _read_file(os.path.join(worktree, FILE)).items():
            values[key] = Value(raw, FILE)
    for key, entry in KEYS.items():
        texts = config.get_all("gitrun." + config_name(key)) if config is not None else []
        if texts:
            values[key] = Value(parse(key, texts if entry.kind == "list" else texts[-1]), "git config")
        variable = "GITRUN_" + key.replace(".", "_").upper()
        if variable in environ:
            values[key] = Value(parse(key, environ[variable]), variable)
    for key, text in (flags or {}).items():
        values[key] = Value(parse(key, text), "flag")
    return Settings(values)


def config_name(key: str) -> str:
    """The key as Git's configuration spells it after `gitrun.`: Git allows no underscore in a name."""
    return key.replace("_", "")


def parse(key: str, text: Any) -> Any:
    """The typed value of a setting's text; raises UsageError naming the key."""
    entry = KEYS[key]
    try:
        return _parse(entry, text)
    except (ValueError, TypeError) as problem:
        raise UsageError(f"setting {key}: {text!r} is not a {entry.kind} ({entry.help})") from problem


def _parse(entry: Key, text: Any) -> Any:
    if entry.kind == "list":
        words = text.split(os.pathsep) if isinstance(text, str) else text
        return tuple(str(word) for word in words if word)
    if entry.kind == "size":
        return _size(text)
    if entry.kind == "count":
        return _at_least_zero(int(text))
    if entry.kind == "seconds":
        return _at_least_zero(float(text))
    if not isinstance(text, str) or (entry.choices and text not in entry.choices):
        raise ValueError(text)
    return text


def _size(text: Any) -> int:
    if isinstance(text, int):
        return _at_least_zero(text)
    word = text.strip().lower().removesuffix("ib").removesuffix("b")
    unit = word[-1:] if word[-1:] in _UNITS else ""
    return int(_at_least_zero(float(word.removesuffix(unit))) * _UNITS[unit])


def _at_least_zero(number: Number) -> Number:
    if not 0 <= number < float("inf"):
        raise ValueError(number)
    return number


def _read_file(path: str) -> dict[str, Any]:
    """The settings in a repository's own file; only keys that a stranger may set."""
    if not os.path.isfile(path):
        return {}
    import tomllib  # only repositories that have the file pay for the parser

    try:
        with open(path, "rb") as file:
            tables = tomllib.load(file)
    except (OSError, ValueError) as problem:
        raise UsageError(f"{FILE} cannot be read: {problem}") from problem
    values = {}
    for section, table in tables.items():
        for name, raw in table.items() if isinstance(table, dict) else ():
            key = f"{section}.{name}"
            if key not in KEYS:
                continue  # a later version's key, or another tool's table
            if KEYS[key].local:
                raise UsageError(
                    f"{FILE} may not set {key}: it could make a clone run or write what its owner did not choose",
                    next=f"git config gitrun.{config_name(key)} …",
                )
            values[key] = parse(key, raw)
    return values
