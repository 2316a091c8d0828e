"""A `.git` of the checkout's own, so that a program that asks Git hears what it heard then.

Versions are baked from `git describe`, trackers log `git rev-parse HEAD`, scripts refuse a dirty
tree. A linked worktree would answer too, but every commit, reset or gc in it would reach the user's
repository. So the checkout gets a small repository that borrows the archive's objects and owns
everything else: HEAD, refs, configuration, index. Nothing done in it can touch the archive.

Settings that decide what Git calls changed are copied from the archive's own configuration, never
from a record. Filters among them run only when the user's Git would have run them as well.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gitrun.errors import DamagedRecord
from gitrun.files.write import write_file
from gitrun.git.config import Config
from gitrun.git.refs import is_valid_name
from gitrun.git.repository import Repository

_COPIED = {
    "core.abbrev", "core.attributesfile", "core.autocrlf", "core.bigfilethreshold", "core.checkroundtripencoding",
    "core.eol", "core.excludesfile", "core.filemode", "core.ignorecase", "core.precomposeunicode", "core.quotepath",
    "core.safecrlf", "core.symlinks", "extensions.partialclone", "status.showuntrackedfiles", "user.email", "user.name",
}  # fmt: skip
_COPIED_PATTERN = re.compile(r"filter\..+\.(clean|smudge|process|required)|remote\..+\.(promisor|partialclonefilter)")
_INFO_FILES = ("exclude", "attributes")


class Identity(NamedTuple):
    """Where HEAD is: a branch (full name), a commit, both, or (a branch alone) before the first commit."""

    branch: str | None
    commit: str | None


def write_git_directory(
    git_dir: str,
    lender: Repository,
    head: Identity,
    tags: Mapping[str, str],
    remotes: Mapping[str, str],
    index: bytes,
) -> None:
    """Make the new directory `git_dir`, a repository that borrows the objects of `lender`."""
    for below in ("", "info", "objects", "objects/info", "objects/pack", "refs", "refs/heads", "refs/tags"):
        os.mkdir(os.path.join(git_dir, below).rstrip("/"))
    files = {
        "HEAD": _head(head),
        "config": encode_config(_config(lender, remotes)),
        "objects/info/alternates": _alternate(lender.objects_dir),
        "packed-refs": _packed_refs(head, tags),
        "index": index,
    }
    for name in _INFO_FILES:
        files[f"info/{name}"] = _read(os.path.join(lender.common_dir, "info", name))
    files["shallow"] = _read(os.path.join(lender.common_dir, "shallow"))
    for name, data in files.items():
        if data:
            write_file(os.path.join(git_dir, name), data, sync=False)


def full_branch(name: object) -> str | None:
    """A recorded branch as a full ref name; raises DamagedRecord for a name that no ref can have."""
    if name is None:
        return None
    full = name if isinstance(name, str) and name.startswith("refs/") else f"refs/heads/{name}"
    if not is_valid_name(full):
        raise DamagedRecord(f"not a branch: {full!r}")
    return full


def encode_config(settings: Iterable[tuple[str, str]]) -> bytes:
    """The text of a Git configuration file that holds these (key, value) pairs."""
    lines, current = [], None
    for key, value in settings:
        section, _, rest = key.partition(".")
        subsection, _, name = rest.rpartition(".")
        if (section, subsection) != current:
            current = section, subsection
            lines.append(f"[{section} {_quoted(subsection)}]" if subsection else f"[{section}]")
        lines.append(f"\t{name} = {_quoted(value)}")
    return "".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape")


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def _config(lender: Repository, remotes: Mapping[str, str]) -> list[tuple[str, str]]:
    config: Config = lender.config
    sha256 = lender.object_format != "sha1"
    extended = sha256 or config.get("extensions.partialclone") is not None
    settings = [("core.repositoryformatversion", "1" if extended else "0"), ("core.bare", "false")]
    if sha256:
        settings.append(("extensions.objectformat", lender.object_format))
    for key in config.keys(""):
        if key in _COPIED or _COPIED_PATTERN.fullmatch(key):
            settings.append((key, config.get(key) or ""))
    for name, url in sorted(remotes.items()):
        settings += [
            (f"remote.{name}.url", url),
            (f"remote.{name}.fetch", f"+refs/heads/*:refs/remotes/{name}/*"),
        ]
    return sorted(settings, key=lambda pair: pair[0].rpartition(".")[0])


def _head(head: Identity) -> bytes:
    if head.branch is not None:
        return b"ref: " + os.fsencode(head.branch) + b"\n"
    return (head.commit or "").encode() + b"\n"


def _packed_refs(head: Identity, tags: Mapping[str, str]) -> bytes:
    refs = dict(tags)
    if head.branch is not None and head.commit is not None:
        refs[head.branch] = head.commit
    return b"".join(oid.encode() + b" " + os.fsencode(name) + b"\n" for name, oid in sorted(refs.items()))


def _alternate(objects_dir: str) -> bytes:
    path = os.fsencode(objects_dir)
    if b"\n" in path or path.startswith((b'"', b"#")):
        path = b'"' + path.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'
    return path + b"\n"


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""
