"""The file itself: valid by the PEP, the same for every run, and without credentials."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from packaging.pylock import Pylock

from gitrun.capture.lock.pins import Pin, read_pins
from gitrun.capture.lock.pylock import NotValid, encode_pylock, is_same_build, valid_package, without_credentials

A = "a" * 64


def wheel(name: str = "alpha-1.0-py3-none-any.whl", **more: Any) -> dict[str, Any]:
    return {"url": f"https://files.example/{name}", "hashes": {"sha256": A}, **more}


def test_it_is_what_the_pep_says() -> None:
    package = valid_package({"wheels": [wheel(size=3)]}, Pin("alpha", "1.0"))
    assert package is not None
    data = encode_pylock([package], "3.11.7")
    fields = tomllib.loads(data.decode())
    assert fields["requires-python"] == "==3.11.*" and fields["created-by"] == "gitrun"
    Pylock.from_dict(fields).validate()


def test_the_order_of_packages_and_wheels_does_not_matter() -> None:
    one, two = (Pin(name, "1.0") for name in ("alpha", "beta"))
    files = [wheel(f"beta-1.0-cp311-cp311-{platform}.whl") for platform in ("linux_x86_64", "win32")]
    packages = [valid_package({"wheels": [wheel()]}, one), valid_package({"wheels": files}, two)]
    turned = [valid_package({"wheels": files[::-1]}, two), packages[0]]
    assert encode_pylock(filter(None, packages), "3.11") == encode_pylock(filter(None, turned), "3.11")


def test_an_empty_environment_is_a_lockfile_too() -> None:
    Pylock.from_dict(tomllib.loads(encode_pylock([], None).decode())).validate()


@pytest.mark.parametrize(
    "package",
    [
        {},
        {"wheels": []},
        {"wheels": 3},
        {"wheels": [{"url": "https://x/alpha-1.0-py3-none-any.whl"}]},
        {"wheels": [wheel("beta-1.0-py3-none-any.whl")]},
        {"wheels": [wheel("alpha-2.0-py3-none-any.whl")]},
        {"wheels": [wheel("alpha-1.0+cu121-py3-none-any.whl")]},
        {"archive": {"url": "https://x/alpha.zip", "hashes": {}}},
        {"vcs": {"type": "git"}},
        {"sdist": {"hashes": {"sha256": A}}},
    ],
)
def test_what_is_no_package_of_the_pin_is_refused(package: dict[str, Any]) -> None:
    assert valid_package(package, Pin("alpha", "1.0")) is None


def test_a_file_that_is_not_valid_is_not_written() -> None:
    with pytest.raises(NotValid):
        encode_pylock([{"name": "Not Normal", "version": "1.0", "wheels": [wheel()]}], "3.11")


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://me:pw@x.example/a.whl", "https://x.example/a.whl"),
        ("https://token1234567890@x.example/a", "https://x.example/a"),
        ("https://me:p@w@x.example/a", "https://x.example/a"),
        ("https://x.example/a@b.whl", "https://x.example/a@b.whl"),
        ("https://x.example/a.whl?X-Amz-Signature=0123456789abcdef", "https://x.example/a.whl"),
        ("https://x.example/a.whl?token=0123456789abcdef0123", "https://x.example/a.whl"),
        ("https://x.example/a.whl?v=1", "https://x.example/a.whl?v=1"),
        ("ssh://git@x.example/a.git", "ssh://git@x.example/a.git"),
        ("git+ssh://git:pw@x.example/a.git", "git+ssh://git@x.example/a.git"),
    ],
)
def test_credentials_are_taken_out_of_addresses(url: str, kept: str) -> None:
    assert without_credentials(url) == kept


def test_a_build_is_told_by_its_tags() -> None:
    pin = Pin("alpha", "1.0", frozenset({"cp311-cp311-linux_x86_64"}))
    index = {"wheels": [wheel("alpha-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl")]}
    assert not is_same_build(index, pin)
    assert not is_same_build({"sdist": {}}, pin)
    assert is_same_build(index, pin._replace(tags=frozenset({"cp311-cp311-manylinux2014_x86_64"})))
    assert is_same_build(index, pin._replace(tags=frozenset())), "an .egg-info says nothing"


def test_pins_are_made_of_what_is_a_name_and_a_version() -> None:
    hostile = [
        {"name": "--index-url=http://x", "version": "1"},
        {"name": "a\n--extra", "version": "1"},
        {"name": "a", "version": "1\n-e ."},
        {"name": "a", "version": "1.0 ; x"},
        {"name": "a" * 300, "version": "1"},
        {"name": None, "version": None},
        "no mapping",
    ]
    good = {"name": "Two.Words", "version": "1.0-post1", "tags": ["py3-none-any", 3], "record": A}
    pins, problems = read_pins([*hostile, good])
    assert [pin.requirement for pin in pins] == ["two-words==1.0.post1"]
    assert len(problems) == 1 and "and 2 more" in problems[0]


@pytest.mark.parametrize(
    ("direct", "origin"),
    [
        (None, "index"),
        ({"url": "file:///x", "dir_info": {"editable": True}}, "editable"),
        ({"url": "file:///x", "dir_info": {}}, "files"),
        ({"url": "file:///x.whl", "archive_info": {}}, "files"),
        ({"url": "https://x/x.whl", "archive_info": {}}, "archive"),
        ({"url": "https://x/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}, "vcs"),
        ({"url": "file:///x.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}, "files"),
    ],
)
def test_an_origin_is_pep_610s(direct: Any, origin: str) -> None:
    ((pin,), _) = read_pins([{"name": "a", "version": "1", "direct_url": direct}])
    assert pin.origin == origin


def test_labels() -> None:
    labels = {version: Pin("a", version).label for version in ("1", "1+cpu", "1+cu121.post2", "1+rocm6.1", "1+local")}
    assert labels == {"1": None, "1+cpu": "cpu", "1+cu121.post2": "cu121", "1+rocm6.1": "rocm6.1", "1+local": None}
