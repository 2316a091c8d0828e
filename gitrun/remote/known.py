"""What a remote is known to hold, as of the last time it was asked or sent to: so that `status` asks nobody.

One file for each remote, `cache/remotes/<key>`, a line for each ref, the last one counts:

    <object id> refs/gitrun/runs/20261124-061246-k3v9tq

A run stands there only where its record is the one that is here, whatever commit it travels in. It is a cache: without
it the remote is asked again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from gitrun.errors import GitrunError
from gitrun.files.locks import FileLock
from gitrun.files.write import make_dirs, write_file
from gitrun.git.hashing import is_hex, is_hex_id
from gitrun.git.refs import RUNS
from gitrun.git.repository import Repository
from gitrun.git.transport import key_of, remote_names
from gitrun.model.ids import is_run_id


class Known:
    """What is known of the remote of this key."""

    def __init__(self, gitrun_dir: str, key: str) -> None:
        self._path = os.path.join(gitrun_dir, "cache", "remotes", key)
        self._refs: dict[str, str] | None = None

    def refs(self) -> dict[str, str]:
        """Object ids by the names of refs; nothing where it was never asked, or the file cannot be read."""
        if self._refs is None:
            self._refs = self._read()
        return self._refs

    @property
    def is_there(self) -> bool:
        """Whether the remote was ever asked."""
        return os.path.exists(self._path)

    def note(self, refs: Mapping[str, str]) -> None:
        """These are there as well, since just now."""
        if refs:
            self._refs = None  # another process may have noted more
            self._write({**self.refs(), **refs})

    def replace(self, refs: Mapping[str, str]) -> None:
        """These are there, and no others."""
        if refs != self.refs() or not self.is_there:
            self._write(refs)

    def _read(self) -> dict[str, str]:
        try:
            with open(self._path, encoding="utf-8", errors="surrogateescape") as file:
                lines = [line.partition(" ") for line in file.read().split("\n") if line]
        except OSError:
            return {}
        found = {name: oid for oid, _, name in lines}
        if is_hex("".join(found.values())) and {len(oid) for oid in found.values()} <= {40, 64}:
            return found  # asked of all at once
        return {name: oid for name, oid in found.items() if is_hex_id(oid)}

    def _write(self, refs: Mapping[str, str]) -> None:
        try:
            make_dirs(os.path.dirname(self._path))
            with FileLock(self._path + ".lock"):
                write_file(self._path, _text(refs), sync=False)
            self._refs = dict(refs)
        except (OSError, GitrunError):
            return  # a cache: the remote is asked again


def _text(refs: Mapping[str, str]) -> bytes:
    return "".join(f"{oid} {name}\n" for name, oid in refs.items()).encode("utf-8", "surrogateescape")


def only_here(repo: Repository, gitrun_dir: str, run_ids: Iterable[str]) -> list[str]:
    """The runs that no remote of the repository is known to hold."""
    there: set[str] = set()
    for name in remote_names(repo):
        for url in repo.config.get_all(f"remote.{name}.url"):
            there.update(runs_in(Known(gitrun_dir, key_of(url)).refs()))
    return [run_id for run_id in run_ids if run_id not in there]


def runs_in(refs: Mapping[str, str]) -> dict[str, str]:
    """The runs among refs: object ids by run ids."""
    at = len(RUNS)
    return {name[at:]: oid for name, oid in refs.items() if name.startswith(RUNS) and is_run_id(name[at:])}
