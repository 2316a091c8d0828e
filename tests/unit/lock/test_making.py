"""The lockfile of an environment as a whole: which step locks what, and what is said where none could."""

from __future__ import annotations

import json
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from packaging.pylock import Pylock

from gitrun.capture.lock import resolver
from gitrun.capture.lock.answers import Answers, Resolution
from gitrun.capture.lock.making import Made, Options, Subject, make_lock
from gitrun.capture.lock.running import GivenUp
from gitrun.store.blobs import BlobStore
from tests.package_index import Installation, PackageIndex, make_sdist, make_wheel


@pytest.fixture
def lock(tmp_path: Path, index: PackageIndex) -> Iterator[Callable[..., Made]]:
    """`make_lock` with a store and a cache below the test's own gitrun directory."""
    home = tmp_path / "gitrun"
    home.mkdir()
    with ExitStack() as promises:

        def call(subject: Subject, *, again: bool = False, publish: Any = lambda made: None, **options: Any) -> Made:
            def session() -> Any:
                return promises.enter_context(BlobStore(str(home)).session())

            chosen = Options(labels=f"http://{index.address}/whl")._replace(**options)
            return make_lock(
                subject, chosen, Answers(str(home / "cache")), session, lambda: False, publish, again=again
            )

        yield call


def packages(made: Made) -> dict[str, Any]:
    """The packages of a lockfile that is valid."""
    assert made.pylock is not None
    fields = tomllib.loads(made.pylock.decode())
    Pylock.from_dict(fields).validate()
    return {package["name"]: package for package in fields["packages"]}


def test_an_index_locks_everything(
    index: PackageIndex, installation: Installation, asking: Mapping[str, str], subject: Any, lock: Any, tool: str
) -> None:
    digests = {}
    for name in ("alpha", "beta"):
        wheel = make_wheel(name, "1.0")
        installation.install(wheel)
        digests[name] = index.add(wheel)
    made = lock(subject(asking), resolver=tool)
    assert made.lock == {"state": "resolved", "reason": None, "source": tool, "missing": [], "vendored": []}
    found = packages(made)
    assert {name: found[name]["wheels"][0]["hashes"]["sha256"] for name in found} == digests


def test_the_projects_lockfile_is_enough_without_any_index(
    installation: Installation, asking: Mapping[str, str], subject: Any, lock: Any, index: PackageIndex, tmp_path: Path
) -> None:
    for name in ("alpha", "pip", "setuptools"):
        installation.install(make_wheel(name, "1.0"))
    project = tmp_path / "project"
    project.mkdir()
    (project / "requirements.txt").write_text(f"alpha==1.0 --hash=sha256:{'a' * 64}\n")
    made = lock(subject(asking, project))
    assert (made.lock["state"], made.lock["source"]) == ("pinned", "requirements.txt")
    assert made.lock["missing"] == [] and made.problems == () and "installer itself" in made.lock["reason"]
    assert packages(made).keys() == {"alpha"} and index.asked == []


def test_what_the_projects_lockfile_does_not_have_is_resolved(
    installation: Installation, asking: Mapping[str, str], subject: Any, lock: Any, index: PackageIndex, tmp_path: Path
) -> None:
    for name in ("alpha", "beta"):
        installation.install(make_wheel(name, "1.0"))
    index.add(make_wheel("beta", "1.0"))
    project = tmp_path / "project"
    project.mkdir()
    text = f"alpha==1.0 --hash=sha256:{'a' * 64}\nbeta==0.9 --hash=sha256:{'b' * 64}\n"
    (project / "requirements.txt").write_text(text)
    made = lock(subject(asking, project), resolver="pip")
    assert (made.lock["state"], made.lock["source"]) == ("resolved", "requirements.txt, pip")
    assert packages(made).keys() == {"alpha", "beta"} and not any("/alpha/" in path for path in index.asked)


