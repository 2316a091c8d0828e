"""From what the user set for a remote to the place it stands for.

`remote.<name>.gitrun-store` in Git's configuration of the repository says where the blobs of a remote are. It is never
read from a file that is committed: a repository that somebody else wrote must not decide where one's results go.
"""

from __future__ import annotations

import os
from urllib.parse import unquote, urlsplit

from gitrun.archive.archive import Archive
from gitrun.errors import UsageError
from gitrun.git.transport import Remote, open_remote, remote_names
from gitrun.monitor import SILENT, Monitor
from gitrun.remote.stores.directory import DirectoryStore
from gitrun.remote.stores.inside_git import GitStore
from gitrun.remote.stores.protocol import BlobStoreBackend

OBJECT_STORES = ("s3", "gs", "gcs", "abfs", "abfss")
_HELP = "gitrun remote set-store NAME file:///DIRECTORY or s3://BUCKET/PREFIX"


def key_of(remote: str) -> str:
    """The key in Git's configuration."""
    return f"remote.{remote}.gitrun-store"


def store_url(archive: Archive, remote: str) -> str | None:
    """Where the blobs of a remote are, as the user has set it; None for inside Git."""
    return archive.repo.config.get(key_of(remote)) or None


def open_store(archive: Archive, remote: Remote | str, monitor: Monitor = SILENT) -> BlobStoreBackend:
    """Where the blobs of a remote are sent; raises UsageError for a name that is no remote, or a URL that is none."""
    return open_stores(archive, remote, monitor)[0]


def open_stores(archive: Archive, remote: Remote | str, monitor: Monitor = SILENT) -> list[BlobStoreBackend]:
    """Where the blobs of a remote may be: its store, then inside Git, where they went before it had one."""
    there = open_remote(archive.repo, remote, archive.environ) if isinstance(remote, str) else remote
    inside = GitStore(archive, there, monitor)
    url = store_url(archive, there.name)
    return [open_url(url), inside] if url else [inside]


def everywhere(archive: Archive, monitor: Monitor = SILENT) -> list[BlobStoreBackend]:
    """The stores of all remotes that the repository knows by name, `origin` first; none of them is asked yet."""
    names = sorted(remote_names(archive.repo), key=lambda name: (name != "origin", name))
    return [store for name in names for store in open_stores(archive, name, monitor)]


def open_url(url: str) -> BlobStoreBackend:
    """The place a URL stands for; raises UsageError for one that is none."""
    check_url(url)
    parts = urlsplit(url)
    if parts.scheme == "file":
        return DirectoryStore(os.path.normpath(unquote(parts.path)))
    from gitrun.remote.stores.objects import ObjectStore  # pyarrow's file systems, only where they are needed

    return ObjectStore(url)


def check_url(url: str) -> None:
    """Raise UsageError for a URL that no store can have."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/") or parts.path == "/":
            raise UsageError(f"{url!r} names no directory of this machine: file:///DIRECTORY", next=_HELP)
    elif parts.scheme in OBJECT_STORES:
        if parts.password or (parts.username and parts.scheme == "s3"):
            raise UsageError(
                "a key in the URL of a store would lie in .git/config for all to read",
                kept="nothing was set",
                next="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use ~/.aws/credentials",
            )
        if not parts.hostname:
            raise UsageError(f"{url!r} names no bucket", next=_HELP)
    else:
        raise UsageError(f"{url!r} is no place for blobs: file:// or s3:// (gs://, abfs://)", next=_HELP)
