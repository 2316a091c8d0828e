"""Distributions that were installed to be edited in place: their files are source, so only the way to them is built.

Where their source lies differs from one use of an environment to the next (a replay has a checkout of its own), and an
environment that is kept for all of them must not know it. So it has their metadata and scripts, which the record
determines, and a `.pth` file that adds the directories named by a variable behind its own packages, where that of an
installer would have added them. An environment that is made for a user has the directories themselves in it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gitrun.archive.archive import Archive
from gitrun.capture.lock.pins import Pin
from gitrun.git.trees import DIRECTORY, read_tree
from gitrun.model.canonical import path_bytes
from gitrun.replay.environments.recorded import Recorded, editable

VARIABLE = "GITRUN_EDITABLE"
PTH = "gitrun_editable.pth"
_LINE = (
    "import os, sys; sys.path.extend(place for place in os.environ.get('GITRUN_EDITABLE', '').split(os.pathsep)"
    " if place and place not in sys.path)\n"
)
_MAX_TOML = 1 << 20
_NAME = re.compile(r"[\w.-]+")
_OBJECT = re.compile(r"[A-Za-z_][\w.]*(?::[A-Za-z_][\w.]*)?")


class Editable(NamedTuple):
    """One of them: where its source was, directories below that hold its packages, its entry points by group."""

    pin: Pin
    place: str
    below: tuple[str, ...]
    points: dict[str, dict[str, str]]

    def key(self) -> list[Any]:
        """What an environment with it depends on, beside its digest."""
        return [self.pin.name, self.points]


def read_editables(archive: Archive, recorded: Recorded) -> list[Editable]:
    """Those of an environment, as far as the record says where their source was."""
    found = []
    for pin in editable(recorded):
        place = _place(pin)
        if place is not None:
            tree, imported = _tree(archive, recorded, place)
            project = _project(archive, tree)
            below = [*imported, *(["src"] if tree is not None and _entry(archive, tree, "src") else []), "."]
            found.append(Editable(pin, place, tuple(dict.fromkeys(below)), _points(project)))
    return found


def paths(editables: Sequence[Editable], places: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The directories for `sys.path`, and the names of those whose source has no place; `places` has old and new."""
    found: list[str] = []
    lost: list[str] = []
    for each in editables:
        base = moved(each.place, places)
        if base is None:
            lost.append(each.pin.name)
        else:
            found += [os.path.normpath(os.path.join(base, below)) for below in each.below]
    return list(dict.fromkeys(found)), lost


def moved(path: str, places: Mapping[str, str]) -> str | None:
    """Where a recorded directory is now, by the longest of `places` that it lies in."""
    for old in sorted(places, key=len, reverse=True):
        if path == old or path.startswith(old.rstrip("/") + "/"):
            return os.path.normpath(places[old] + path[len(old.rstrip("/")) :])
    return None


