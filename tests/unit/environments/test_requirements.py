"""What an installer is told, and what is refused before one is asked."""

from __future__ import annotations

from typing import Any

import pytest

from gitrun.capture.lock.pins import read_pins
from gitrun.replay.environments.installing import why_not
from gitrun.replay.environments.recorded import Locked, Recorded
from gitrun.replay.environments.requirements import Wanted, requirements

HASH, OTHER = "a" * 64, "b" * 64


def recorded(*distributions: dict[str, Any]) -> Recorded:
    """An environment of these."""
    known = [{"tags": ["py3-none-any"], "record": HASH, "direct_url": None, **each} for each in distributions]
    pins, _ = read_pins(known)
    return Recorded(None, HASH, {}, {}, tuple(pins), (), {})  # type: ignore[arg-type]


def wheel(name: str = "alpha-1.0-py3-none-any.whl", **more: Any) -> dict[str, Any]:
    return {"name": name, "hashes": {"sha256": HASH}, **more}


def ask(package: dict[str, Any] | None, version: str = "1.0", stored: Any = None) -> Wanted | str:
    """What is wanted for one pin, or the problem."""
    packages = {} if package is None else {"alpha": {"name": "alpha", "version": version, **package}}
    vendored = {} if stored is None else {"alpha": stored}
    found = requirements(recorded({"name": "Alpha", "version": version}), Locked(packages, vendored, None))
    return found.wanted[0] if found.wanted else found.problems[0]


def test_a_wheel_of_an_index_is_named_by_version_and_hash_and_by_address_when_asked() -> None:
    wanted = ask({"wheels": [wheel(url="https://files.example/alpha-1.0-py3-none-any.whl")]})
    assert isinstance(wanted, Wanted)
    assert wanted.line(by_url=False) == f"alpha==1.0 --hash=sha256:{HASH}\n"
    address = f"alpha @ https://files.example/alpha-1.0-py3-none-any.whl --hash=sha256:{HASH}\n"
    assert wanted.line(by_url=True) == address


def test_a_label_has_an_index_of_its_own_so_its_address_is_named() -> None:
    wanted = ask({"wheels": [wheel(url="https://files.example/cpu/alpha-2.0%2Bcpu-py3-none-any.whl")]}, "2.0+cpu")
    assert isinstance(wanted, Wanted) and wanted.direct
    assert wanted.line(by_url=False).startswith("alpha @ https://files.example/cpu/")


def test_of_several_files_any_will_do() -> None:
    wheels = [wheel(path="x.whl"), wheel(path="x.whl", hashes={"sha256": OTHER})]
    wanted = ask({"wheels": wheels})
    assert isinstance(wanted, Wanted) and wanted.hashes == (HASH, OTHER) and wanted.url is None


@pytest.mark.parametrize(
    ("package", "problem"),
    [
        (None, "is not in the lockfile"),
        ({"vcs": {"type": "git", "url": "https://x/y", "commit-id": "c"}}, "came from a commit"),
        ({"sdist": {"name": "alpha-1.0.tar.gz", "hashes": {"sha256": HASH}}}, "is there as source alone"),
        ({"archive": {"url": "https://x/alpha-1.0.zip", "hashes": {"sha256": HASH}}}, "an archive that is no wheel"),
        ({"archive": {"url": "https://x/alpha-1.0.whl", "hashes": {}}}, "an archive without a sha256"),
        ({"wheels": [wheel(hashes={"sha256": "zz"})]}, "no wheel with a hash"),
        ({"wheels": [wheel(hashes={"sha256": f"{HASH}\n--index-url=https://evil"})]}, "no wheel with a hash"),
        ({"version": "1.1", "wheels": [wheel()]}, "is 1.1 in the lockfile"),
    ],
)
def test_what_cannot_be_had_again_is_said(package: dict[str, Any] | None, problem: str) -> None:
    found = ask(package)
    assert isinstance(found, str) and found.startswith("alpha 1.0 ") and problem in found


@pytest.mark.parametrize("url", ["https://x/a b.whl", "https://x/a.whl\n--pre", "ftp://x/a.whl", "-e ."])
def test_no_address_can_bring_options_along(url: str) -> None:
    wanted = ask({"wheels": [wheel(url=url)]})
    assert isinstance(wanted, Wanted) and wanted.url is None


@pytest.mark.parametrize("name", ["../../evil.whl", "/evil.whl", "a/b.whl", "evil", 3, None])
def test_no_stored_wheel_leaves_its_directory(name: Any) -> None:
    package = {"wheels": [wheel(path="vendor/alpha-1.0-py3-none-any.whl")]}
    found = ask(package, stored={"name": "alpha", "sha256": HASH, "wheel": name, "chunks": []})
    assert isinstance(found, str) and "cannot be read" in found


def test_installers_that_no_lockfile_has_may_come_with_python() -> None:
    found = requirements(recorded({"name": "pip", "version": "23.2.1"}), Locked({}, {}, "nothing was locked"))
    assert [pin.name for pin in found.seeds] == ["pip"] and not found.problems and not found.wanted


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("error: Failed to fetch: `https://x/alpha/`\n  Caused by: dns error", "no index could be reached"),
        ("ERROR: Could not find a version that satisfies the requirement alpha==1.0\n", "alpha==1.0 cannot be had"),
        ("ERROR: HTTP error 404 while getting https://x/alpha-1.0-py3-none-any.whl", "alpha==1.0 cannot be had"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES\n alpha==1.0 from https://x", "with another content"),
        ("", "a recorded wheel cannot be had"),
        ("error: https://me:hunter2secret@x/ said 401 Unauthorized", "no index could be reached"),
    ],
)
def test_the_words_of_an_installer_become_one_sentence(text: str, sentence: str) -> None:
    wanted = ask({"wheels": [wheel()]})
    assert isinstance(wanted, Wanted)
    said = why_not("pip", text, [wanted])
    assert sentence in said and "hunter2secret" not in said and "\n" not in said
