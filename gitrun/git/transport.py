"""Talking Git to a remote: which refs it has, sending objects and refs, bringing objects here.

The user's own git knows the credentials, the ssh configuration and the proxies, so it does the talking; dulwich where
no git is installed. Whoever it is, the same holds. A ref is made or moved forward and never forced. A push is over
when the other side has every object and then the ref. What is fetched lands in a `Quarantine`, where it can be judged
before any ref here names it: neither the user's refs nor FETCH_HEAD are touched.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from gitrun.errors import RemoteFailed, UsageError
from gitrun.git.head import read_head
from gitrun.git.repository import Repository
from gitrun.monitor import Monitor

if TYPE_CHECKING:
    from gitrun.git.transport_quarantine import Quarantine

# How a ref fared: it is there now, it was before, something else is there, the other side did not take it.
DONE, THERE, TAKEN, FAILED = "done", "there", "taken", "failed"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://|[^/:]+:(?!:)[^:]*/|[^/:@]+@[^/:]+:")
_PASSWORD = re.compile(r"(://)[^/@]*@")


class Update(NamedTuple):
    """A ref that the remote is to have: one that it has not (`create`), or one that moves forward."""

    name: str
    new: str
    create: bool = True


class Result(NamedTuple):
    """How one update fared (DONE, THERE, TAKEN, FAILED), and in the last two cases the other side's words."""

    name: str
    state: str
    why: str = ""


class Pushed(NamedTuple):
    """How each update fared, the bytes that were sent where they are known, and what the other side said."""

    results: list[Result]
    sent_bytes: int
    said: list[str]


class Remote(Protocol):
    """The other side; `name` is what it is called in messages, `key` a file name that stands for its address."""

    name: str
    key: str

    def refs(self, prefixes: Sequence[str], monitor: Monitor) -> dict[str, str]:
        """Its refs whose names begin with one of these; raises RemoteFailed."""

    def push(self, updates: Sequence[Update], monitor: Monitor, objects: Quarantine | None = None) -> Pushed:
        """Send refs and what they need, out of the repository and of `objects`.

        Each ref stands for itself: one that fails keeps no other. Raises RemoteFailed where nothing was sent.
        """

    def delete(self, refs: Mapping[str, str], monitor: Monitor) -> list[Result]:
        """Remove refs that are still what `refs` says; DONE for each that is gone, TAKEN where it has moved."""

    def fetch(self, wants: Mapping[str, str], into: Quarantine, tips: Sequence[str], monitor: Monitor) -> None:
        """Bring the objects of refs (by name, with the ids that `refs` gave); `tips` are commits both may have.

        Raises RemoteFailed, DiskFull.
        """

    def commits(self, wants: Mapping[str, str], cache: str, monitor: Monitor) -> tuple[dict[str, bytes], bool]:
        """The commits of refs by their ids, without their trees where the other side can do that, and whether it can.

        `cache` is a directory for what was brought, which belongs to nobody else and may be removed at any time.
        """


def open_remote(repo: Repository, name_or_url: str, environ: Mapping[str, str]) -> Remote:
    """The remote of this name or address, not asked anything yet; raises UsageError for what is neither."""
    if not is_remote(repo, name_or_url):
        raise UsageError(f"there is no remote {redacted(name_or_url)!r}", next="git remote -v")
    if repo.git is not None:
        from gitrun.git.transport_git import GitRemote

        return GitRemote(repo, name_or_url, environ)
    from gitrun.git.transport_dulwich import DulwichRemote

    return DulwichRemote(repo, name_or_url)


def remote_names(repo: Repository) -> list[str]:
    """The remotes that the repository knows by name."""
    keys = [key for key in repo.config.keys("remote.") if key.endswith((".url", ".pushurl"))]
    return sorted({key.removeprefix("remote.").rpartition(".")[0] for key in keys})


def is_remote(repo: Repository, text: str) -> bool:
    """Whether a word is a remote: a name that is configured, an address, or a path with a slash to a directory."""
    if text.startswith("-") or not text:
        return False
    return text in remote_names(repo) or is_address(text)


