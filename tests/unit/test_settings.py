"""Where a setting comes from, who wins, and what a stranger's repository may not set."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitrun.errors import UsageError
from gitrun.settings import FILE, KEYS, load, parse


class Config:
    def __init__(self, **values: str) -> None:
        self.values = {"gitrun." + key.replace("__", "."): value for key, value in values.items()}

    def get_all(self, key: str) -> list[str]:
        return [self.values[key]] if key in self.values else []


def test_defaults() -> None:
    settings = load(None, None, {})
    assert settings.get("record.large_file") == 10 << 20
    assert settings.get("record.on_problem") == "auto"
    assert settings.origin("record.grace") == "default"
    assert {key: settings.get(key) for key in KEYS} == {key: entry.default for key, entry in KEYS.items()}


def test_later_places_win(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('[record]\nmax_files = 1\ngrace = 1.5\nconsole_max = "1k"\nlarge_file = "3 MiB"\n')
    config = Config(record__maxfiles="2", record__grace="2.5", record__consolemax="2k")
    environ = {"GITRUN_RECORD_MAX_FILES": "3", "GITRUN_RECORD_GRACE": "3.5"}
    settings = load(str(tmp_path), config, environ, {"record.max_files": "4"})
    assert (settings.get("record.max_files"), settings.origin("record.max_files")) == (4, "flag")
    assert (settings.get("record.grace"), settings.origin("record.grace")) == (3.5, "GITRUN_RECORD_GRACE")
    assert (settings.get("record.console_max"), settings.origin("record.console_max")) == (2048, "git config")
    assert (settings.get("record.large_file"), settings.origin("record.large_file")) == (3 << 20, FILE)


@pytest.mark.parametrize("key", [key for key, entry in KEYS.items() if entry.local])
def test_a_repository_may_not_choose_programs_places_or_secrets(tmp_path: Path, key: str) -> None:
    section, name = key.split(".")
    (tmp_path / FILE).write_text(f'[{section}]\n{name} = "x"\n')
    with pytest.raises(UsageError, match=key) as caught:
        load(str(tmp_path), None, {})
    assert caught.value.next.startswith("git config gitrun.")


def test_keys_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("top = 1\n[record]\nfrom_the_future = 1\n[other]\nx = 1\n")
    assert load(str(tmp_path), None, {}).get("record.grace") == 2.0


def test_a_broken_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("[record\n")
    with pytest.raises(UsageError, match="cannot be read"):
        load(str(tmp_path), None, {})


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("7", 7), ("1k", 1024), ("1.5M", 3 << 19), ("2GiB", 2 << 30), ("2 gb", 2 << 30), (5, 5)],
)
def test_sizes(text: str | int, size: int) -> None:
    assert parse("record.max_bytes", text) == size


@pytest.mark.parametrize(
    ("key", "text"),
    [("record.max_bytes", "-1"), ("record.max_bytes", "lots"), ("record.max_bytes", "inf"), ("record.grace", "nan"),
     ("record.on_problem", "panic"), ("record.max_files", "1.5"), ("git.executable", 3)],
)  # fmt: skip
def test_nonsense_is_named(key: str, text: object) -> None:
    with pytest.raises(UsageError, match=key):
        parse(key, text)


def test_lists_are_written_like_path_lists() -> None:
    assert parse("record.variables", "A:B:") == ("A", "B")
    assert parse("record.variables", ["A", "B"]) == ("A", "B")
