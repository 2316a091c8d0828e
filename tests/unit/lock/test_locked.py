"""The project's lockfiles, in the words of the tools that write them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitrun.capture.lock.locked import Locked, Unreadable, read_poetry, read_pylock, read_uv
from gitrun.capture.lock.pins import Pin
from gitrun.capture.lock.requirements import package_of_hashes, read_conda, read_requirements, wheel_name
from gitrun.capture.lock.sources import Source, ask_sources, find_sources

A, B, C = "a" * 64, "b" * 64, "c" * 64
UV = f"""
version = 1
requires-python = ">=3.11"
[[package]]
name = "project"
version = "0.1.0"
source = {{ virtual = "." }}
[[package]]
name = "alpha"
version = "1.0"
source = {{ registry = "https://pypi.org/simple" }}
sdist = {{ url = "https://files.example/alpha-1.0.tar.gz", hash = "sha256:{A}", size = 10 }}
wheels = [
    {{ url = "https://files.example/alpha-1.0-cp311-cp311-manylinux_2_17_x86_64.whl", hash = "sha256:{B}", size = 20 }},
    {{ url = "https://files.example/alpha-1.0-cp311-cp311-win_amd64.whl", hash = "sha256:{C}" }},
]
[[package]]
name = "from-git"
version = "2.0"
source = {{ git = "https://example.org/x.git?rev=main#{A[:40]}" }}
"""
POETRY = f"""
[[package]]
name = "Alpha.Beta"
version = "1.0"
files = [
    {{file = "alpha_beta-1.0-py3-none-any.whl", hash = "sha256:{A}"}},
    {{file = "alpha_beta-1.0.tar.gz", hash = "sha256:{B}"}},
]
[[package]]
name = "private"
version = "1.0"
files = [{{file = "private-1.0-py3-none-any.whl", hash = "sha256:{C}"}}]
[package.source]
type = "legacy"
url = "https://me:secret@index.example/simple"
reference = "x"
[metadata]
lock-version = "2.0"
"""
REQUIREMENTS = f"""# made by pip-compile
--index-url https://me:secret@index.example/simple
alpha==1.0 ; python_version >= "3.8" \\
    --hash=sha256:{A} \\
    --hash=sha256:{B}
    # via -r requirements.in
two.words[extra]==2.0 --hash=sha256:{C}
unhashed==3.0
-e .
"""
CONDA = f"""
version: 1
metadata: {{platforms: [linux-64]}}
package:
- name: numpy
  version: 1.26.4
  manager: conda
  platform: linux-64
  url: https://conda.example/numpy-1.26.4-py311.conda
  hash: {{md5: abc, sha256: {A}}}
- name: alpha
  version: '1.0'
  manager: pip
  platform: linux-64
  url: https://files.example/alpha-1.0-py3-none-any.whl
  hash: {{sha256: {B}}}
"""


def test_uv_lock_gives_what_comes_from_an_index() -> None:
    found = read_uv(UV.encode())
    assert found.packages.keys() == {("alpha", "1.0")}
    package = found.packages["alpha", "1.0"]
    assert package["sdist"]["hashes"] == {"sha256": A} and package["index"] == "https://pypi.org/simple"
    assert [wheel["hashes"]["sha256"] for wheel in package["wheels"]] == [B, C]


def test_only_the_wheels_that_could_be_installed_are_kept() -> None:
    pin = Pin("alpha", "1.0", frozenset({"cp311-cp311-manylinux_2_17_x86_64"}))
    answer = ask_sources([Source("uv.lock", UV.encode())], [pin])
    (wheel,) = answer.packages["alpha"]["wheels"]
    assert wheel["hashes"] == {"sha256": B} and answer.used == ["uv.lock"]


def test_poetry_lock_names_files_whose_place_is_known_on_pypi_alone() -> None:
    found = read_poetry(POETRY.encode())
    alpha, private = found.packages["alpha-beta", "1.0"], found.packages["private", "1.0"]
    place = "https://files.pythonhosted.org/packages"
    assert alpha["wheels"][0]["url"] == f"{place}/py3/a/alpha-beta/alpha_beta-1.0-py3-none-any.whl"
    assert alpha["sdist"]["url"] == f"{place}/source/a/alpha-beta/alpha_beta-1.0.tar.gz"
    assert private["wheels"] == [
        {"name": "private-1.0-py3-none-any.whl", "path": "private-1.0-py3-none-any.whl", "hashes": {"sha256": C}}
    ]


def test_an_older_poetry_lists_the_files_beside() -> None:
    text = f"""
[[package]]
name = "alpha"
version = "1.0"
[metadata.files]
alpha = [{{file = "alpha-1.0-py3-none-any.whl", hash = "sha256:{A}"}}]
"""
    assert ("alpha", "1.0") in read_poetry(text.encode()).packages


def test_a_pylock_is_taken_as_it_is() -> None:
    text = f"""
