"""The packages that a conda environment lists of itself."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitrun.capture import conda as room
from gitrun.capture.conda import CondaFound, conda_packages

NUMPY = {
    "name": "numpy",
    "version": "2.1.0",
    "build": "py311h71ddf71_1",
    "build_number": 1,
    "channel": "https://conda.anaconda.org/conda-forge",
    "subdir": "linux-64",
    "url": "https://conda.anaconda.org/conda-forge/linux-64/numpy-2.1.0-py311h71ddf71_1.conda",
    "md5": "4c9a3a6ab1b1d0ae3e3b2d3cd4d7d2a4",
    "sha256": "6f1b1a4d" * 8,
    "files": ["lib/python3.11/site-packages/numpy/__init__.py"],
    "extracted_package_dir": "/home/me/pkgs/numpy",
}


def write(prefix: Path, name: str, content: Any) -> Path:
    path = prefix / "conda-meta" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content, indent=2).encode())
    return path


def read(prefix: Path) -> CondaFound:
    return conda_packages(os.fsencode(prefix))


def test_a_package_is_named_by_its_build_and_origin(tmp_path: Path) -> None:
    path = write(tmp_path, "numpy-2.1.0-py311h71ddf71_1", NUMPY)
    (tmp_path / "conda-meta/history").write_text("==> 2024 <==\n")
    wanted = {key: NUMPY[key] for key in ("name", "version", "build", "channel", "subdir", "url", "md5", "sha256")}
    assert read(tmp_path) == CondaFound([wanted], [os.fsencode(path.parent), os.fsencode(path)], [])


@pytest.mark.parametrize("indent", [None, 0, 1, 2, 4])
def test_the_form_of_a_file_does_not_matter(tmp_path: Path, indent: int | None) -> None:
    tricky = {"depends": [{"name": "other", "url": "no"}], "a": 'x\n  "name": "no"', **NUMPY, "link": {"name": "no"}}
    write(tmp_path, "numpy", json.dumps(tricky, indent=indent).encode())
    assert [(package["name"], package["url"]) for package in read(tmp_path).packages] == [("numpy", NUMPY["url"])]


def test_where_there_is_no_conda_only_its_directory_is_watched(tmp_path: Path) -> None:
    assert read(tmp_path) == CondaFound([], [os.fsencode(tmp_path / "conda-meta")], [])


def test_the_order_is_that_of_names_whatever_the_files_are_called(tmp_path: Path) -> None:
    for at, (name, build) in enumerate((("b", "2"), ("a", "1"), ("b", "1"))):
        write(tmp_path, str(at), {"name": name, "version": "1", "build": build})
    assert [(package["name"], package["build"]) for package in read(tmp_path).packages] == [
        ("a", "1"),
        ("b", "1"),
        ("b", "2"),
    ]


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://me:pass@host.example/c/x.conda", "https://host.example/c/x.conda"),
        ("https://a@b@host.example/c/x.conda", "https://host.example/c/x.conda"),
        ("https://host.example/t/tk-123-abc/c/x.conda", "https://host.example/c/x.conda"),
        ("https://host.example/t/tk-123-abc", "https://host.example"),
        ("https://host.example/c/x.conda?sig=abc#0123", "https://host.example/c/x.conda#0123"),
        ("file:///opt/t/x", "file:///opt/t/x"),
        ("host.example/t/tk-1/c", "host.example/c"),
        ("conda-forge", "conda-forge"),
        ("<unknown>", "<unknown>"),
    ],
)
def test_credentials_of_a_channel_are_left_out(tmp_path: Path, url: str, kept: str) -> None:
    write(tmp_path, "x", {"name": "x", "url": url, "channel": url})
    (package,) = read(tmp_path).packages
    assert (package["url"], package["channel"]) == (kept, kept)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b'{\n  "name": "x",\n  "files": [',
        b'{\n  "name": {\n  }\n}',
        b'{\n  "name": x\n}\n',
        b"{}",
        b'{"name": 7}',
        b"\xff\xfe",
        b'{"name": "x"',
        b"[" * 100_000,
    ],
)
def test_a_broken_file_is_told_and_the_others_are_read(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, "bad-1", content)
    write(tmp_path, "numpy", NUMPY)
    found = read(tmp_path)
    assert [package["name"] for package in found.packages] == ["numpy"]
    assert found.problems == ["environment: conda package bad-1.json cannot be read"]


def test_fields_of_another_type_are_null(tmp_path: Path) -> None:
    write(tmp_path, "x", {"name": "x", "version": 3, "md5": ["a"], "url": "\ud800/"})
    (package,) = read(tmp_path).packages
    assert (package["version"], package["md5"], package["url"]) == (None, None, "?/")


def test_a_name_that_is_not_utf8_and_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "conda-meta").mkdir()
    os.mkfifo(os.fsencode(tmp_path) + b"/conda-meta/\xe9.json")
    assert read(tmp_path).problems == ["environment: conda package \udce9.json cannot be read"]


def test_no_more_is_read_than_the_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for at in range(4):
        write(tmp_path, str(at), {"name": str(at)})
    monkeypatch.setattr(room, "MAX_PACKAGES", 3)
    monkeypatch.setattr(room, "MAX_BYTES", 30)
    found = read(tmp_path)
    assert [package["name"] for package in found.packages] == ["0"]
    assert found.problems[0] == "environment: 4 conda packages, of which 3 were looked at"
    assert len(found.problems) == 3


@given(st.binary(max_size=200))
def test_no_content_raises(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    prefix = tmp_path_factory.mktemp("conda")
    write(prefix, "x", content)
    read(prefix)
