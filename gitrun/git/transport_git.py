"""A remote through the user's own git: its credentials, its ssh, its proxies, and its progress.

`git push` and `git fetch` do the work, with everything switched off that would touch more than what was asked for:
tags, submodules, configured refspecs, FETCH_HEAD, housekeeping, and hooks. The user's `pre-push` is about branches; it
does not run for runs (decision 0071). That a ref is only ever made is asked of git as a lease on "not there".
"""

from __future__ import annotations

import os
import re
import select
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from gitrun.errors import RemoteFailed
from gitrun.git.executable import exit_code_of, spawn_talker
from gitrun.git.hashing import is_object_id
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
from gitrun.monitor import Monitor, Task

_CHUNK = 1 << 16
_AT_ONCE = 2000  # refs on one command line, which the system limits
_PROGRESS = re.compile(rb"^(?:remote: )?([A-Z][A-Za-z ]+):\s+(?:\d+% \()?(\d+)(?:/(\d+)\))?")
_SENT = re.compile(rb"Writing objects: .*, ([0-9.]+) (bytes|KiB|MiB|GiB)")
_UNITS = {b"bytes": 1, b"KiB": 1 << 10, b"MiB": 1 << 20, b"GiB": 1 << 30}
_ALWAYS = ("-c", "protocol.version=2")
_PUSH = (
    "-c", "push.followTags=false", "-c", "push.recurseSubmodules=no", "-c", "push.useForceIfIncludes=false",
    "push", "--porcelain", "--progress", "--no-verify",
)  # fmt: skip
_FETCH = (
    "-c", "fetch.unpackLimit=1", "-c", "fetch.writeCommitGraph=false", "-c", "fetch.output=compact",
    "fetch", "--progress", "--no-tags", "--no-prune", "--no-prune-tags", "--no-auto-gc", "--no-write-fetch-head",
    "--no-recurse-submodules", "--no-show-forced-updates", "--no-filter", "--refmap=",
)  # fmt: skip


class GitRemote:
    """A remote that the git executable talks to."""

    def __init__(self, repo: Repository, name_or_url: str, environ: Mapping[str, str]) -> None:
        self._repo = repo
        self._environ = environ
        self._is_named = name_or_url in remote_names(repo)
        self._target = name_or_url
        self.name = name_or_url if self._is_named else redacted(name_or_url)
        url = repo.config.get(f"remote.{name_or_url}.url") if self._is_named else name_or_url
        self.key = key_of(url or name_or_url)

    def refs(self, prefixes: Sequence[str], monitor: Monitor) -> dict[str, str]:
        """Its refs whose names begin with one of these; `git ls-remote` has the server list them all."""
        done = self._talk(["ls-remote", "--quiet", self._target], monitor, "asking")
        if done.code != 0:
            raise trouble(self.name, done.words, f"git ls-remote {self.name}")
        found = {}
        for line in done.out.decode("utf-8", "surrogateescape").splitlines():
            oid, _, name = line.partition("\t")
            if name.startswith(tuple(prefixes)) and not name.endswith("^{}"):
                if not is_object_id(oid, self._repo.object_format):
                    raise RemoteFailed(f"{self.name} has objects of another format than this repository")
                found[name] = oid
        return found

    def push(self, updates: Sequence[Update], monitor: Monitor, objects: Quarantine | None = None) -> Pushed:
        """As the protocol says, in as many talks as the command line needs."""
        results: list[Result] = []
        said: list[str] = []
        total = 0
        for some in _slices(updates):
            done = self._talk([*self._push_words(some)], monitor, "sending", objects)
            found = _results(done.out, some)
            if not found and done.code != 0:
                raise trouble(self.name, done.words, f"gitrun push {self.name}")
            results += [found.get(each.name, Result(each.name, FAILED, "nothing was said of it")) for each in some]
            total += done.sent_bytes
            said += done.said
        return Pushed(results, total, said)

    def delete(self, refs: Mapping[str, str], monitor: Monitor) -> list[Result]:
        """As the protocol says, in as many talks as the command line needs."""
        results: list[Result] = []
        for some in _slices(list(refs)):
            leases = [f"--force-with-lease={name}:{refs[name]}" for name in some]
            words = [*self._settings(), *_PUSH, *leases, self._route(), *(f":{name}" for name in some)]
            done = self._talk(words, monitor, "removing")
            found = _results(done.out, [Update(name, "") for name in some])
            if not found and done.code != 0:
                raise trouble(self.name, done.words, "try again")
            results += [found.get(name, Result(name, FAILED, "nothing was said of it")) for name in some]
        return results

    def fetch(self, wants: Mapping[str, str], into: Quarantine, tips: Sequence[str], monitor: Monitor) -> None:
        """As the protocol says; what was brought is a pack, whatever its size."""
        asked = [f"--negotiation-tip={tip}" for tip in tips]
        for some in _slices(list(wants)):
            words = [*self._settings(), *_FETCH, *asked, self._route(), *some]
            done = self._talk(words, monitor, "receiving", into)
            if done.code != 0:
                raise trouble(self.name, done.words, f"gitrun fetch {self.name}")

    def commits(self, wants: Mapping[str, str], cache: str, monitor: Monitor) -> tuple[dict[str, bytes], bool]:
        """As the protocol says: a partial and shallow fetch, into a repository of its own."""
        from gitrun.git.transport_peek import Peek  # nobody else looks at commits that stay where they are

        return Peek(self._repo, cache).commits(wants, self._target, self._is_named, self.name, monitor)

    def _push_words(self, updates: Sequence[Update]) -> Iterator[str]:
        yield from self._settings()
        yield from _PUSH
        yield from (f"--force-with-lease={each.name}:" for each in updates if each.create)
        yield self._route()
        yield from (f"{each.new}:{each.name}" for each in updates)

    def _settings(self) -> list[str]:
        # A mirror takes no single refs, and would delete what is not here.
        return ["-c", f"remote.{self._target}.mirror=false"] if self._is_named else []

    def _route(self) -> str:
        """The name, for its settings; the address where its refspecs would write what comes here over our own refs."""
        if not self._is_named:
            return self._target
        specs = self._repo.config.get_all(f"remote.{self._target}.fetch")
        if any(_reaches_gitrun(spec.partition(":")[2]) for spec in specs):
            return self._repo.config.get(f"remote.{self._target}.url") or self._target
        return self._target

    def _talk(self, words: Sequence[str], monitor: Monitor, doing: str, objects: Quarantine | None = None) -> Talked:
        repo = self._repo if objects is None else objects.repo
        env = repo.environment()
        if os.isatty(0) and os.isatty(2):  # a person is there: git may ask for a password as it always does
            env.pop("GIT_TERMINAL_PROMPT")
            if (chosen := self._environ.get("GIT_TERMINAL_PROMPT")) is not None:
                env["GIT_TERMINAL_PROMPT"] = chosen
        return converse(repo, [*_ALWAYS, *words], env, monitor, f"{doing}: {self.name}")