lock-version = "1.0"
created-by = "x"
[[packages]]
name = "alpha"
version = "1.0"
wheels = [{{ url = "https://me:secret@files.example/alpha-1.0-py3-none-any.whl", hashes = {{ sha256 = "{A}" }} }}]
"""
    answer = ask_sources([Source("pylock.toml", text.encode())], [Pin("alpha", "1.0")])
    assert answer.packages["alpha"]["wheels"] == [
        {"url": "https://files.example/alpha-1.0-py3-none-any.whl", "hashes": {"sha256": A}}
    ]
    assert read_pylock(text.encode()).packages


def test_requirements_count_where_they_are_hashed() -> None:
    found = read_requirements(REQUIREMENTS.encode())
    assert found.hashes == {("alpha", "1.0"): [A, B], ("two-words", "2.0"): [C]}


def test_hashes_become_wheels_of_the_name_that_was_installed() -> None:
    tags = frozenset({"cp311-cp311-manylinux_2_17_x86_64", "cp311-cp311-manylinux2014_x86_64"})
    pin = Pin("two-words", "2.0", tags)
    name = "two_words-2.0-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
    assert wheel_name(pin) == name
    answer = ask_sources([Source("requirements.txt", REQUIREMENTS.encode())], [pin])
    assert answer.packages["two-words"]["wheels"] == [{"name": name, "path": name, "hashes": {"sha256": C}}]
    assert package_of_hashes(Pin("alpha", "1.0"), [A]) is None, "nothing says what its file was called"


def test_conda_lock_has_pip_packages_and_pins_the_others_elsewhere() -> None:
    pytest.importorskip("yaml")
    found = read_conda(CONDA.encode())
    assert found.packages["alpha", "1.0"]["wheels"][0]["hashes"] == {"sha256": B}
    assert found.elsewhere == {("numpy", "1.26.4")}


@pytest.mark.parametrize("text", ["a: &a [x]\nb: *a\n", "[" * 5000, "{" * 200, "a: [", "\0"])
def test_hostile_yaml_is_refused(text: str) -> None:
    pytest.importorskip("yaml")
    with pytest.raises(Unreadable):
        read_conda(text.encode())


def test_without_pyyaml_conda_lock_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    answer = ask_sources([Source("conda-lock.yml", CONDA.encode())], [Pin("alpha", "1.0")])
    assert answer.packages == {} and "PyYAML" in answer.problems[0]


@pytest.mark.parametrize("read", [read_uv, read_poetry, read_pylock])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "package = 1\npackages = 'x'",
        "[[package]]\nname = 3\n[[packages]]\nname = 3\n",
        "[[package]]\nname = 'a'\nversion = '1'\nsource = 1\nwheels = [1, {}, {url = 3}]\n",
        "[[package]]\nname = 'a'\nversion = '1'\nfiles = [1, {}, {file = 'x/y.whl'}]\n",
        "[[packages]]\nname = 'a'\nversion = '1'\nwheels = 3\n",
    ],
)
def test_what_makes_no_sense_locks_nothing(read: Callable[[bytes], Locked], text: str) -> None:
    locked = read(text.encode())
    name = "pylock.toml" if read is read_pylock else "poetry.lock" if read is read_poetry else "uv.lock"
    assert ask_sources([Source(name, text.encode())], [Pin("a", "1")]).packages == {}
    assert not locked.hashes


def test_no_toml_is_a_sentence() -> None:
    answer = ask_sources([Source("uv.lock", b"[[\xff")], [Pin("a", "1")])
    assert answer.packages == {} and answer.problems[0].startswith("uv.lock: ")


def test_files_are_found_up_to_the_top_and_the_nearest_counts(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    top, inner = tmp_path / "top", tmp_path / "top" / "a" / "b"
    (inner / "requirements").mkdir(parents=True)
    for path in ("uv.lock", "top/poetry.lock", "top/a/b/uv.lock", "top/a/b/requirements/dev.txt", "top/a/b/note.txt"):
        (tmp_path / path).write_text(path)
    found: list[Any] = [source.path for source in find_sources(bytes(inner), bytes(top))]
    assert found == ["a/b/uv.lock", "a/b/requirements/dev.txt", "poetry.lock"]
    one, two = UV.replace(B, "d" * 64), UV
    pin = Pin("alpha", "1.0", frozenset({"cp311-cp311-manylinux_2_17_x86_64"}))
    answer = ask_sources([Source("a/uv.lock", one.encode()), Source("uv.lock", two.encode())], [pin])
    assert answer.packages["alpha"]["wheels"][0]["hashes"] == {"sha256": "d" * 64} and answer.used == ["a/uv.lock"]


def test_a_pipe_in_the_place_of_a_lockfile_holds_nothing_up(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "uv.lock")
    (tmp_path / "poetry.lock").symlink_to("/dev/zero")
    assert find_sources(bytes(tmp_path), bytes(tmp_path)) == []