def lay(site: str, scripts: str, python: str, editables: Sequence[Editable], known: Sequence[str] | None) -> None:
    """Write metadata, scripts and the `.pth` file; `known` are the directories, None leaves them to the variable."""
    if not editables:
        return
    for each in editables:
        _metadata(site, each)
        for group in ("console_scripts", "gui_scripts"):
            for name, target in each.points.get(group, {}).items():
                _script(os.path.join(scripts, name), python, target)
    with open(os.path.join(site, PTH), "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(_LINE if known is None else "".join(f"{path}\n" for path in known if "\n" not in path))


def _place(pin: Pin) -> str | None:
    from urllib.parse import unquote, urlsplit

    try:
        url = urlsplit(str((pin.direct or {}).get("url")))
        path = unquote(url.path, errors="surrogateescape")
    except ValueError:
        return None
    return os.path.normpath(path) if url.scheme == "file" and os.path.isabs(path) and "\0" not in path else None


def _tree(archive: Archive, recorded: Recorded, place: str) -> tuple[str | None, list[str]]:
    """The tree id of a directory that was source or a root, and where below it modules were imported from."""
    record = recorded.run.record
    source, worktree = record.get("source") or {}, record.get("worktree")
    bases: list[tuple[str, Any, list[str]]] = []
    for root in source.get("roots") or []:
        path = root.get("path") if isinstance(root, dict) else None
        if isinstance(path, str):
            full = os.path.normpath(os.path.join(str(worktree), path))
            imported = [each for each in root.get("imported_from") or [] if _is_below(each)]
            bases.append((full, root.get("tree"), imported))
    if isinstance(worktree, str):
        bases.append((worktree, source.get("tree"), []))
    for base, tree, imported in sorted(bases, key=lambda base: len(base[0]), reverse=True):
        if not isinstance(tree, str):
            continue
        if place == base:
            return tree, imported
        if place.startswith(base.rstrip("/") + "/"):
            return _walk(archive, tree, place[len(base.rstrip("/")) + 1 :]), []
    return None, []


def _is_below(path: Any) -> bool:
    return isinstance(path, str) and not os.path.isabs(path) and ".." not in path.split("/")


def _walk(archive: Archive, tree: str, path: str) -> str | None:
    for word in path.split("/"):
        found = _entry(archive, tree, word)
        if found is None:
            return None
        tree = found
    return tree


def _entry(archive: Archive, tree: str, name: str) -> str | None:
    """The id of a directory in a tree."""
    try:
        entries = read_tree(archive.objects.reader, tree)
    except KeyError:
        return None  # the checkout says what is missing
    wanted = path_bytes(name)
    return next((entry.oid for entry in entries if entry.name == wanted and entry.mode == DIRECTORY), None)


def _project(archive: Archive, tree: str | None) -> dict[str, Any]:
    """The `[project]` table of the pyproject.toml in a tree, empty where there is none."""
    if tree is None:
        return {}
    import tomllib  # few environments have one

    try:
        entries = read_tree(archive.objects.reader, tree)
        oid = next((each.oid for each in entries if each.name == b"pyproject.toml" and each.mode != DIRECTORY), None)
        data = archive.objects.blob(oid) if oid is not None else b""
        table = tomllib.loads(data[:_MAX_TOML].decode("utf-8")).get("project")
    except (KeyError, ValueError, RecursionError):
        return {}  # a project of an older kind has its scripts nowhere that could be read without running it
    return table if isinstance(table, dict) else {}


def _points(project: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Entry points by group, as far as their names and targets are ones."""
    groups: dict[str, Any] = {"console_scripts": project.get("scripts"), "gui_scripts": project.get("gui-scripts")}
    more = project.get("entry-points")
    groups.update(more if isinstance(more, dict) else {})
    found: dict[str, dict[str, str]] = {}
    for group, table in groups.items():
        if not isinstance(table, dict) or not _NAME.fullmatch(str(group)):
            continue
        kept = {
            name: target for name, target in table.items()
            if isinstance(target, str) and _NAME.fullmatch(name) and _OBJECT.fullmatch(target)
        }  # fmt: skip
        if kept:
            found[str(group)] = dict(sorted(kept.items()))
    return found


def _metadata(site: str, each: Editable) -> None:
    """A metadata directory as an installer would leave it, without files of the distribution."""
    pin = each.pin
    name = f"{pin.name.replace('-', '_')}-{pin.version}.dist-info"
    directory = os.path.join(site, name)
    os.makedirs(directory, exist_ok=True)
    tags = "".join(f"Tag: {tag}\n" for tag in sorted(pin.tags))
    points = "".join(
        f"[{group}]\n" + "".join(f"{key} = {target}\n" for key, target in table.items()) + "\n"
        for group, table in sorted(each.points.items())
    )
    files = {
        "METADATA": f"Metadata-Version: 2.1\nName: {pin.name}\nVersion: {pin.version}\n",
        "WHEEL": f"Wheel-Version: 1.0\nGenerator: gitrun\nRoot-Is-Purelib: true\n{tags}",
        "INSTALLER": "gitrun\n",
        "direct_url.json": json.dumps(pin.direct, sort_keys=True),
        **({"entry_points.txt": points} if points else {}),
    }
    rows = ""
    for file_name, text in files.items():
        data = text.encode("utf-8", "surrogateescape")
        with open(os.path.join(directory, file_name), "wb") as file:
            file.write(data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows += f"{name}/{file_name},sha256={digest},{len(data)}\n"
    with open(os.path.join(directory, "RECORD"), "w", encoding="utf-8") as file:
        file.write(f"{rows}{name}/RECORD,,\n")


def _script(path: str, python: str, target: str) -> None:
    """What an installer writes for an entry point; never over a script of another distribution."""
    module, _, function = target.partition(":")
    if not function or os.path.lexists(path):
        return
    first = function.split(".")[0]
    text = f"#!{python}\nimport sys\nfrom {module} import {first}\n"
    text += f"if __name__ == '__main__':\n    sys.exit({function}())\n"
    with open(path, "x", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o755)