def is_address(text: str) -> bool:
    """Whether a word is the address of a repository."""
    if _URL.match(text) or os.path.isabs(text):
        return True
    return text.startswith(("./", "../")) or ("/" in text and os.path.isdir(text))


def default_remote(repo: Repository) -> str:
    """The remote that git would push to; raises RemoteFailed where there is none or no telling which."""
    names, config = remote_names(repo), repo.config
    branch = (read_head(repo).branch or "").removeprefix("refs/heads/")
    asked = (f"branch.{branch}.pushremote", "remote.pushdefault", f"branch.{branch}.remote")
    for name in (*map(config.get, asked), "origin"):
        if name in names:
            return str(name)
    if len(names) == 1:
        return names[0]
    if names:
        raise RemoteFailed(f"which remote is meant: {', '.join(names)}?", next=f"gitrun push {names[0]}")
    raise RemoteFailed("this repository has no remote", kept="every run, here", next="git remote add origin URL")


def redacted(url: str) -> str:
    """An address without a user's name and password."""
    return _PASSWORD.sub(r"\1", url)


def key_of(url: str) -> str:
    """A file name for an address, whoever uses it."""
    return hashlib.sha256(redacted(url).rstrip("/").encode("utf-8", "surrogateescape")).hexdigest()[:32]


# What git, ssh, curl and the big hosts say, and what it means for the user.
_NETWORK = (
    "Could not resolve host", "Connection refused", "Connection timed out", "Network is unreachable",
    "No route to host", "Failed to connect", "Could not connect", "Operation timed out", "Couldn't connect",
)  # fmt: skip
_LOCKED_OUT = (
    "Authentication failed", "could not read Username", "could not read Password", "Permission denied (",
    "Host key verification failed", "returned error: 401", "returned error: 403", "terminal prompts disabled",
    "HTTP Basic: Access denied",
)  # fmt: skip
_NOWHERE = ("does not appear to be a git repository", "not found", "no such repository", "does not exist")
_READ_ONLY = ("Permission denied", "Read-only file system", "insufficient permission", "unable to create temporary")
_FULL = ("No space left on device", "quota", "exceeds", "too large", "larger than")
_CUT = (
    "early EOF", "hung up", "unexpected disconnect", "RPC failed", "Connection reset", "Broken pipe", "unpack failed",
    "index-pack failed", "bad line length", "the remote end",
)  # fmt: skip


def trouble(name: str, words: str, again: str) -> RemoteFailed:
    """The problem that a failed talk with the remote `name` stands for; `again` is the command to type again."""
    told = _last_words(words)
    kept = f"every run here, and what {name} had"

    def has(*signs: str) -> bool:
        return any(sign in words for sign in signs)

    if has(*_NETWORK):
        return RemoteFailed(f"{name} cannot be reached: {told}", kept=kept, next=f"{again}, once it can be")
    if has(*_LOCKED_OUT):
        return RemoteFailed(f"{name} does not let us in: {told}", kept=kept, next=f"git ls-remote {name}")
    if has(*_FULL):
        return RemoteFailed(f"{name} has no room, or a limit: {told}", kept=kept, next=f"gitrun remote check {name}")
    if has(*_READ_ONLY):
        return RemoteFailed(f"{name} cannot be written: {told}", kept=kept, next="git remote -v")
    if has(*_NOWHERE):
        return RemoteFailed(f"there is no repository at {name}: {told}", kept=kept, next="git remote -v")
    if has(*_CUT):
        return RemoteFailed(f"{name} was cut off: {told}", kept=f"{kept}; nothing is half there", next=again)
    return RemoteFailed(f"{name} did not do it: {told}", kept=kept, next=again)


def _last_words(words: str) -> str:
    """The lines of a message that say what happened, in one."""
    lines = [redacted(line.strip()) for line in words.replace("\r", "\n").splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:", "remote:", "ssh:"))] or lines
    plain = [re.sub(r"^(?:(?:fatal|error|remote): )+", "", line) for line in telling]
    return "; ".join(dict.fromkeys(plain[-3:])) or "it said nothing"
