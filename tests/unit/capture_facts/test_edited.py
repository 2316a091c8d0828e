"""Installed files compared with what their distributions list: edited, gone, put beside them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitrun.capture import edited as room
from gitrun.capture.edited import Installed, check_installed
from gitrun.capture.hash_memory import HashMemory
from gitrun.capture.record_file import Row
from gitrun.capture.site_files import Listing, list_site, unowned_files

LONG_AGO = 1_600_000_000


def row(path: str, content: bytes, algorithm: str = "sha256") -> str:
    digest = base64.urlsafe_b64encode(hashlib.new(algorithm, content).digest()).rstrip(b"=").decode()
    return f"{path},{algorithm}={digest},{len(content)}"


def install(site: Path, name: str, files: dict[str, bytes], more_rows: tuple[str, ...] = ()) -> Path:
    """A small distribution, installed long ago."""
    for path, content in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_bytes(content)
        os.utime(site / path, (LONG_AGO, LONG_AGO))
    metadata = site / f"{name}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n")
    rows = [*(row(path, content) for path, content in files.items()), f"{metadata.name}/RECORD,,", *more_rows]
    (metadata / "RECORD").write_text("\n".join(rows) + "\n")
    return metadata


def check(site: Path, **more: Any) -> Installed:
    return check_installed([os.fsencode(site)], **more)


def states(found: Installed) -> dict[str, str]:
    return {facts["path"]: facts["state"] for facts in found.edited}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "env/lib/python3.11/site-packages"
    install(path, "alpha", {"alpha/__init__.py": b"x = 1\n", "alpha/core.py": b"y = 2\n"})
    install(path, "beta", {"beta.py": b"z = 3\n"})
    return path


class TestEdited:
    def test_nothing_is_edited_in_what_was_just_installed(self, site: Path) -> None:
        assert check(site) == Installed([], [], 3, 3, [])

    def test_a_real_environment_is_as_it_was_installed(self, tmp_path: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True)
        (packages,) = (tmp_path / "env/lib").glob("python*/site-packages")
        found = check(packages, seconds=60)
        assert (found.edited, found.unowned, found.problems) == ([], [], [])
        assert found.hashed == found.of > 100
        (packages / "pip/__init__.py").write_text("print('hello')\n")
        assert states(check(packages, seconds=60)) == {"pip/__init__.py": "changed"}

    def test_an_edit_of_equal_size_is_found_by_its_content(self, site: Path) -> None:
        (site / "alpha/core.py").write_bytes(b"y = 9\n")
        (facts,) = check(site).edited
        assert facts == {
            "distribution": "alpha",
            "path": "alpha/core.py",
            "state": "changed",
            "bytes": 6,
            "sha256": hashlib.sha256(b"y = 9\n").hexdigest(),
        }

    def test_another_size_is_seen_without_time_to_hash(self, site: Path) -> None:
        (site / "alpha/core.py").write_bytes(b"much longer\n")
        found = check(site, seconds=0.0, hashed_bytes=0)
        assert (found.edited[0]["bytes"], found.edited[0]["sha256"], found.hashed) == (12, None, 0)

    def test_a_missing_file_is_named(self, site: Path) -> None:
        (site / "beta.py").unlink()
        assert states(check(site)) == {"beta.py": "missing"}

    def test_what_is_a_directory_or_a_pipe_now_has_changed_and_is_not_opened(self, site: Path) -> None:
        (site / "beta.py").unlink()
        os.mkfifo(site / "beta.py")
        (site / "alpha/core.py").unlink()
        (site / "alpha/core.py").mkdir()
        assert states(check(site)) == {"beta.py": "changed", "alpha/core.py": "changed"}

    def test_the_youngest_file_is_hashed_first(self, site: Path) -> None:
        big = {f"gamma/m{n}.py": b"#" * 1000 for n in range(20)}
        install(site, "gamma", big)
        (site / "gamma/m11.py").write_bytes(b"!" * 1000)
        found = check(site, hashed_bytes=1000)
        assert states(found) == {"gamma/m11.py": "changed"}
        assert found.hashed == 1
        assert found.of == 23

    def test_a_script_outside_is_compared_and_bookkeeping_is_not(self, tmp_path: Path) -> None:
        packages = tmp_path / "lib/python3.11/site-packages"
        wrong = "alpha-1.0.dist-info/INSTALLER,sha256=AAAA,400"
        install(packages, "alpha", {"../../../bin/tool": b"#!x\n"}, (wrong, "a/__pycache__/b.pyc,,"))
        assert check(packages).edited == []
        (tmp_path / "bin/tool").write_bytes(b"#!y\n")
        assert states(check(packages)) == {"../../../bin/tool": "changed"}

    def test_other_hashes_are_compared_too(self, site: Path) -> None:
        (site / "long.py").write_bytes(b"new")
        install(site, "delta", {}, (row("long.py", b"new", "sha512"),))
        assert check(site).edited == []
        (site / "long.py").write_bytes(b"old")
        assert [(facts["path"], facts["sha256"]) for facts in check(site).edited] == [("long.py", None)]

    def test_names_that_are_not_utf8_and_quoted_rows(self, site: Path) -> None:
        odd = os.fsencode(site) + b"/caf\xe9.py"
        Path(os.fsdecode(odd)).write_bytes(b"1")
        metadata = install(site, "delta", {"a,b.txt": b"2"})
        quoted = row("X", b"2").replace("X", '"a,b.txt"').encode()
        (metadata / "RECORD").write_bytes(row("X", b"0").encode().replace(b"X", b"caf\xe9.py") + b"\n" + quoted + b"\n")
        found = check(site)
        assert [facts["path"] for facts in found.edited] == ["caf\udce9.py"]
        assert found.unowned == []

    def test_the_order_of_directories_does_not_matter(self, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for n in range(30):
            (site / f"x{n}.py").touch()
        (site / "beta.py").unlink()
        (site / "alpha/core.py").write_bytes(b"")
        one = check(site)
        listed = os.listdir
        monkeypatch.setattr(os, "listdir", lambda path: sorted(listed(path), reverse=True))
        assert check(site) == one

    def test_a_directory_that_is_named_twice_counts_once(self, site: Path) -> None:
        (site.parents[2] / "lib64").symlink_to("lib")
        again = site.parents[2] / "lib64/python3.11/site-packages"
        assert check_installed([os.fsencode(site), os.fsencode(again)]).of == 3

    def test_no_more_are_named_than_the_bound(self, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room, "MOST_NAMED", 2)
        for path in (site / "alpha/__init__.py", site / "alpha/core.py", site / "beta.py"):
            path.unlink()
        for n in range(5):
            (site / f"x{n}.py").touch()
        found = check(site)
        assert (len(found.edited), [facts["path"] for facts in found.unowned]) == (2, ["x0.py", "x1.py"])
        assert found.problems == [
            "environment: 3 edited or missing files, of which 2 are named",
            "environment: 5 files of no distribution, of which 2 are named",
        ]


class TestDamage:
    @pytest.mark.parametrize(
        ("record", "said"),
        [
            (b"\xff\xfe\x00junk\n", "alpha: 1 line(s) of its RECORD cannot be read"),
            (b"alpha/core.py,sha256=x,many\n", "alpha: 1 line(s) of its RECORD cannot be read"),
            (b'"alpha/core.py,sha256=x,6\n', "alpha: 1 line(s) of its RECORD cannot be read"),
        ],
    )
    def test_a_broken_record_is_told(self, site: Path, record: bytes, said: str) -> None:
        (site / "alpha-1.0.dist-info/RECORD").write_bytes(record)
        found = check(site)
        assert found.problems == [f"environment: {said}"]
        assert found.of == 1  # beta's are compared as before

    def test_a_hash_of_no_known_kind_is_not_compared(self, site: Path) -> None:
        (site / "alpha-1.0.dist-info/RECORD").write_text("alpha/core.py,crc=1,6\nalpha/__init__.py,,\n")
        assert (check(site).edited, check(site).of) == ([], 1)

    def test_a_record_that_points_to_devices_reads_none(self, site: Path) -> None:
        install(site, "evil", {}, ("/dev/zero,sha256=x,1", "../" * 20 + "dev/tty,sha256=x,1"))
        start = time.monotonic()
        assert "/dev/zero" in states(check(site))
        assert time.monotonic() - start < 2

    def test_no_site_at_all(self, tmp_path: Path) -> None:
        assert check(tmp_path / "nothing") == Installed([], [], 0, 0, [])

    @given(st.binary(max_size=300))
    def test_no_record_raises(self, tmp_path_factory: pytest.TempPathFactory, record: bytes) -> None:
        packages = tmp_path_factory.mktemp("s") / "site-packages"
        install(packages, "alpha", {"alpha.py": b""})
        (packages / "alpha-1.0.dist-info/RECORD").write_bytes(record)
        check(packages, seconds=0.2, hashed_bytes=1000)


class TestUnowned:
    def test_files_that_no_distribution_lists(self, site: Path) -> None:
        (site / "alpha/debug.py").write_text("1")
        (site / "hook.pth").write_text("import os\n")
        (site / "sitecustomize.py").write_text("2")
        (site / "alpha/__pycache__").mkdir()
        (site / "alpha/__pycache__/core.cpython-311.pyc").touch()
        (site / "old.pyc").touch()
        (site / "_virtualenv.py").touch()
        found = check(site).unowned
        assert [(facts["path"], facts["bytes"]) for facts in found] == [
            ("alpha/debug.py", 1),
            ("hook.pth", 10),
            ("sitecustomize.py", 1),
        ]
        assert [facts["sha256"] for facts in found[1:]] == [
            hashlib.sha256(b"import os\n").hexdigest(),
            hashlib.sha256(b"2").hexdigest(),
        ]

    def test_a_distribution_without_record_owns_what_lies_below_its_names(self, site: Path) -> None:
        (site / "Old_Thing-1.0.egg-info").mkdir()
        (site / "Old_Thing-1.0.egg-info/top_level.txt").write_text("oldie\n")
        (site / "oldie").mkdir()
        (site / "oldie/a.py").touch()
        (site / "old_thing.py").touch()
        (site / "older.py").touch()
        assert [facts["path"] for facts in check(site).unowned] == ["older.py"]

    def test_what_pip_once_listed_beside_old_metadata_counts(self, site: Path) -> None:
        (site / "old-1.0.egg-info").mkdir()
        (site / "old-1.0.egg-info/installed-files.txt").write_text("../odd.py\nPKG-INFO\n")
        (site / "odd.py").touch()
        (site / "old.py").touch()
        assert [facts["path"] for facts in check(site).unowned] == ["old.py"]

    def test_a_directory_on_pythonpath_is_source_and_only_compared(self, tmp_path: Path) -> None:
        install(tmp_path / "vendored", "alpha", {"alpha.py": b"1"})
        (tmp_path / "vendored/mine.py").touch()
        (tmp_path / "vendored/alpha.py").write_bytes(b"2")
        found = check(tmp_path / "vendored")
        assert (states(found), found.unowned) == ({"alpha.py": "changed"}, [])

    def test_links_are_not_followed(self, site: Path, tmp_path: Path) -> None:
        (tmp_path / "home").mkdir()
        (tmp_path / "home/secret.py").touch()
        (site / "linked").symlink_to(tmp_path / "home")
        (site / "loop").symlink_to(site)
        (tmp_path / "shared").mkdir()
        (site / "gamma").symlink_to(tmp_path / "shared")
        install(site, "gamma", {"gamma/one.py": b"1"})
        assert [facts["path"] for facts in check(site).unowned] == ["linked", "loop"]

    def test_a_walk_that_takes_too_long_stops_and_says_so(self, site: Path) -> None:
        assert not unowned_files(os.fsencode(site), Listing([], set(), set()), time.monotonic() - 1).whole
        found = check(site, seconds=-1.0)
        assert any("not all files were looked for in time" in problem for problem in found.problems)

    def test_the_reader_of_records_leaves_compiled_files_out(self, site: Path) -> None:
        install(site, "gamma", {"gamma.py": b""}, ("__pycache__/gamma.cpython-311.pyc,,",))
        listing = list_site(os.fsencode(site), [])
        assert [each.path for each in listing.rows if each.distribution == "gamma"] == [b"gamma.py"]


class TestConda:
    def package(self, site: Path, name: str, paths: dict[str, str | None]) -> None:
        meta = site.parents[2] / "conda-meta"
        meta.mkdir(exist_ok=True)
        data = {"paths": [{"_path": path, "sha256_in_prefix": digest} for path, digest in paths.items()]}
        (meta / f"{name}.json").write_text(json.dumps({"name": name, "files": list(paths), "paths_data": data}))

    def test_what_conda_lists_is_owned_and_its_own_changes_are_no_edits(self, site: Path) -> None:
        below = "lib/python3.11/site-packages/"
        (site / "condas.py").touch()
        (site / "mine.py").touch()
        (site / "beta.py").write_bytes(b"prefix\n")
        (site / "alpha/core.py").write_bytes(b"edited\n")
        relocated = hashlib.sha256(b"prefix\n").hexdigest()
        self.package(site, "condas", {below + "condas.py": None, below + "beta.py": relocated})
        found = check(site)
        assert (states(found), [facts["path"] for facts in found.unowned]) == (
            {"alpha/core.py": "changed"},
            ["mine.py"],
        )

    def test_scripts_are_not_judged_and_broken_lists_are_passed_over(self, site: Path) -> None:
        install(site, "gamma", {}, ("../../bin/tool,sha256=x,1",))
        self.package(site, "condas", {})
        (site.parents[2] / "conda-meta/bad.json").write_text('{"files": 3, "paths_data": [')
        (site.parents[2] / "conda-meta/odd.json").write_text('{"files": 3, "paths_data": {"paths": [1, {"_path": 2}]}}')
        (site / "mine.py").touch()
        found = check(site)
        assert (found.edited, len(found.unowned)) == ([], 1)


class TestMemory:
    def check(self, site: Path, cache: Path, **more: Any) -> Installed:
        return check(site, cache_dir=str(cache), **more)

    def test_what_was_hashed_is_not_hashed_again(self, site: Path, tmp_path: Path) -> None:
        (site / "alpha/core.py").write_bytes(b"y = 9\n")
        os.utime(site / "alpha/core.py", (LONG_AGO, LONG_AGO))
        first = self.check(site, tmp_path / "cache")
        assert self.check(site, tmp_path / "cache", hashed_bytes=0) == first
        assert (first.hashed, len(first.edited)) == (3, 1)

    def test_a_later_look_goes_on_where_one_stopped(self, site: Path, tmp_path: Path) -> None:
        seen = [self.check(site, tmp_path / "cache", hashed_bytes=6).hashed for _ in range(4)]
        assert seen == [1, 2, 3, 3]

    def test_an_edit_of_equal_size_is_seen_by_its_time(self, site: Path, tmp_path: Path) -> None:
        self.check(site, tmp_path / "cache")
        (site / "alpha/core.py").write_bytes(b"y = 9\n")
        assert states(self.check(site, tmp_path / "cache")) == {"alpha/core.py": "changed"}

    def test_another_record_is_compared_anew(self, site: Path, tmp_path: Path) -> None:
        self.check(site, tmp_path / "cache")
        (site / "beta-1.0.dist-info/RECORD").write_text(row("beta.py", b"z = 8\n") + "\n")
        assert states(self.check(site, tmp_path / "cache")) == {"beta.py": "changed"}

    def test_a_file_that_was_just_written_is_not_remembered(self, site: Path, tmp_path: Path) -> None:
        os.utime(site / "beta.py")
        self.check(site, tmp_path / "cache")
        assert self.check(site, tmp_path / "cache", hashed_bytes=0).hashed == 2

    @pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"version": 1, "right": 3, "wrong": {}}', b"\xff" * 99])
    def test_a_damaged_memory_is_empty(self, site: Path, tmp_path: Path, damage: bytes) -> None:
        self.check(site, tmp_path / "cache")
        (kept,) = (tmp_path / "cache").iterdir()
        kept.write_bytes(damage)
        assert self.check(site, tmp_path / "cache") == Installed([], [], 3, 3, [])

    def test_nothing_is_made_where_the_archive_was_moved_away(self, site: Path, tmp_path: Path) -> None:
        assert self.check(site, tmp_path / "gone/cache").hashed == 3
        assert not (tmp_path / "gone").exists()

    def test_vouchers_of_files_that_are_gone_are_forgotten(self, site: Path, tmp_path: Path) -> None:
        self.check(site, tmp_path / "cache")
        (site / "alpha/core.py").write_bytes(b"y = 9\n")
        os.utime(site / "alpha/core.py", (LONG_AGO + 5, LONG_AGO + 5))
        self.check(site, tmp_path / "cache")
        (kept,) = (tmp_path / "cache").iterdir()
        content = json.loads(kept.read_bytes())
        assert (len(content["right"]), len(content["wrong"])) == (2 * 24, 1)

    def test_without_a_directory_there_is_no_memory(self, site: Path) -> None:
        memory = HashMemory([os.fsencode(site)], None)
        beta = Row("beta", b"beta.py", b"sha256=x", 6)
        memory.keep(os.fsencode(site), beta, os.stat(site / "beta.py"), "")
        memory.close()
        assert memory.recall(os.fsencode(site), beta, os.stat(site / "beta.py")) is None