def _reaches_gitrun(target: str) -> bool:
    fixed = target.partition("*")[0]
    return bool(target) and ("refs/gitrun/".startswith(fixed) or fixed.startswith("refs/gitrun/"))


def _slices(items: Sequence[Update] | Sequence[str]) -> Iterator[Sequence]:  # type: ignore[type-arg]
    for at in range(0, len(items), _AT_ONCE):
        yield items[at : at + _AT_ONCE]


def _results(out: bytes, updates: Sequence[Update]) -> dict[str, Result]:
    """What `git push --porcelain` said of each ref."""
    wanted = {each.name for each in updates}
    found = {}
    for line in out.decode("utf-8", "surrogateescape").splitlines():
        flag, _, rest = line.partition("\t")
        refs, _, summary = rest.partition("\t")
        name = refs.rpartition(":")[2]
        if len(flag) == 1 and name in wanted:
            found[name] = _result(name, flag, summary)
    return found


def _result(name: str, flag: str, summary: str) -> Result:
    if flag in "*+- ":
        return Result(name, DONE)
    if flag == "=":
        return Result(name, THERE)
    why = summary.partition("(")[2].removesuffix(")") or summary
    taken = ("stale info", "non-fast-forward", "fetch first", "needs force", "already exists", "incorrect old value")
    raced = ("cannot lock ref", "failed to update ref", "reference already exists")
    return Result(name, TAKEN if any(sign in summary for sign in (*taken, *raced)) else FAILED, why)


class Talked(NamedTuple):
    """How a talk ended: exit status, stdout, stderr without progress, bytes sent, the lines of the other side."""

    code: int
    out: bytes
    words: str
    sent_bytes: int
    said: list[str]


def converse(
    repo: Repository,
    words: Sequence[str],
    env: Mapping[str, str],
    monitor: Monitor,
    doing: str,
    place: str | None = None,
) -> Talked:
    """Run git to its end in the directory `place`, its progress told to the monitor as it comes."""
    git = repo.require_git("talking to a remote")
    pid, to_git, from_git, errors = spawn_talker(git, words, place or repo.worktree or repo.git_dir, env)
    os.close(to_git)
    out: list[bytes] = []
    with monitor.task(doing, None, "objects") as task:
        hearing = _Hearing(task)
        poller = select.poll()
        for fd in (from_git, errors):
            poller.register(fd, select.POLLIN)
        waiting = {from_git, errors}
        while waiting:
            for fd, _ in poller.poll():
                data = os.read(fd, _CHUNK)
                if not data:
                    poller.unregister(fd)
                    waiting.discard(fd)
                    os.close(fd)
                elif fd == errors:
                    hearing.feed(data)
                else:
                    out.append(data)
    words_left = hearing.words()
    return Talked(exit_code_of(pid, words_left.encode()), b"".join(out), words_left, hearing.sent_bytes, hearing.said)


class _Hearing:
    """The stderr of git, line by line: progress is counted, the rest is kept."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._rest = b""
        self._lines: list[str] = []
        self._done: dict[bytes, int] = {}
        self.sent_bytes = 0
        self.said: list[str] = []

    def feed(self, data: bytes) -> None:
        *lines, self._rest = re.split(rb"[\r\n]", self._rest + data)
        for line in lines:
            self._line(line)

    def words(self) -> str:
        self._line(self._rest)
        self._rest = b""
        return "\n".join(self._lines)

    def _line(self, line: bytes) -> None:
        if sent := _SENT.search(line):
            self.sent_bytes = int(float(sent[1]) * _UNITS[sent[2]])
        if progress := _PROGRESS.match(line):
            before, now = self._done.get(progress[1], 0), int(progress[2])
            self._done[progress[1]] = now
            if now > before:
                self._task.advance(now - before)
            return
        text = line.decode("utf-8", "replace").rstrip()
        if text and not text.startswith(("To ", "From ", "Delta compression", "Total ", " * branch", " * ref")):
            self._lines.append(text)
            if text.startswith("remote: ") and len(self.said) < 20:
                self.said.append(text.removeprefix("remote: "))
