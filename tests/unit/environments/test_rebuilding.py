"""Environments had again: built from the lockfile, kept by their digest, found still there, or refused precisely."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gitrun.errors import DestinationExists
from gitrun.replay.environments import Built, NotRebuilt, collect, create, rebuild, rebuilding, shelf_of
from gitrun.replay.environments.installing import bundled
from gitrun.replay.environments.shelf import KEEP_S
from tests.package_index import make_sdist, make_wheel
from tests.unit.environments.conftest import FROM_FILES, Lab

ALPHA = make_wheel("alpha", "1.0", **{"entry_points.txt": "[console_scripts]\nalpha = alpha:main\n"})
PRIVATE = make_wheel("private", "2.0+local", files={"private/data.bin": "x" * 5000})
Said = Callable[[Built, str], str]


@pytest.fixture
def full(lab: Lab) -> Lab:
    """alpha is on the index, private is in the store; the place where they were installed is gone."""
    lab.installation.install(ALPHA)
    lab.installation.install(PRIVATE, direct=FROM_FILES)
    lab.index.add(ALPHA)
    lab.seal()
    shutil.rmtree(lab.installation.prefix)
    return lab


def test_it_is_built_of_index_and_store_verified_and_kept(full: Lab, tool: str, said: Said) -> None:
    built = full.rebuild(tool=tool)
    assert (built.level, built.cached, built.notes) == ("same build", False, ())
    assert built.directory is not None and "private" in said(built, "import private; print(private.__file__)")
    code = "import alpha, sys; print(alpha.version, sys.prefix)"
    assert said(built, code).split() == ["1.0", built.directory]
    assert f"{built.directory}/bin/python" in Path(built.directory, "bin", "alpha").read_text()[:300]
    origin = "from importlib.metadata import distribution as d; print(d('private').read_text('direct_url.json'))"
    assert json.loads(said(built, origin)) == json.loads(FROM_FILES)
    assert said(built, origin.replace("private", "alpha")).strip() == "None"
    full.index.close()  # from here on there is no network
    again = full.rebuild(tool=tool)
    assert again.cached and again[:5] == built[:5]


def test_what_the_store_has_needs_no_index(lab: Lab, said: Said) -> None:
    for wheel in (ALPHA, PRIVATE):
        lab.installation.install(wheel)
    lab.index.add(ALPHA)
    lab.seal(vendor="all")
    shutil.rmtree(lab.installation.prefix)
    built = lab.rebuild()
    assert built.level == "same build" and lab.index.asked == []
    assert said(built, "import alpha, private; print(private.version)") == "2.0+local\n"


def test_what_uv_has_in_its_cache_needs_no_network(full: Lab) -> None:
    full.rebuild(tool="uv")
    with full.hand.open() as archive:
        shutil.rmtree(shelf_of(archive))
    full.index.close()
    assert (full.rebuild(tool="uv").level, full.rebuild().cached) == ("same build", True)


def test_an_installers_cache_that_something_wrote_into_is_found_out(full: Lab, world: Path) -> None:
    full.rebuild(tool="uv")
    with full.hand.open() as archive:
        shutil.rmtree(shelf_of(archive))
    (cached,) = (path for path in (world / "cache/uv").rglob("alpha/__init__.py") if path.is_file())
    cached.write_text(cached.read_text().replace("1.0", "6.6"))
    with pytest.raises(NotRebuilt, match=r"files are not those of their wheels: alpha/__init__\.py") as caught:
        full.rebuild(tool="uv")
    assert caught.value.next == "uv cache clean, then again"


def test_the_installers_that_python_brings_are_had_without_an_index(lab: Lab) -> None:
    wheels = bundled(os.path.realpath(sys.executable))
    if "pip" not in wheels:
        pytest.skip("this Python brings none")
    lab.installation.install((os.path.basename(wheels["pip"]), Path(wheels["pip"]).read_bytes()))
    lab.seal(lock=False)
    shutil.rmtree(lab.installation.prefix)
    built = lab.rebuild()
    assert (built.level, built.notes) == ("same build", ()) and lab.index.asked == []


def test_a_deleted_wheel_is_named(full: Lab) -> None:
    full.index.files["simple"].clear()
    with pytest.raises(NotRebuilt, match=r"alpha==1\.0 cannot be had any more, yanked, deleted") as caught:
        full.rebuild()
    assert caught.value.next == "gitrun replay abcdef --allow current"
    with full.hand.open() as archive:
        assert all(set(os.listdir(place)) == {"lock"} for place in Path(shelf_of(archive)).iterdir())


def test_another_wheel_of_the_same_name_is_refused(full: Lab) -> None:
    full.index.add((ALPHA[0], make_wheel("alpha", "1.0", files={"alpha/__init__.py": "version = 'evil'\n"})[1]))
    with pytest.raises(NotRebuilt, match=r"alpha"):
        full.rebuild()


def test_an_index_that_cannot_be_reached_is_said_to_be(full: Lab) -> None:
    full.index.close()
    with pytest.raises(NotRebuilt, match="no index could be reached"):
        full.rebuild()


def test_nothing_is_ever_built_from_source(lab: Lab, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    lab.installation.install(ALPHA)
    lab.index.add(ALPHA)
    lab.seal()
    shutil.rmtree(lab.installation.prefix)
    lab.index.files["simple"].clear()
    lab.index.add(make_sdist("alpha", "1.0", marker))
    with pytest.raises(NotRebuilt):
        lab.rebuild()
    assert not marker.exists()


def test_a_stored_wheel_that_is_gone_is_named(lab: Lab) -> None:
    lab.installation.install(PRIVATE, direct=FROM_FILES)
    lab.seal()
    shutil.rmtree(lab.installation.prefix)
    shutil.rmtree(Path(lab.hand.gitrun_dir, "store", "packs"))
    with pytest.raises(NotRebuilt, match="the stored wheel of private is gone"):
        lab.rebuild()


def test_without_a_lockfile_it_is_used_where_it_still_is(lab: Lab) -> None:
    lab.installation.install(ALPHA)
    lab.seal(lock=False)
    built = lab.rebuild()
    assert (built.level, built.directory) == ("in place", str(lab.installation.prefix))
    prefix = lab.installation.prefix
    note = f"the recorded environment is still in {prefix}, and was used there; it was not rebuilt: it has no lockfile"
    assert built.notes == (note,)
    lab.installation.install(make_wheel("beta", "1.0"))
    with pytest.raises(NotRebuilt, match="no lockfile") as caught:
        lab.rebuild()
    assert caught.value.next == "gitrun lock abcdef"
    built = lab.rebuild(allow="current")
    assert (built.level, built.directory, built.python) == ("current", None, None)


@pytest.mark.parametrize("wheel", [make_wheel("alpha", "1.1"), make_wheel("alpha", "1.0", files={"alpha/b.py": ""})])
def test_in_place_means_to_the_last_byte(lab: Lab, wheel: tuple[str, bytes]) -> None:
    lab.installation.install(ALPHA)
    lab.seal(lock=False)
    for entry in lab.installation.site.glob("alpha*"):
        shutil.rmtree(entry)
    lab.installation.install(wheel)
    with pytest.raises(NotRebuilt):
        lab.rebuild()


def another_build(value: dict[str, Any]) -> dict[str, Any]:
    value["python"]["build"].update(id="0" * 40, sha256=None)
    return value


def test_another_build_of_python_has_to_be_allowed(lab: Lab) -> None:
    lab.installation.install(ALPHA)
    lab.index.add(ALPHA)
    lab.seal(change=another_build)
    with pytest.raises(NotRebuilt, match="another build than the recorded one") as caught:
        lab.rebuild()
    assert "--allow same-version" in caught.value.next
    built = lab.rebuild(allow="same-version")
    assert built.level == "same version" and "another build" in built.notes[0]
    assert lab.rebuild(allow="current").cached
    with pytest.raises(NotRebuilt):
        lab.rebuild()


def test_a_wheel_of_the_right_version_with_another_content_has_to_be_allowed(lab: Lab) -> None:
    lab.installation.install(make_wheel("alpha", "1.0", files={"alpha/more.py": "1\n"}))
    lab.index.add(ALPHA)
    lab.seal()
    shutil.rmtree(lab.installation.prefix)
    for _ in range(2):
        with pytest.raises(NotRebuilt, match=r"the version is the recorded one, .*: alpha 1\.0"):
            lab.rebuild()
    assert lab.index.asked.count("/files/simple/alpha-1.0-py3-none-any.whl") <= 2, "it is not built again to be refused"
    assert lab.rebuild(allow="same-version").level == "same version"


def missing(value: dict[str, Any]) -> dict[str, Any]:
    value["python"]["version"] = "3.11.99"
    return value


def foreign(value: dict[str, Any]) -> dict[str, Any]:
    value["python"]["build"]["platform"] = "s390x-linux-gnu"
    return value


def from_conda(value: dict[str, Any]) -> dict[str, Any]:
    return {**value, "conda": [{"name": "blas", "version": "1.0"}]}


@pytest.mark.parametrize(
    ("change", "message", "next"),
    [
        (missing, r"CPython 3\.11\.99 is not on this machine", "uv python install 3.11.99"),
        (foreign, "it was recorded on s390x-linux-gnu, and this machine is", "replay it on such a machine"),
        (from_conda, "conda environment", "gitrun replay abcdef --allow current"),
    ],
)
def test_what_is_missing_is_said_with_what_to_type(lab: Lab, change: Any, message: str, next: str) -> None:
    lab.installation.install(ALPHA)
    lab.index.add(ALPHA)
    lab.seal(change=change)
    with pytest.raises(NotRebuilt, match=message) as caught:
        lab.rebuild(allow="same-version")
    if "pyenv" not in os.path.realpath(lab.installation.python):
        assert caught.value.next == next
    assert caught.value.next and lab.rebuild(allow="current").level == "current"


def test_a_program_that_is_no_python_needs_none(lab: Lab) -> None:
    lab.seal(change=lambda value: {**value, "python": None, "distributions": []})
    with lab.hand.open() as archive:
        assert rebuild(archive, lab.run) is None


def test_what_was_installed_into_it_since_is_not_used(full: Lab, said: Said) -> None:
    built = full.rebuild()
    assert built.directory is not None
    site = next(Path(built.directory, "lib").glob("python*")) / "site-packages"
    with zipfile.ZipFile(io.BytesIO(make_wheel("intruder", "1.0")[1])) as wheel:
        wheel.extractall(site)
    again = full.rebuild()
    assert not again.cached and again.directory == built.directory and not (site / "intruder-1.0.dist-info").exists()


def test_what_a_killed_builder_left_is_built_again(full: Lab) -> None:
    built = full.rebuild()
    assert built.directory is not None
    os.unlink(Path(built.directory).parent / "complete.json")
    shutil.rmtree(Path(built.directory, "lib"))
    assert not full.rebuild().cached and full.rebuild().cached


def test_two_that_want_it_build_it_once(full: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    builds: list[str] = []
    real = rebuilding.build
    monkeypatch.setattr(rebuilding, "build", lambda *words: builds.append("one") or real(*words))
    found: list[Built] = []
    threads = [threading.Thread(target=lambda: found.append(full.rebuild())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3 and {one.directory for one in found} == {found[0].directory} and len(builds) == 1


def test_the_collector_takes_what_nobody_uses(full: Lab) -> None:
    with full.hand.open() as archive:
        shelf = shelf_of(archive)
        built = rebuild(archive, full.run)
    assert built is not None and built.directory is not None and built.hold is not None
    (Path(shelf) / "broken").mkdir()
    assert collect(shelf, dry_run=True).environments == 1 and (Path(shelf) / "broken").exists()
    complete = Path(built.directory).parent / "complete.json"
    old = os.stat(complete).st_mtime - KEEP_S - 10
    os.utime(complete, (old, old))
    assert collect(shelf).environments == 1 and complete.exists(), "it is in use"
    built.hold.release()
    assert full.rebuild().cached, "which is a use"
    assert collect(shelf).environments == 0
    os.utime(complete, (old, old))
    gone = collect(shelf)
    assert gone.environments == 1 and gone.freed > 0 and os.listdir(shelf) == []
    assert not full.rebuild().cached


def test_it_is_made_in_a_directory_of_the_users(
    full: Lab, tmp_path: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "mine"
    with full.hand.open() as archive:
        built = create(archive, full.run, str(target))
        assert built is not None and said(built, "import sys; print(sys.prefix)").strip() == str(target)
        with pytest.raises(DestinationExists):
            create(archive, full.run, str(target))
        full.index.files["simple"].clear()
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
        (tmp_path / "other").mkdir()
        with pytest.raises(NotRebuilt):
            create(archive, full.run, str(tmp_path / "other"))
    assert os.listdir(tmp_path / "other") == []


def test_the_shelf_lies_in_the_archive_where_the_users_cache_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    no_worktree = SimpleNamespace(worktree=None)
    archive = SimpleNamespace(here=None, repo=no_worktree, gitrun_dir="/g", environ={})
    archive.environ["XDG_CACHE_HOME"] = str(tmp_path / "new" / "er")
    assert shelf_of(archive) == str(tmp_path / "new" / "er" / "gitrun" / "environments")  # type: ignore[arg-type]
    archive.environ["XDG_CACHE_HOME"] = str(tmp_path / "file" / "cache")
    assert shelf_of(archive) == "/g/cache/environments"  # type: ignore[arg-type]
