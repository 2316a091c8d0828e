"""What a place has to do to hold the blobs of a remote: keep packs by name, and read pieces of them.

The places have little in common: a directory can rename, an object store cannot, and Git knows neither lists nor
ranges. So they are asked for no more than this. A pack never changes and is named by its bytes, so putting one twice
does no harm and nothing has to be locked. Beside each pack lies its *tail*, the last bytes of it that say which blobs
it has and where: whoever looks for a blob reads tails and no packs.

A pack is there once its tail is: the tail is put last, when the whole pack is durable. Nothing that comes from
such a place is believed before it was checked against the id it was asked by.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit, urlunsplit

from gitrun.errors import DamagedStore, NewerFormat
from gitrun.model import canonical
from gitrun.monitor import SILENT, Monitor

FORMAT = 1
KNOWN_FEATURES: frozenset[str] = frozenset()
MARK = "gitrun-store.json"
MOST_MARK_BYTES = 1 << 16
MOST_TAIL_BYTES = 64 << 20
PIECE_BYTES = 1 << 20


class LocalPack(NamedTuple):
    """A finished pack on this machine: its name (the sha256 of its bytes), its file, its length, its tail."""

    name: str
    path: str
    size_bytes: int
    tail: bytes


class Limits(NamedTuple):
    """From how many bytes on somebody has to be asked first: of one run, and of all that the place then holds."""

    run_bytes: int
    all_bytes: int


class BlobStoreBackend(Protocol):
    """A place that holds packs. Raises RemoteFailed where it cannot be reached or refuses, DamagedStore for damage."""

    where: str  # for messages and as its name in the cache; without passwords
    has_ranges: bool  # whether a piece of a pack costs about as much as its bytes
    limits: Limits | None

    def names(self) -> set[str]:
        """The packs that are there, whole."""

    def tails(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """The tails of packs that are there; one that is gone by now is left out."""

    def put(self, packs: Iterable[LocalPack], monitor: Monitor = SILENT) -> None:
        """Keep these packs, durably; each is checked against its name, and one that is there already is not sent.

        The iterable makes each pack when it is asked for the next, and may remove it after that: no pack is
        looked at later than the next one is asked for.
        """

    def get(self, name: str, offset: int, length: int) -> bytes:
        """So many bytes of a pack from there on, fewer at its end; raises BlobNotFound where it is gone."""

    def expect(self, names: Sequence[str]) -> None:
        """That these packs will be read, in this order: a place that answers in few long talks brings many at once."""

    def remove(self, names: Collection[str]) -> None:
        """No longer hold these packs; the tail goes first. Of those that are gone nothing is said."""

    def close(self) -> None:
        """Let go of connections and temporary files."""


def new_mark() -> bytes:
    """What a place says about itself."""
    return canonical.encode({"format": FORMAT, "requires": []})


def check_mark(data: bytes, where: str) -> None:
    """Raise NewerFormat for a place of a later gitrun, DamagedStore for one that does not say what it is."""
    try:
        fields = canonical.decode(data, MOST_MARK_BYTES)
    except canonical.DecodeProblem as problem:
        raise DamagedStore(f"E050 {where}: {MARK} cannot be read: {problem}") from problem
    if (
        type(fields) is not dict
        or type(fields.get("format")) is not int
        or type(fields.get("requires", [])) is not list
    ):
        raise DamagedStore(f"E050 {where}: {MARK} does not state its format")
    unknown = [feature for feature in fields.get("requires", []) if feature not in KNOWN_FEATURES]
    if fields["format"] > FORMAT or unknown:
        needs = f"format {fields['format']}" + "".join(f", {feature}" for feature in unknown)
        raise NewerFormat(f"E021 {where} needs {needs}", next="update gitrun")


def shown(url: str) -> str:
    """The URL of a store without what may be a secret in it: user, password, and all but the endpoint of the query."""
    parts = urlsplit(url)
    kept = "&".join(
        pair for pair in parts.query.split("&") if pair.startswith(("endpoint_override=", "scheme=", "region="))
    )
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), kept, ""))


def is_pack_name(text: str) -> bool:
    """Whether a name found in such a place is that of a pack."""
    return len(text) == 64 and not set(text) - set("0123456789abcdef")


def wrong_bytes(pack: LocalPack) -> DamagedStore:
    """The problem of a pack that is not what its name says; nothing of it is sent."""
    where = f"{os.path.basename(os.path.dirname(pack.path))}/{os.path.basename(pack.path)}"
    return DamagedStore(
        f"E033 pack {pack.name} ({where}): its bytes are not those it is named by",
        kept="nothing of it was sent",
        next="gitrun fsck --repair",
    )
