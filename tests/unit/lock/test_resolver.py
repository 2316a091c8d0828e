"""Resolvers, asked for real: uv and pip against an index on the loopback."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from gitrun.capture.lock.answers import Resolution
from gitrun.capture.lock.pins import Pin
from gitrun.capture.lock.resolver import Question, resolve
from gitrun.capture.lock.running import GivenUp, run
from tests.package_index import Installation, PackageIndex, make_sdist, make_wheel


def ask(
    pins: list[Pin],
    installation: Installation,
    environ: Mapping[str, str],
    tool: str,
    labels: str = "http://127.0.0.1:9",
) -> Resolution:
    prefix = str(installation.prefix)
    question = Question(tuple(pins), installation.python, "3.11", prefix, environ, prefix, tool, labels)
    return resolve(question, lambda: False)


def test_pins_are_found_with_hash_and_place(
    index: PackageIndex, installation: Installation, asking: Mapping[str, str], tool: str
) -> None:
    digests = {name: index.add(make_wheel(name, "1.0")) for name in ("alpha", "two-words")}
    found = ask([Pin("alpha", "1.0"), Pin("two-words", "1.0")], installation, asking, tool)
    assert (found.missing, found.tool, found.problem) == ([], tool, None)
    for name, digest in digests.items():
        (wheel,) = found.packages[name]["wheels"]
        assert wheel["hashes"] == {"sha256": digest} and wheel["url"].startswith(f"http://{index.address}/files/")


def test_what_is_missing_costs_the_others_nothing(
    index: PackageIndex, installation: Installation, asking: Mapping[str, str], tool: str
) -> None:
    index.add(make_wheel("alpha", "1.0"))
    index.add(make_wheel("alpha-more", "1.0"))
    index.add(make_wheel("old", "1.0"))
    pins = [Pin(name, "1.0") for name in ("alpha", "alpha-more", "nowhere", "unknown")] + [Pin("old", "1.0.1")]
    found = ask(pins, installation, asking, tool)
    assert found.packages.keys() == {"alpha", "alpha-more"}
    assert (found.missing, found.problem) == (["nowhere", "old", "unknown"], None)


def test_a_source_distribution_is_never_built(
    index: PackageIndex, installation: Installation, asking: Mapping[str, str], tool: str, tmp_path: Path
) -> None:
    index.add(make_sdist("gamma", "1.0", tmp_path / "built"))
    found = ask([Pin("gamma", "1.0")], installation, asking, tool)
    assert not (tmp_path / "built").exists()
    assert found.missing == ["gamma"] or "wheels" not in found.packages["gamma"]


def test_a_plain_version_is_not_answered_by_another_build(
    index: PackageIndex, installation: Installation, asking: Mapping[str, str], tool: str
) -> None:
    index.add(make_wheel("beta", "2.0+cu121"))
    assert ask([Pin("beta", "2.0")], installation, asking, tool).missing == ["beta"]


def test_a_labelled_version_is_on_the_index_of_its_label(
    index: PackageIndex, installation: Installation, asking: Mapping[str, str], tool: str
) -> None:
    index.add(make_wheel("alpha", "1.0"))
    index.add(make_wheel("torch", "2.5.1"))
    digest = index.add(make_wheel("torch", "2.5.1+cu121"), "whl/cu121")
    pins = [Pin("alpha", "1.0"), Pin("torch", "2.5.1+cu121")]
    found = ask(pins, installation, asking, tool, f"http://{index.address}/whl")
    assert found.missing == [] and found.problem is None
    assert found.packages["torch"]["wheels"][0]["hashes"] == {"sha256": digest}
    assert "/whl/cu121/torch/" in index.asked and "/whl/cu121/alpha/" not in index.asked


def test_credentials_are_used_and_not_kept(
    index: PackageIndex, installation: Installation, asking: Mapping[str, str], tool: str
) -> None:
    index.add(make_wheel("alpha", "1.0"))
    url = f"http://me:hunter2secret@{index.address}/simple"
    found = ask([Pin("alpha", "1.0")], installation, {**asking, "PIP_INDEX_URL": url}, tool)
    assert any(index.credentials), "the index was asked with them"
    assert found.packages and "hunter2secret" not in repr(found)


@pytest.mark.parametrize("status", [500, 403])
def test_an_index_that_refuses_is_no_answer(
    index: PackageIndex, installation: Installation, asking: Mapping[str, str], tool: str, status: int
) -> None:
    index.add(make_wheel("alpha", "1.0"))
    index.status = status
    found = ask([Pin("alpha", "1.0")], installation, {**asking, "PIP_RETRIES": "0"}, tool)
    assert found.missing == [] and found.packages == {}
    assert found.problem is not None and found.problem.startswith(f"{tool} gave no answer")


def test_nobody_listens(installation: Installation, asking: Mapping[str, str], tool: str) -> None:
    found = ask([Pin("alpha", "1.0")], installation, {**asking, "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}, tool)
    assert found.missing == [] and found.problem is not None


def test_without_a_resolver_it_says_so(installation: Installation, asking: Mapping[str, str]) -> None:
    found = ask([Pin("alpha", "1.0")], installation, asking, "none")
    assert found.problem == "neither uv nor pip was found to resolve it"


def test_a_program_is_given_up_with_all_that_it_started(tmp_path: Path) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/pid; wait"
    began = time.monotonic()
    with pytest.raises(GivenUp):
        run(["/bin/sh", "-c", script], b"", cwd="/", environ={}, stop=(tmp_path / "pid").exists, limit_s=30)
    assert time.monotonic() - began < 5
    pid = int((tmp_path / "pid").read_text() or 0)
    time.sleep(0.1)
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