def test_what_no_index_has_is_vendored(
    installation: Installation, asking: Mapping[str, str], subject: Any, lock: Any, index: PackageIndex, tool: str
) -> None:
    for name in ("alpha", "private"):
        installation.install(make_wheel(name, "1.0"))
    installation.install(make_wheel("built", "1.0", tag="cp311-cp311-linux_x86_64"))
    installation.install(make_wheel("local", "1.0"), direct=json.dumps({"url": "file:///src/local", "dir_info": {}}))
    edited = json.dumps({"url": "file:///src/edited", "dir_info": {"editable": True}})
    installation.install(make_wheel("edited", "1.0"), direct=edited)
    index.add(make_wheel("alpha", "1.0"))
    index.add(make_sdist("built", "1.0", Path("/nonexistent/built")))
    one = subject(asking)
    made = lock(one, resolver=tool)
    assert made.lock["vendored"] == ["built", "local", "private"] and made.lock["missing"] == []
    assert made.lock["reason"] == "edited in place, so kept as source: edited"
    found = packages(made)
    assert found.keys() == {"alpha", "built", "local", "private"}
    lines = {line["name"]: line for line in made.vendored}
    for name, line in lines.items():
        (wheel,) = found[name]["wheels"]
        assert wheel["path"] == f"vendor/{line['wheel']}" and wheel["hashes"] == {"sha256": line["sha256"]}
    asked = len(index.asked)
    assert lock(one, resolver=tool) == made and len(index.asked) == asked, "nobody asks twice"


@pytest.mark.parametrize(("vendor", "kept"), [("none", []), ("missing", ["private"]), ("all", ["alpha", "private"])])
def test_what_is_vendored_is_chosen(
    installation: Installation,
    asking: Mapping[str, str],
    subject: Any,
    lock: Any,
    index: PackageIndex,
    vendor: str,
    kept: Any,
) -> None:
    for name in ("alpha", "private"):
        installation.install(make_wheel(name, "1.0"))
    index.add(make_wheel("alpha", "1.0"))
    made = lock(subject(asking), resolver="pip", vendor=vendor)
    assert made.lock["vendored"] == kept
    assert made.lock["missing"] == [name for name in ("private",) if name not in kept]


def test_vendoring_is_bounded_and_says_what_is_beyond(
    installation: Installation, asking: Mapping[str, str], subject: Any, lock: Any
) -> None:
    installation.install(make_wheel("small", "1.0"))
    installation.install(make_wheel("large", "1.0", files={"large/data": "x" * 20_000}))
    made = lock(subject(asking), resolver="pip", vendor_bytes=10_000)
    assert made.lock["vendored"] == ["small"] and made.lock["missing"] == ["large"]
    assert any("large (more than lock.vendor_bytes)" in problem for problem in made.problems)


def test_origins_that_identify_themselves_need_no_index(
    installation: Installation, asking: Mapping[str, str], subject: Any, lock: Any, index: PackageIndex
) -> None:
    commit = {"url": "https://me:pw@x.example/x.git", "vcs_info": {"vcs": "git", "commit_id": "0123456789" * 4}}
    archive = {"url": "https://x.example/beta-1.0.zip", "archive_info": {"hashes": {"sha256": "a" * 64}}}
    installation.install(make_wheel("alpha", "1.0"), direct=json.dumps(commit))
    installation.install(make_wheel("beta", "1.0"), direct=json.dumps(archive))
    made = lock(subject(asking))
    found = packages(made)
    assert (
        found["alpha"]["vcs"]["commit-id"] == "0123456789" * 4
        and found["alpha"]["vcs"]["url"] == "https://x.example/x.git"
    )
    assert found["beta"]["archive"]["hashes"] == {"sha256": "a" * 64} and index.asked == []
    assert made.lock["state"] == "resolved" and made.problems == ()


def test_no_python_and_nothing_installed(installation: Installation, asking: Any, subject: Any, lock: Any) -> None:
    made = lock(subject(asking))
    assert made.lock["state"] == "resolved" and packages(made) == {}
    none = lock(subject(asking)._replace(environment={"python": None, "distributions": []}))
    assert none.lock["state"] == "none" and none.pylock is None and "no Python" in none.lock["reason"]


def test_without_an_answer_the_files_still_lock_and_the_rest_is_named(
    installation: Installation, asking: Mapping[str, str], subject: Any, lock: Any, index: PackageIndex, tmp_path: Path
) -> None:
    for name in ("alpha", "beta"):
        installation.install(make_wheel(name, "1.0"))
    index.status = 500
    environ = {**asking, "PIP_RETRIES": "0"}
    nothing = lock(subject(environ), resolver="pip")
    assert nothing.lock["state"] == "none" and "pip gave no answer" in nothing.lock["reason"]
    project = tmp_path / "project"
    project.mkdir()
    (project / "requirements.txt").write_text(f"alpha==1.0 --hash=sha256:{'a' * 64}\n")
    made = lock(subject(environ, project), resolver="pip")
    assert made.lock["state"] == "pinned" and made.lock["missing"] == ["beta"]
    assert any("beta" in problem for problem in made.problems) and packages(made).keys() == {"alpha"}


