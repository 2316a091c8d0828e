"""A remote through dulwich, where no git is installed: file, ssh by the system's `ssh`, http with what a URL says.

The same promises as with git, kept by hand: what the remote has is looked at before a ref is made, a ref that is there
is never moved but by annotations that go on from it, and the ref is written by the other side's own compare and swap.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gitrun.errors import RemoteFailed
from gitrun.git.objects import dulwich_store, open_reader
from gitrun.git.repository import Repository
from gitrun.git.transport import (
    DONE,
    FAILED,
    TAKEN,
    THERE,
    Pushed,
    Result,
    Update,
    key_of,
    redacted,
    remote_names,
    trouble,
)
from gitrun.git.transport_quarantine import Quarantine
from gitrun.git.trees import parse_commit
from gitrun.model.canonical import MAX_BYTES
from gitrun.monitor import Monitor

if TYPE_CHECKING:
    from dulwich.client import GitClient


class DulwichRemote:
    """A remote that dulwich talks to."""

    def __init__(self, repo: Repository, name_or_url: str) -> None:
        self._repo = repo
        is_named = name_or_url in remote_names(repo)
        url = repo.config.get(f"remote.{name_or_url}.url") if is_named else None
        self._url = url or name_or_url
        self.name = name_or_url if is_named else redacted(name_or_url)
        self.key = key_of(self._url)

    def refs(self, prefixes: Sequence[str], monitor: Monitor) -> dict[str, str]:
        """Its refs whose names begin with one of these."""
        client, path = self._open()
        found = self._ask(lambda: client.get_refs(path.encode()), "gitrun fetch")
        names = {name.decode("utf-8", "surrogateescape"): oid for name, oid in found.refs.items() if oid is not None}
        return {name: oid.decode() for name, oid in sorted(names.items()) if name.startswith(tuple(prefixes))}

    def push(self, updates: Sequence[Update], monitor: Monitor, objects: Quarantine | None = None) -> Pushed:
        """As the protocol says."""
        repo = self._repo if objects is None else objects.repo
        client, path = self._open()
        states: dict[str, Result] = {}
        store = dulwich_store(repo)

        def choose(theirs: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
            chosen: dict[bytes, bytes] = {}
            for each in updates:
                name = each.name.encode("utf-8", "surrogateescape")
                there = theirs.get(name)
                if there == each.new.encode():
                    states[each.name] = Result(each.name, THERE)
                elif there is not None and (each.create or not _follows(repo, there.decode(), each.new)):
                    states[each.name] = Result(each.name, TAKEN, "something else is there")
                else:
                    chosen[name] = each.new.encode()
            return chosen

        def pack(have: Any, want: Any, **how: Any) -> Any:
            known = [oid for oid in have if oid in store]
            return store.generate_pack_data(known, want, ofs_delta=how.get("ofs_delta", True))

        chosen_by: Any = choose

        def send() -> Any:
            from dulwich.file import FileLocked

            try:
                return client.send_pack(path.encode(), chosen_by, pack)
            except FileLocked:  # in a directory, which dulwich writes to itself
                return None

        try:
            answer = self._ask(send, "gitrun push")
        finally:
            store.close()
        for each in updates:
            if each.name not in states and answer is None:
                states[each.name] = Result(each.name, TAKEN, "somebody else writes a ref there at this moment")
            elif each.name not in states:
                status = answer.ref_status or {}
                why = status.get(each.name.encode("utf-8", "surrogateescape"))
                states[each.name] = Result(each.name, DONE) if why is None else _refused(each.name, why)
        return Pushed([states[each.name] for each in updates], 0, [])

    def delete(self, refs: Mapping[str, str], monitor: Monitor) -> list[Result]:
        """As the protocol says."""
        client, path = self._open()
        states = {name: Result(name, DONE) for name in refs}

        def choose(theirs: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
            chosen: dict[bytes, bytes] = {}
            for name, oid in refs.items():
                there = theirs.get(name.encode("utf-8", "surrogateescape"))
                if there == oid.encode():
                    chosen[name.encode("utf-8", "surrogateescape")] = b"0" * len(oid)
                elif there is not None:
                    states[name] = Result(name, TAKEN, "something else is there")
            return chosen

        nothing = lambda have, want, **how: (0, iter(()))  # noqa: E731
        answer = self._ask(
            lambda: client.send_pack(path.encode(), choose, nothing),  # type: ignore[arg-type]
            "gitrun remote check",
        )
        for name, why in (answer.ref_status or {}).items():
            if why is not None:
                states[name.decode("utf-8", "surrogateescape")] = _refused(name.decode("utf-8", "surrogateescape"), why)
        return list(states.values())

    def fetch(self, wants: Mapping[str, str], into: Quarantine, tips: Sequence[str], monitor: Monitor) -> None:
        """As the protocol says."""
        from dulwich.object_store import ObjectStoreGraphWalker
        from dulwich.objects import ObjectID

        client, path = self._open()
        store = dulwich_store(into.repo)
        try:
            missing = [
                ObjectID(oid.encode()) for oid in dict.fromkeys(wants.values()) if ObjectID(oid.encode()) not in store
            ]
            if not missing:
                return
            with open_reader(into.repo) as reader:

                def parents(oid: bytes) -> list[Any]:
                    try:
                        return [p.encode() for p in parse_commit(reader.read(oid.decode(), MAX_BYTES)[1]).parents]
                    except KeyError:
                        return []  # the end of a shallow history

                walker = ObjectStoreGraphWalker([ObjectID(tip.encode()) for tip in tips], parents)
                file, commit, abort = store.add_pack()
                try:
                    self._ask(
                        lambda: client.fetch_pack(path.encode(), lambda refs, depth=None: missing, walker, file.write),
                        "gitrun fetch",
                    )
                except BaseException:
                    abort()
                    raise
                commit()
        finally:
            store.close()

    def commits(self, wants: Mapping[str, str], cache: str, monitor: Monitor) -> tuple[dict[str, bytes], bool]:
        """None: dulwich would bring the trees as well."""
        return {}, False

    def _open(self) -> tuple[GitClient, str]:
        from dulwich.client import get_transport_and_path  # 70 ms, for who has no git

        if self._repo.object_format != "sha1" and "://" in self._url:
            raise RemoteFailed(f"{self.name}: a repository with SHA-256 needs git to talk to it", next="install git")
        url = self._url
        if "://" not in url and ":" not in url.partition("/")[0]:
            url = os.path.join(self._repo.worktree or self._repo.git_dir, url)
        return get_transport_and_path(url, quiet=True)

    def _ask(self, talk: Any, again: str) -> Any:
        """The answer of the other side; raises RemoteFailed for all that goes wrong on the way."""
        from dulwich.errors import GitProtocolError, NotGitRepository

        try:
            return talk()
        except NotGitRepository as problem:
            raise trouble(self.name, f"{problem} does not appear to be a git repository", again) from problem
        except (GitProtocolError, OSError, KeyError) as problem:
            raise trouble(self.name, str(problem) or type(problem).__name__, f"{again} {self.name}") from problem


def _follows(repo: Repository, old: str, new: str) -> bool:
    """Whether `new` goes on from `old`."""
    with open_reader(repo) as reader:
        seen, pending = set[str](), [new]
        while pending:
            oid = pending.pop()
            if oid == old:
                return True
            if oid not in seen:
                seen.add(oid)
                try:
                    pending += parse_commit(reader.read(oid, MAX_BYTES)[1]).parents
                except KeyError:
                    continue  # the end of a shallow history
    return False


def _refused(name: str, why: str | bytes) -> Result:
    words = why.decode("utf-8", "replace") if isinstance(why, bytes) else why
    raced = ("unable to set", "already exists", "lock", "failed to update")
    return Result(name, TAKEN if any(sign in words for sign in raced) else FAILED, words)
