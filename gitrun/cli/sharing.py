"""What `push` and `fetch` have in common: which of the words is the remote, its store, and how a refusal is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from gitrun.archive.archive import Archive
from gitrun.archive.harmless import harmless
from gitrun.git.transport import Remote, default_remote, is_remote, open_remote
from gitrun.model.ids import short
from gitrun.model.listing import first_lines
from gitrun.ui.terminal import Screen

if TYPE_CHECKING:
    from gitrun.remote.stores.protocol import BlobStoreBackend

_SHOWN = 20


class Refused(Protocol):
    """A run that did not travel."""

    @property
    def code(self) -> str: ...
    @property
    def run(self) -> str: ...
    @property
    def what(self) -> str: ...


def split_remote(archive: Archive, words: Sequence[str]) -> tuple[Remote, list[str]]:
    """The remote, and the words that are runs: the first word is the remote where it is one."""
    if words and is_remote(archive.repo, words[0]):
        return open_remote(archive.repo, words[0], archive.environ), list(words[1:])
    return open_remote(archive.repo, default_remote(archive.repo), archive.environ), list(words)


def store_of(archive: Archive, remote: Remote) -> BlobStoreBackend:
    """The place where the blobs of a remote are."""
    from gitrun.remote.stores.opening import open_store  # not where no run has blobs

    return open_store(archive, remote, archive.monitor)


def stores_of(archive: Archive, remote: Remote) -> list[BlobStoreBackend]:
    """The places where blobs of a remote may be."""
    from gitrun.remote.stores.opening import open_stores  # as above

    return open_stores(archive, remote, archive.monitor)


def refusals_json(refused: Sequence[Refused]) -> list[dict[str, Any]]:
    """Refusals as programs get them."""
    return [{"code": each.code, "run": each.run, "what": each.what} for each in refused]


def tell_refused(screen: Screen, refused: Sequence[Refused], verb: str) -> None:
    """One line for each run that did not travel."""
    lines = [f"gitrun: {short(each.run)} was not {verb}: {harmless(each.what)} ({each.code})" for each in refused]
    for line in first_lines(lines, _SHOWN):
        screen.line(line)