def test_a_failure_is_not_asked_for_again_at_once(
    installation: Installation, asking: Mapping[str, str], subject: Any, lock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.install(make_wheel("alpha", "1.0"))
    asked = []

    def fail(question: Any, stop: Any) -> Resolution:
        asked.append(question)
        return Resolution({}, [], "uv", "uv gave no answer: no network")

    monkeypatch.setattr(resolver, "resolve", fail)
    one = subject(asking)
    assert lock(one).lock == lock(one).lock and len(asked) == 1
    lock(one, again=True)
    assert len(asked) == 2


def test_recordings_that_start_together_ask_once(
    installation: Installation, asking: Mapping[str, str], subject: Any, lock: Any, index: PackageIndex
) -> None:
    installation.install(make_wheel("alpha", "1.0"))
    index.add(make_wheel("alpha", "1.0"))
    one = subject(asking)
    made: list[Made] = []
    threads = [threading.Thread(target=lambda: made.append(lock(one, resolver="pip"))) for _ in range(6)]
    index.delay.clear()
    for thread in threads:
        thread.start()
    until = time.monotonic() + 20
    while not index.asked and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.3)
    index.delay.set()
    for thread in threads:
        thread.join(30)
    assert len(made) == 6 and all(one == made[0] for one in made) and made[0].lock["state"] == "resolved"
    assert index.asked.count("/simple/alpha/") == 1


def test_whoever_waits_goes_on_where_the_first_was_stopped(tmp_path: Path) -> None:
    (tmp_path / "gitrun").mkdir()
    answers = Answers(str(tmp_path / "gitrun/cache"))
    begun, stopped = threading.Event(), threading.Event()

    def held() -> Resolution:
        begun.set()
        stopped.wait(10)
        raise GivenUp

    def first() -> None:
        with pytest.raises(GivenUp):
            answers.resolution("d", ["a"], held, lambda: False, again=False)

    thread = threading.Thread(target=first)
    thread.start()
    begun.wait(10)
    with pytest.raises(GivenUp):
        answers.resolution("d", ["a"], lambda: Resolution({}, [], "x"), lambda: True, again=False)
    threading.Timer(0.2, stopped.set).start()
    found = answers.resolution("d", ["a"], lambda: Resolution({}, ["a"], "x"), lambda: False, again=False)
    assert found.missing == ["a"]
    thread.join()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"packages": 3, "missing": 4}', '{"lock": 1}', "[" * 100_000])
def test_a_cache_that_makes_no_sense_is_empty(
    installation: Installation,
    asking: Mapping[str, str],
    subject: Any,
    lock: Any,
    index: PackageIndex,
    tmp_path: Path,
    text: str,
) -> None:
    installation.install(make_wheel("alpha", "1.0"))
    index.add(make_wheel("alpha", "1.0"))
    one = subject(asking)
    made = lock(one, resolver="pip")
    for path in (tmp_path / "gitrun/cache").iterdir():
        path.write_text(text)
    assert lock(one, resolver="pip") == made


def test_what_is_known_is_published_before_anybody_waits(
    installation: Installation, asking: Mapping[str, str], subject: Any, lock: Any, index: PackageIndex, tmp_path: Path
) -> None:
    for name in ("alpha", "beta"):
        installation.install(make_wheel(name, "1.0"))
    project = tmp_path / "project"
    project.mkdir()
    (project / "requirements.txt").write_text(f"alpha==1.0 --hash=sha256:{'a' * 64}\n")
    published: list[Made] = []

    def publish(made: Made) -> None:
        assert index.asked == []
        published.append(made)
        raise GivenUp

    with pytest.raises(GivenUp):
        lock(subject(asking, project), publish=publish, resolver="pip")
    (first,) = published
    assert packages(first).keys() == {"alpha"} and first.lock["missing"] == ["beta"]
    assert "not resolved when the run had ended: beta" in first.lock["reason"]
