"""The difference between two trees, as `git diff` shows it."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence

from gitrun.errors import GitFailed
from gitrun.git.objects import dulwich_store
from gitrun.git.repository import Repository


def tree_diff(repo: Repository, a_tree: str, b_tree: str, paths: Sequence[bytes] = (), color: bool = False) -> bytes:
    """The patch from tree `a_tree` to `b_tree`, of everything or of what lies at or below `paths`.

    With git it is git's own, renames found; without, dulwich's, which never has colours. Raises GitFailed where an
    object cannot be read.
    """
    if repo.git is None:
        return _by_dulwich(repo, a_tree, b_tree, paths)
    how = ["diff", "--no-ext-diff", "--no-textconv", f"--color={'always' if color else 'never'}", "-M"]
    # The paths of a run are names, never patterns.
    # Ids come out of records: whatever they look like, they are never options.
    return repo.run([*how, "--end-of-options", a_tree, b_tree, "--", *paths], env={"GIT_LITERAL_PATHSPECS": "1"})


def _by_dulwich(repo: Repository, a_tree: str, b_tree: str, paths: Sequence[bytes]) -> bytes:
    # dulwich takes 50 ms to import; only a diff without git pays for it.
    from dulwich.errors import ApplyDeltaError, ChecksumMismatch, FileFormatException
    from dulwich.objects import ObjectID
    from dulwich.patch import write_object_diff

    store = dulwich_store(repo)
    out = io.BytesIO()
    try:
        changes = store.tree_changes(ObjectID(a_tree.encode()), ObjectID(b_tree.encode()))
        for (old_path, new_path), (old_mode, new_mode), (old_id, new_id) in changes:
            if not paths or any(_is_at(path or b"", paths) for path in (old_path, new_path)):
                write_object_diff(out, store, (old_path, old_mode, old_id), (new_path, new_mode, new_id))
    except KeyError as problem:
        raise GitFailed(f"an object is missing: {problem}", next="git fsck") from problem
    except (ApplyDeltaError, ChecksumMismatch, FileFormatException, zlib.error, ValueError) as problem:
        raise GitFailed(f"an object is damaged: {problem}", next="git fsck") from problem
    finally:
        store.close()
    return out.getvalue()


def _is_at(path: bytes, wanted: Sequence[bytes]) -> bool:
    return any(path == place or path.startswith(place.rstrip(b"/") + b"/") for place in wanted)
