"""Where a resolver looks: the user's own settings of pip and of uv."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitrun.capture.lock.indexes import pip_environment, pip_settings, uv_environment


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "home").mkdir()
    return {"HOME": str(tmp_path / "home"), "XDG_CONFIG_DIRS": str(tmp_path / "xdg")}


def pip_conf(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_pips_files_and_variables_in_pips_order(tmp_path: Path, home: dict[str, str]) -> None:
    prefix = tmp_path / "venv"
    pip_conf(tmp_path / "xdg/pip/pip.conf", "[global]\nindex-url = https://one/simple\n")
    pip_conf(Path(home["HOME"]) / ".config/pip/pip.conf", "[global]\nindex-url = https://two/simple\n")
    assert pip_settings(home, None).default == "https://two/simple"
    pip_conf(
        prefix / "pip.conf", "[install]\nindex-url = https://three/simple\nextra-index-url = https://a/ https://b/\n"
    )
    assert pip_settings(home, str(prefix))[:2] == ("https://three/simple", ("https://a/", "https://b/"))
    assert pip_settings({**home, "PIP_INDEX_URL": "https://four/"}, str(prefix)).default == "https://four/"
    assert pip_settings({**home, "PIP_CONFIG_FILE": os.devnull}, str(prefix)).default is None


def test_a_file_that_is_no_configuration_says_nothing(tmp_path: Path, home: dict[str, str]) -> None:
    pip_conf(tmp_path / "venv/pip.conf", "no section\n\x00")
    assert pip_settings(home, str(tmp_path / "venv")) == (None, (), (), False)


def test_uv_gets_what_pip_was_told(tmp_path: Path, home: dict[str, str]) -> None:
    asked = {
        **home,
        "PIP_INDEX_URL": "https://me:pw@mirror/simple",
        "PIP_EXTRA_INDEX_URL": "https://more/simple file:///srv/simple",
        "PIP_FIND_LINKS": "/srv/wheels https://links/",
    }
    found = uv_environment(asked, str(tmp_path), None)
    assert found["UV_DEFAULT_INDEX"] == "https://me:pw@mirror/simple"
    assert found["UV_INDEX"] == "https://more/simple" and found["UV_FIND_LINKS"] == "https://links/"


def test_places_on_this_machine_count_where_the_index_itself_is_one(tmp_path: Path, home: dict[str, str]) -> None:
    asked = {**home, "PIP_INDEX_URL": "file:///srv/simple", "PIP_FIND_LINKS": "/srv/wheels"}
    assert uv_environment(asked, str(tmp_path), None)["UV_FIND_LINKS"] == "/srv/wheels"
    assert pip_environment(asked, None)["PIP_FIND_LINKS"] == "/srv/wheels"
    offline = {**home, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/srv/wheels"}
    found = uv_environment(offline, str(tmp_path), None)
    assert (found["UV_NO_INDEX"], found["UV_FIND_LINKS"]) == ("1", "/srv/wheels")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("uv.toml", 'index-url = "https://own/"\n'),
        ("uv.toml", '[pip]\nextra-index-url = ["https://own/"]\n'),
        ("pyproject.toml", '[[tool.uv.index]]\nurl = "https://own/"\n'),
    ],
)
def test_uvs_own_settings_are_left_alone(tmp_path: Path, home: dict[str, str], file: str, text: str) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / file).write_text(text)
    asked = {**home, "PIP_INDEX_URL": "https://mirror/simple"}
    assert "UV_DEFAULT_INDEX" not in uv_environment(asked, str(tmp_path / "inner"), None)


@pytest.mark.parametrize("text", ["[tool.uv]\ndev = 1\n", "tool = 3\n", "[[[", "[tool]\nuv = 1\n"])
def test_other_settings_of_uv_leave_pips_in_force(tmp_path: Path, home: dict[str, str], text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    asked = {**home, "PIP_INDEX_URL": "https://mirror/simple"}
    assert uv_environment(asked, str(tmp_path), None)["UV_DEFAULT_INDEX"] == "https://mirror/simple"


def test_a_resolver_is_not_told_of_the_recorded_command(tmp_path: Path, home: dict[str, str]) -> None:
    asked = {**home, "PYTHONPATH": "/x", "GITRUN_RUN_ID": "y", "UV_INDEX_URL": "https://own/"}
    for found in (uv_environment(asked, str(tmp_path), None), pip_environment(asked, None)):
        assert not {"PYTHONPATH", "GITRUN_RUN_ID"} & found.keys() and found["UV_INDEX_URL"] == "https://own/"
