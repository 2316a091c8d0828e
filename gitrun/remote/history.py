"""Questions about the user's history: which commits a remote lacks, and the nearest one that it has.

Git answers them; where there is none, the commits are walked here, which takes longer and says the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from gitrun.errors import DamagedRecord, GitFailed
from gitrun.git.objects import ObjectReader
from gitrun.git.repository import Repository
from gitrun.git.trees import parse_commit
from gitrun.model.canonical import MAX_BYTES


def present(repo: Repository, reader: ObjectReader, oids: Iterable[str]) -> list[str]:
    """Those of the commits that are here."""
    wanted = list(dict.fromkeys(oids))
    if repo.git is None:
        return [oid for oid in wanted if reader.has(oid)]
    text = "".join(f"{oid}\n" for oid in wanted).encode()
    out = repo.run(["cat-file", "--batch-check=%(objecttype)"], stdin=text, env={"GIT_NO_LAZY_FETCH": "1"})
    kinds = out.decode("utf-8", "replace").splitlines()
    return [oid for oid, kind in zip(wanted, kinds, strict=True) if kind in ("commit", "tag")]


def lacking(repo: Repository, reader: ObjectReader, commits: Collection[str], tips: Collection[str]) -> list[str]:
    """The commits and their ancestors that nothing in `tips` reaches, newest first."""
    if not commits:
        return []
    if repo.git is None:
        return _walk(reader, commits, _reachable(reader, tips))[0]
    asked = "".join([*(f"{oid}\n" for oid in sorted(commits)), *(f"^{oid}\n" for oid in tips)])
    return repo.run(["rev-list", "--date-order", "--stdin"], stdin=asked.encode()).decode().split()


def nearest(repo: Repository, reader: ObjectReader, commit: str, tips: Collection[str]) -> str | None:
    """The nearest ancestor that something in `tips` reaches, itself included; None where there is none."""
    if not tips:
        return None
    if repo.git is None:
        reached = _reachable(reader, tips)
        return commit if commit in reached else next(iter(_walk(reader, [commit], reached)[1]), None)
    asked = "".join([f"{commit}\n", *(f"^{oid}\n" for oid in tips)])
    out = repo.run(["rev-list", "--date-order", "--boundary", "--stdin"], stdin=asked.encode()).decode().split()
    bounds = [line[1:] for line in out if line.startswith("-")]
    return bounds[0] if bounds else (None if out else commit)


def is_ancestor(repo: Repository, reader: ObjectReader, old: str, new: str) -> bool:
    """Whether `new` follows from `old`, both of which are here."""
    if old == new:
        return True
    if repo.git is None:
        return old in _reachable(reader, [new])
    done = repo.start(["merge-base", "--is-ancestor", old, new]).finish()
    if done.code not in (0, 1):
        raise GitFailed(f"git merge-base failed: {done.err.decode('utf-8', 'replace').strip()}", next="git fsck")
    return done.code == 0


def _walk(reader: ObjectReader, commits: Iterable[str], reached: Collection[str]) -> tuple[list[str], list[str]]:
    """The commits below these that are not in `reached`, and those in it that they stand on."""
    seen: set[str] = set()
    inside, bounds = list[str](), list[str]()
    level = list(commits)
    while level:
        below: list[str] = []
        for oid in level:
            if oid in seen:
                continue
            seen.add(oid)
            if oid in reached:
                bounds.append(oid)
            else:
                inside.append(oid)
                below += _parents(reader, oid)
        level = below
    return inside, bounds


def _reachable(reader: ObjectReader, tips: Iterable[str]) -> set[str]:
    return set(_walk(reader, tips, ())[0])


def _parents(reader: ObjectReader, oid: str) -> tuple[str, ...]:
    try:
        kind, data = reader.read(oid, MAX_BYTES)
        return parse_commit(data).parents if kind == "commit" else ()
    except (KeyError, DamagedRecord):
        return ()  # the end of a shallow history, or a tag's
