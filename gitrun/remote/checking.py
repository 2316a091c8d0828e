"""What a remote takes, found out by trying: a pack is put there, read back and removed, and nothing stays.

Hosts differ in what they let in, and say so only when it is refused: refs of their own, files of a size, removing a
ref. Better to know before the first run of three days is to be sent. Limits that cannot be tried without sending
gigabytes are told from what the hosts publish.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from gitrun.archive.archive import Archive
from gitrun.errors import GitrunError
from gitrun.files.write import remove_quietly
from gitrun.git.refs import RUNS
from gitrun.git.transport import Remote, redacted
from gitrun.model.listing import plural
from gitrun.monitor import Monitor
from gitrun.remote.stores.inside_git import GitStore
from gitrun.remote.stores.opening import open_stores, store_url
from gitrun.remote.stores.protocol import BlobStoreBackend, LocalPack
from gitrun.store.ingest import PackFile
from gitrun.store.pack import PackReader, Tail, read_blob

OK, WARN, FAIL = "ok", "warn", "fail"
_BYTES = 4096
# What the hosts say of themselves: a file in Git, one push, a repository.
_HOSTS = {
    "github.com": "files over 100 MB and pushes over 2 GB are refused; repositories should stay below 10 GB",
    "gitlab.com": "pushes over 5 GB are refused, and a repository has 10 GB",
    "bitbucket.org": "a repository has 4 GB, and pushes over 3.5 GB are refused",
    "codeberg.org": "repositories over 750 MB are asked about",
}


class Finding(NamedTuple):
    """`state`: ok, warn or fail; `says` is one sentence, `next` what to type about it."""

    topic: str
    state: str
    says: str
    next: str = ""


def check_remote(archive: Archive, remote: Remote, monitor: Monitor) -> Iterator[Finding]:
    """Whether the remote can be reached and what it takes; what cannot be done is a finding and no error."""
    try:
        runs = [name for name in remote.refs([RUNS], monitor) if name.startswith(RUNS)]
    except GitrunError as problem:
        yield Finding("git", FAIL, problem.message, problem.next)
        return
    yield Finding("git", OK, f"{remote.name} answers; it has {plural(len(runs), 'run')}")
    if limit := limit_of(archive, remote):
        yield Finding("git", OK, limit)
    stores = open_stores(archive, remote, monitor)
    try:
        url = store_url(archive, remote.name)
        yield from _check_store(archive, stores[0], "store", monitor)
        if url is not None:
            yield from _try(archive, stores[1], "refs", "lets runs have refs of their own", monitor)
    finally:
        for store in stores:
            store.close()


def limit_of(archive: Archive, remote: Remote) -> str | None:
    """What the host of a remote says of its limits, where it is one of those that everybody knows."""
    url = archive.repo.config.get(f"remote.{remote.name}.url") or remote.name
    host = urlsplit(url).hostname if "://" in url else redacted(url).partition(":")[0].rpartition("@")[2]
    told = _HOSTS.get((host or "").removeprefix("www.").removeprefix("ssh."))
    return f"{host}: {told}" if told else None


def _check_store(archive: Archive, store: BlobStoreBackend, topic: str, monitor: Monitor) -> Iterator[Finding]:
    says = "a pack was put there, read back and removed again"
    found = list(_try(archive, store, topic, f"{store.where}: {says}", monitor))
    yield from found
    if any(finding.state == FAIL for finding in found):
        return
    if not isinstance(store, GitStore):
        return
    limits = store.limits
    try:
        total = sum(Tail(tail, name).bytes for name, tail in store.tails(sorted(store.names())))
    except GitrunError as problem:
        yield Finding(topic, WARN, problem.message, problem.next)
        return
    assert limits is not None
    state = WARN if total > limits.all_bytes else OK
    yield Finding(
        topic,
        state,
        f"blobs lie inside Git: {total >> 20:,} MiB now; more than {limits.run_bytes >> 20:,} MiB of one run, or "
        f"{limits.all_bytes >> 20:,} in all, are asked about first",
        "gitrun remote set-store NAME s3://… or file:///…" if state == WARN else "",
    )


def _try(archive: Archive, store: BlobStoreBackend, topic: str, says: str, monitor: Monitor) -> Iterator[Finding]:
    data = os.urandom(_BYTES)
    file = PackFile(os.path.join(archive.gitrun_dir, "tmp"))
    pack: LocalPack | None = None
    try:
        blob = hashlib.sha256(data).digest()
        file.writer.add(blob, 0, len(data), data)
        name = file.finish()
        reader = PackReader(archive.store.bytes_of(file.path), name)
        pack = LocalPack(name, file.path, reader.bytes, reader.tail())
        store.names()
        store.put([pack], monitor)
        entry = reader.find(blob)
        assert entry is not None
        if pack.name not in store.names():
            yield Finding(topic, FAIL, f"{store.where} took a pack, and does not have it")
            return
        if read_blob(store.get(name, 0, pack.size_bytes), entry, pack.size_bytes, name) != data:
            yield Finding(topic, FAIL, f"{store.where} gives back other bytes than it got")
            return
        yield Finding(topic, OK, says)
    except GitrunError as problem:
        yield Finding(topic, FAIL, problem.message, problem.next)
        return
    finally:
        file.abort()
        remove_quietly(file.path)
    try:
        store.remove([pack.name])
    except GitrunError as problem:
        why = f"{problem.message}; so `rm --remote` and `gc --remote` do not work there, and {_BYTES:,} bytes stay"
        yield Finding(topic, WARN, why)
