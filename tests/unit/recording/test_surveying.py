"""Installed files compared beside a command, and what is known of them when it is sealed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gitrun.capture import edited
from gitrun.capture.observed import Module, Observed, Process
from gitrun.capture.ownership import Owners
from gitrun.capture.secrets import Redactor
from gitrun.files.write import write_file
from gitrun.model.canonical import decode, encode
from gitrun.recording.live import LiveDirectory
from gitrun.recording.surveying import STATE, Survey, settle_installed
from tests.unit.capture_facts.test_edited import install
from tests.unit.recording.helpers import wait_for

RUN = "20260102-030405-abcdef"


@pytest.fixture
def live(tmp_path: Path) -> LiveDirectory:
    return LiveDirectory.create(str(tmp_path / "gitrun"), RUN, {"format": 1})[0]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "env/lib/python3.11/site-packages"
    install(path, "alpha", {"alpha/__init__.py": b"x = 1\n", "alpha/core.py": b"y = 2\n"})
    install(path, "beta", {"beta.py": b"z = 3\n"})
    return path


def survey(live: LiveDirectory, site: Path) -> Survey:
    return Survey(live, [os.fsencode(site)], os.path.join(os.path.dirname(live.path), "cache"), Redactor({}))


def surveyed(live: LiveDirectory, site: Path) -> None:
    one = survey(live, site)
    one.start()
    wait_for(lambda: os.path.exists(os.path.join(live.path, STATE)))
    one.settle()


def settle(live: LiveDirectory, site: Path | None, *loaded: Path) -> tuple[Any, dict[str, Any] | None]:
    """What coverage and the record say."""
    found = [(path, path.stat()) for path in loaded]
    modules = [Module("m", os.fsencode(path), facts.st_size, facts.st_mtime_ns) for path, facts in found]
    process = Process(7, 1, {}, configs=[], modules=modules, mapped=[], opened=[], seeds={}, numerics={}, complete=True)
    draft: dict[str, Any] = {"command": ["python"], "cwd": ".", "worktree": None, "process": {}, "live": {}}
    if site is not None:
        draft["live"]["sites"] = [os.fsdecode(site)]
    observed = Observed([process], []) if loaded else None
    said = settle_installed(live, draft, observed, Owners(), os.path.join(os.path.dirname(live.path), "cache"))
    return said, draft["process"].get("installed")


def test_a_survey_lies_on_disk_for_whoever_seals(live: LiveDirectory, site: Path) -> None:
    (site / "beta.py").write_bytes(b"z = 4\n")
    (site / "caf\udce9.py").touch()
    surveyed(live, site)
    said, installed = settle(live, site)
    assert said == "complete" and installed is not None
    assert (installed["scope"], installed["compared"], installed["files"]) == ("all", 3, 3)
    assert [each["path"] for each in installed["edited"]] == ["beta.py"]
    assert [each["path"] for each in installed["unowned"]] == ["caf\udce9.py"]
    said, installed = settle(live, site, site / "beta.py")
    assert said == "complete" and installed is not None
    assert [(each["path"], each["loaded"]) for each in installed["edited"]] == [("beta.py", True)], "it is named once"


def test_without_a_survey_what_was_loaded_is_compared(live: LiveDirectory, site: Path) -> None:
    (site / "beta.py").write_bytes(b"z = 4\n")
    said, installed = settle(live, site, site / "alpha/core.py")
    assert said == "loaded"
    assert installed == {"scope": "loaded", "edited": [], "unowned": [], "compared": 1, "files": 1}
    said, installed = settle(live, site, site / "alpha/core.py", site / "beta.py")
    assert said == "loaded" and installed is not None
    assert [(each["path"], each["state"]) for each in installed["edited"]] == [("beta.py", "changed")]


def test_where_nobody_said_what_it_had_loaded(live: LiveDirectory, site: Path) -> None:
    (sentence,), installed = settle(live, site)
    assert "no process said" in sentence and installed is None
    assert settle(live, None) == (None, None), "no Python, and nothing to compare"


def test_what_a_survey_had_no_time_for_is_told_and_what_was_loaded_is_compared(
    live: LiveDirectory, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / "beta.py").write_bytes(b"z = 4\n")
    real = edited.check_installed
    monkeypatch.setattr(edited, "check_installed", lambda sites, **more: real(sites, hashed_bytes=0))
    surveyed(live, site)
    said, installed = settle(live, site, site / "beta.py")
    assert said == ["0 of 3 installed files compared by content"] and installed is not None
    assert installed["scope"] == "all" and [each["path"] for each in installed["edited"]] == ["beta.py"]


def test_a_survey_of_another_environment_does_not_count(live: LiveDirectory, site: Path, tmp_path: Path) -> None:
    surveyed(live, site)
    other = tmp_path / "other/site-packages"
    install(other, "gamma", {"gamma.py": b"1"})
    said, installed = settle(live, other, other / "gamma.py")
    assert said == "loaded" and installed is not None and installed["scope"] == "loaded"


def test_a_bug_in_the_survey_is_a_sentence(live: LiveDirectory, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("password=hunter2")

    monkeypatch.setattr(edited, "check_installed", bug)
    surveyed(live, site)
    said, installed = settle(live, site, site / "beta.py")
    assert said == ["not captured: ZeroDivisionError: password=<secret:password>"] and installed is not None
    assert installed["scope"] == "loaded" and installed["compared"] == 1


def test_nothing_is_written_once_it_is_settled(
    live: LiveDirectory, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, ended = survey(live, site), []
    real = edited.check_installed

    def slow(sites: list[bytes], **more: Any) -> Any:
        wait_for(more["stop"])
        found = real(sites, **more)
        ended.append(found)
        return found

    monkeypatch.setattr(edited, "check_installed", slow)
    one.start()
    one.settle()
    wait_for(lambda: ended)
    assert ended[0].hashed == 0, "a survey that is told to stop hashes nothing more"
    one.start()
    assert not os.path.exists(os.path.join(live.path, STATE)) and settle(live, site, site / "beta.py")[0] == "loaded"


@pytest.mark.parametrize(
    "damage",
    [
        b"", b"{", b"[]", b'{"installed": 3, "problems": [], "sites": SITES}', b'{"problems": 3, "installed": null}',
        b'{"installed": {"edited": [3]}, "problems": [], "sites": SITES}',
        b'{"installed": {"edited": [], "unowned": 1, "compared": 1, "files": 1}, "problems": [], "sites": SITES}',
        b'{"installed": {"edited": [], "unowned": [], "compared": [], "files": 1}, "problems": [], "sites": SITES}',
    ],
)  # fmt: skip
def test_a_damaged_state_is_told_and_no_more(live: LiveDirectory, site: Path, damage: bytes) -> None:
    sites = encode([os.fsdecode(site)])
    Path(live.path, STATE).write_bytes(damage.replace(b"SITES", sites))
    (sentence,), installed = settle(live, site, site / "beta.py")
    assert sentence.startswith(f"{STATE} cannot be read: ") and installed is not None
    assert installed["scope"] == "loaded"


def test_a_state_reads_as_it_was_written(live: LiveDirectory, site: Path) -> None:
    surveyed(live, site)
    path = os.path.join(live.path, STATE)
    state = decode(Path(path).read_bytes())
    assert state.keys() == {"sites", "installed", "problems"} and state["installed"]["scope"] == "all"
    write_file(path, encode({**state, "installed": None, "problems": ["why"]}), sync=False)
    assert settle(live, site) == (["why"], None)
