"""What exists is documented, and what is documented exists: settings and commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gitrun.settings import KEYS

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_every_setting_is_in_the_table_and_nothing_else_is() -> None:
    rows = re.findall(
        r"^\| `([a-z_]+\.[a-z_]+)` \| ([^|]*)\| (local)?", (DOCS / "settings.md").read_text(), re.MULTILINE
    )
    assert sorted(name for name, _, _ in rows) == sorted(KEYS)
    assert {name: bool(local) for name, _, local in rows} == {name: key.local for name, key in KEYS.items()}


@pytest.mark.parametrize("key", KEYS)
def test_the_documented_default_is_the_default(key: str) -> None:
    from gitrun.settings import parse

    row = re.search(rf"^\| `{re.escape(key)}` \| (?:`([^`]*)`)?", (DOCS / "settings.md").read_text(), re.MULTILINE)
    assert row
    assert parse(key, row[1] or "") == KEYS[key].default


def test_every_command_is_on_the_page() -> None:
    import typer

    from gitrun.cli.app import build_app

    documented = set(re.findall(r"^## gitrun ([a-z]+)$", (DOCS / "commands.md").read_text(), re.MULTILINE))
    command = typer.main.get_command(build_app())
    existing = {name for name, entry in command.commands.items() if not entry.hidden}  # type: ignore[attr-defined]
    assert existing | {"record"} == documented | (existing & {"run"})
