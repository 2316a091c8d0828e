"""Which settings are in force that are not the default, and which words look like settings and are none.

A key that is spelled wrongly is silently no setting: a later version may know it. Here, where somebody asks, it
is named.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator

from gitrun.doctor.check import OK, WARN, Check
from gitrun.git.repository import Repository
from gitrun.settings import FILE, KEYS, Settings, config_name

VARIABLES = {
    "GITRUN_ARCHIVE", "GITRUN_DIR", "GITRUN_RUN_ID", "GITRUN_RUN_DIR", "GITRUN_MEMBER", "GITRUN_QUIET",
    "GITRUN_DISABLE", "GITRUN_IMAGE",
}  # fmt: skip


def settings_in_force(repo: Repository, settings: Settings) -> Iterator[Check]:
    """The settings of a repository, and what was meant to be one."""
    changed = [f"{key} = {settings.get(key)!r} ({settings.origin(key)})" for key in KEYS if _is_changed(settings, key)]
    yield Check("settings", OK, ", ".join(changed) or "all as they come")
    for unknown, place in _unknown(repo):
        yield Check(
            "settings", WARN, f"{unknown} in {place} is no setting of this version", next="see docs/settings.md"
        )


def _is_changed(settings: Settings, key: str) -> bool:
    return settings.origin(key) != "default"


def _unknown(repo: Repository) -> Iterator[tuple[str, str]]:
    names = {config_name(key) for key in KEYS}
    for key in repo.config.keys("gitrun."):
        if key.removeprefix("gitrun.") not in names:
            yield key, "git config"
    variables = VARIABLES | {"GITRUN_" + key.replace(".", "_").upper() for key in KEYS}
    for name in sorted(repo.environ):
        if name.startswith("GITRUN_") and name not in variables:
            yield name, "the environment"
    path = os.path.join(repo.worktree or "", FILE)
    if repo.worktree is None or not os.path.isfile(path):
        return
    with open(path, "rb") as file:
        tables = tomllib.load(file)  # it was read before, so it can be read
    for section, table in tables.items():
        for name in table if isinstance(table, dict) else ():
            if f"{section}.{name}" not in KEYS:
                yield f"{section}.{name}", FILE
