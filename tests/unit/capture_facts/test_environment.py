"""The interpreter of a command and its distributions, found by reading files alone."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from gitrun.capture import distributions
from gitrun.capture import environment as room
from gitrun.capture.distributions import Installed, Memory, canonical_record, read_distributions
from gitrun.capture.environment import Environment, capture_environment
from gitrun.capture.interpreter import read_interpreter
from gitrun.capture.program import Program, find_program
from gitrun.model.canonical import decode, encode
from tests.conftest import write_files


def executable(path: Path, content: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(0o755)
    return path


def find(command: str, cwd: Path, **environ: str) -> Program:
    return find_program([os.fsencode(word) for word in command.split()], environ, os.fsencode(cwd))


def capture(command: str, cwd: Path, cache: Path | None = None, **environ: str) -> Environment:
    return capture_environment(find(command, cwd, **environ), os.fsencode(cwd), None if cache is None else str(cache))


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A made-up installation of Python 3.9.4 with nothing but the files that are read."""
    root = tmp_path / "opt"
    binary = executable(root / "bin" / "python3.9", "\x7fELF\0libpython3.9.so\0junk 3.9.4\0")
    (root / "bin" / "python").symlink_to("python3.9")
    (root / "lib/python3.9/site-packages").mkdir(parents=True)
    return binary


def install(site: Path, name: str, version: str, record: str | None = "", **files: str) -> Path:
    directory = site / f"{name.replace('-', '_')}-{version}.dist-info"
    write_files(
        directory, {"METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: no\n", **files}
    )
    if record is not None:
        (directory / "RECORD").write_text(record)
    return directory


def site_of(python: Path) -> Path:
    return python.parent.parent / "lib/python3.9/site-packages"


# --- which program


def test_a_program_is_searched_on_the_path_it_gets(tmp_path: Path, python: Path) -> None:
    found = find("python train.py", tmp_path, PATH=f"/nowhere::{python.parent}")
    assert found.binary == os.fsencode(python.parent / "python") and found.python and found.script_follows
    assert find("python train.py", tmp_path, PATH="/nowhere").binary is None


@pytest.mark.parametrize(
    ("line", "is_python"),
    [
        ("#!{python}\n", True),
        ("#! /usr/bin/env python\n", True),
        ("#!/usr/bin/env -S OMP_NUM_THREADS=1 python -u\n", True),
        ("#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n", True),
        ("#!/bin/sh\necho\n", False),
        ("#!/no/such/thing\n", False),
        ("#!\n", False),
        ("#!/usr/bin/env\n", False),
        ("echo no line at all\n", False),
    ],
)
def test_first_lines_of_scripts(tmp_path: Path, python: Path, line: str, is_python: bool) -> None:
    executable(tmp_path / "run", line.format(python=python))
    found = find("./run --lr 1", tmp_path, PATH=str(python.parent))
    assert (found.python, found.script_follows) == (is_python, False)
    assert found.file == os.fsencode(f"{tmp_path}/./run")


def test_scripts_that_name_each_other_end(tmp_path: Path) -> None:
    executable(tmp_path / "a", f"#!{tmp_path}/b\n")
    executable(tmp_path / "b", f"#!{tmp_path}/a\n")
    assert find("./a", tmp_path).binary is None


@pytest.mark.parametrize(
    ("command", "at"),
    [
        ("timeout -k 5 60 python x", 4), ("env -u A B=1 PYTHONPATH=p python x", 5), ("nice -n 5 nohup python x", 4),
        ("stdbuf -o L python x", 3), ("env", 0), ("timeout", 0), ("timeout 5", 1), ("env A=1", 1),
    ],
)  # fmt: skip
def test_wrappers_are_looked_through(tmp_path: Path, python: Path, command: str, at: int) -> None:
    found = find(command, tmp_path, PATH=str(python.parent))
    assert found.at == at
    assert found.python == ("python" in command)
    if "PYTHONPATH" in command:
        assert found.environ["PYTHONPATH"] == "p" and found.environ["B"] == "1"


def test_programs_that_start_others_are_named(tmp_path: Path) -> None:
    assert "bash may start further programs" in find("bash -c x", tmp_path, PATH="/bin:/usr/bin").problems[0]
    assert find("true", tmp_path, PATH="/bin:/usr/bin").problems == []


def test_an_empty_command_is_no_crash(tmp_path: Path) -> None:
    assert find("", tmp_path).binary is None
    assert find_program([b""], {}, b"/").binary is None
    assert find_program([b"\xff"], {"PATH": "/\udcff"}, b"/").binary is None


@pytest.fixture
def pyenv(tmp_path: Path) -> Path:
    root = tmp_path / "pyenv"
    for version in ("3.9.4", "3.9.18", "3.12.0"):
        executable(root / "versions" / version / "bin" / "python", "binary")
    executable(root / "shims" / "python", f'#!/usr/bin/env bash\nset -e\nexport PYENV_ROOT="{root}"\nexec pyenv exec\n')
    (root / "version").write_text("3.12.0\n")
    return root


def test_pyenv_takes_the_global_version_then_a_file_above_then_the_variable(tmp_path: Path, pyenv: Path) -> None:
    work = tmp_path / "a" / "b"
    work.mkdir(parents=True)

    def version(**environ: str) -> str | None:
        binary = find("python x", work, PATH=str(pyenv / "shims"), **environ).binary
        return None if binary is None else os.fsdecode(binary).split("/")[-3]

    assert version() == "3.12.0"
    (tmp_path / "a" / ".python-version").write_text("# chosen\n3.9\n")
    assert version() == "3.9.18"
    assert version(PYENV_VERSION="absent:3.9.4") == "3.9.4"
    assert version(PYENV_VERSION="absent") is None


def test_pyenv_with_the_system_python(tmp_path: Path, pyenv: Path, python: Path) -> None:
    path = f"{pyenv}/shims:{python.parent}"
    assert find("python x", tmp_path, PATH=path, PYENV_VERSION="system").binary == os.fsencode(python.parent / "python")


# --- which interpreter


def test_this_interpreter_is_known_without_running_it() -> None:
    found = read_interpreter(os.fsencode(sys.executable), dict(os.environ), b"/")
    assert found.version == ".".join(map(str, sys.version_info[:3]))
    assert os.fsdecode(found.prefix) == sys.prefix
    assert found.implementation == "CPython"
    real = {os.path.realpath(os.fsdecode(site)) for site in found.sites}
    assert {os.path.realpath(path) for path in sys.path if path.endswith("site-packages")} <= real


def test_version_from_the_header_or_the_binary(python: Path) -> None:
    assert read_interpreter(os.fsencode(python), {}, b"/").version == "3.9.4"
    write_files(python.parent.parent, {"include/python3.9/patchlevel.h": '#define PY_VERSION  "3.9.5rc1"\n'})
    assert read_interpreter(os.fsencode(python), {}, b"/").version == "3.9.5rc1"
    shutil.rmtree(python.parent.parent / "include")
    python.write_text("libpython3.9.so 13.9.4\0 3.9.x\0")
    unknown = read_interpreter(os.fsencode(python), {}, b"/")
    assert unknown.version == "3.9" and "exact version" in unknown.problems[0]
    write_files(python.parent.parent, {"lib/libpython3.9.so.1.0": "Python-3.9.6\0"})
    assert read_interpreter(os.fsencode(python), {}, b"/").version == "3.9.6"


def test_a_virtual_environment_has_its_own_packages(tmp_path: Path, python: Path) -> None:
    home = tmp_path / "home/.local/lib/python3.9/site-packages"
    write_files(tmp_path / "v", {"pyvenv.cfg": "home = x\ninclude-system-site-packages = false\n"})
    for directory in (tmp_path / "v/lib/python3.9/site-packages", tmp_path / "v/bin", home):
        directory.mkdir(parents=True)
    (tmp_path / "v/bin/python").symlink_to(python)
    binary = os.fsencode(tmp_path / "v/bin/python")
    environ = {"HOME": str(tmp_path / "home")}
    mine = os.fsencode(tmp_path / "v/lib/python3.9/site-packages")
    found = read_interpreter(binary, environ, b"/")
    assert (found.sites, found.prefix, found.version) == ([mine], os.fsencode(tmp_path / "v"), "3.9.4")
    (tmp_path / "v/pyvenv.cfg").write_text("include-system-site-packages = True\n")
    base = os.fsencode(site_of(python))
    assert read_interpreter(binary, environ, b"/").sites == [os.fsencode(home), mine, base]
    assert read_interpreter(binary, {**environ, "PYTHONNOUSERSITE": "1"}, b"/").sites == [mine, base]


def test_a_real_virtual_environment(tmp_path: Path) -> None:
    venv.create(tmp_path / "v", with_pip=False, symlinks=True)
    found = capture("v/bin/python x", tmp_path)
    python = {name: value for name, value in found.value["python"].items() if name != "build"}
    assert python == {"implementation": "CPython", "version": ".".join(map(str, sys.version_info[:3]))}
    assert found.value["distributions"] == [] and found.problems == []
    assert found.interpreter is not None and found.interpreter["prefix"] == str(tmp_path / "v")


def test_ten_thousand_entries_on_pythonpath(tmp_path: Path, python: Path) -> None:
    install(tmp_path / "extra", "extra", "1")
    environ = {"PYTHONPATH": "extra:" + ":".join(f"/x/{n}" for n in range(10_000))}
    found = capture(str(python), tmp_path, **environ)
    assert [each["name"] for each in found.value["distributions"]] == ["extra"]
    assert "10001 entries" in found.problems[0]


# --- which distributions


def test_distributions_agree_with_importlib_metadata() -> None:
    code = """
import importlib.metadata, json
print(json.dumps([[each.metadata['Name'], each.version] for each in importlib.metadata.distributions()]))"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, check=True)
    expected = {name.lower(): version for name, version in json.loads(done.stdout)}
    found = capture(f"{sys.executable} x", Path("/"))
    assert {each["name"].lower(): each["version"] for each in found.value["distributions"]} == expected
    assert all(each["record"] for each in found.value["distributions"])


def test_a_distribution_is_described_without_credentials(python: Path) -> None:
    origin = '{"url": "https://me:hunter2@host/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}'
    install(
        site_of(python), "My_Pkg", "1.0+cu121", WHEEL="Tag: py3-none-any\nTag: cp39-x\n", **{"direct_url.json": origin}
    )
    assert capture(str(python), Path("/")).value["distributions"] == [
        {
            "name": "My_Pkg", "version": "1.0+cu121", "tags": ["cp39-x", "py3-none-any"],
            "record": canonical_record(b""),
            "direct_url": {
                "url": "https://me:<secret:url>@host/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc"},
            },
        }
    ]  # fmt: skip


def test_distributions_are_sorted_and_the_first_on_the_path_counts(tmp_path: Path, python: Path) -> None:
    for name, version in (("zlib-ng", "1"), ("Attrs", "2"), ("b.c", "3")):
        install(site_of(python), name, version)
    install(tmp_path / "first", "b-c", "4")
    found = capture(str(python), tmp_path, PYTHONPATH="first").value["distributions"]
    assert [(each["name"], each["version"]) for each in found] == [("Attrs", "2"), ("b-c", "4"), ("zlib-ng", "1")]


def test_broken_distributions_become_problems_and_stay_listed(python: Path) -> None:
    site = site_of(python)
    install(site, "norecord", "1", record=None)
    install(site, "badurl", "1", **{"direct_url.json": "{"})
    install(site, "deepurl", "1", **{"direct_url.json": '{"a":' * 90 + "1" + "}" * 90})
    install(site, "oddurl", "1", **{"direct_url.json": '{"url": "\\ud800"}'})
    install(site, "badcsv", "1", record='"' + "a" * 200_000)
    (site / "empty-2.dist-info").mkdir()
    (site / ".dist-info").mkdir()
    (site / "file.dist-info").write_text("not a directory")
    (site / b"bytes\xff-1.dist-info".decode("utf-8", "surrogateescape")).mkdir()
    install(site, "twice", "1")
    install(site, "twice", "2")
    write_files(site / "old-3-py3.9.egg-info", {"PKG-INFO": "Name: old\nVersion: 3\n"})
    write_files(site, {"older-4.egg-info": "Name: older\nVersion: 4\n"})
    found = capture(str(python), Path("/"))
    names = [each["name"] for each in found.value["distributions"]]
    assert names == [
        "badcsv", "badurl", "bytes\udcff", "deepurl", "empty", "file", "norecord", "oddurl", "old", "older", "twice",
    ]  # fmt: skip
    for words in (
        "norecord: RECORD", "badurl: direct_url", "deepurl: direct_url", "badcsv: RECORD", "empty: its metadata",
        "has no name",
        "twice is installed twice",
    ):  # fmt: skip
        assert any(words in problem for problem in found.problems), words
    assert decode(encode(found.value)) == found.value


RECORD = b"b.py,sha256=B,2\r\na.py,sha256=A,1\r\na-1.dist-info/METADATA,sha256=M,3\r\n"


@pytest.mark.parametrize(
    "other",
    [
        b"a.py,sha256=A,1\na-1.dist-info/METADATA,sha256=M,3\nb.py,sha256=B,2\n",
        RECORD + b"__pycache__/a.cpython-39.pyc,,\n../../../bin/tool,sha256=X,9\n/abs/x,sha256=Y,1\n",
        RECORD + b"a-1.dist-info/INSTALLER,sha256=I,4\na-1.dist-info/REQUESTED,,\na-1.dist-info/RECORD,,\n",
        RECORD + b"a-1.dist-info/direct_url.json,sha256=D,5\na-1.dist-info/uv_cache.json,sha256=U,6\n\n",
        b'"b.py",sha256=B,2\r\na.py,"sha256=A",1\r\na-1.dist-info/METADATA,sha256=M,3',
    ],
)
def test_the_canonical_record_does_not_depend_on_the_installer(other: bytes) -> None:
    assert canonical_record(other) == canonical_record(RECORD)


@pytest.mark.parametrize("other", [RECORD.replace(b"=A", b"=Z"), RECORD.replace(b",1", b",7"), RECORD[17:], b""])
def test_the_canonical_record_depends_on_the_content(other: bytes) -> None:
    assert canonical_record(other) != canonical_record(RECORD)


def test_the_canonical_record_is_what_the_specification_says() -> None:
    lines = b"a-1.dist-info/METADATA,sha256=M,3\na.py,sha256=A,1\nb.py,sha256=B,2\n"
    assert canonical_record(RECORD) == hashlib.sha256(lines).hexdigest()


# --- the environment and its cache


def test_the_value_does_not_say_where_it_lies(tmp_path: Path, python: Path) -> None:
    install(site_of(python), "a", "1")
    shutil.copytree(tmp_path / "opt", tmp_path / "elsewhere", symlinks=True)
    here, there = (capture(str(tmp_path / root / "bin/python"), tmp_path) for root in ("opt", "elsewhere"))
    assert here.digest() == there.digest()
    assert here.interpreter != there.interpreter


def test_a_program_that_is_no_python(tmp_path: Path) -> None:
    executable(tmp_path / "tool", "binary")
    found = capture("./tool x", tmp_path)
    assert found.value["python"] is None and found.value["distributions"] == []
    sha256 = hashlib.sha256(b"binary").hexdigest()
    assert found.value["program"] == {"name": "tool", "bytes": 6, "sha256": sha256}
    with open(tmp_path / "tool", "r+b") as file:
        file.truncate(room.MAX_PROGRAM_BYTES + 1)
    assert capture("./tool x", tmp_path).value["program"]["sha256"] is None


def age(directory: Path) -> None:
    """Make everything old, so that the cache trusts it."""
    for path in [directory, *directory.rglob("*")]:
        os.utime(path, (time.time() - 100, time.time() - 100), follow_symlinks=False)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one each time distributions are really read."""
    count: list[int] = []

    def read(sites: list[bytes], memory: Memory) -> Installed:
        count.append(1)
        return read_distributions(sites, memory)

    monkeypatch.setattr(room, "read_distributions", read)
    return count


def test_an_environment_seen_before_is_not_read_again(tmp_path: Path, python: Path, reads: list[int]) -> None:
    install(site_of(python), "a", "1", **{"direct_url.json": '{"url": "file:///ä"}'})
    age(tmp_path)
    first = capture(str(python), tmp_path, tmp_path / "cache")
    second = capture(str(python), tmp_path, tmp_path / "cache")
    assert first == second and first.digest() == second.digest() and len(reads) == 1


def test_an_environment_changed_just_now_is_not_cached(tmp_path: Path, python: Path) -> None:
    install(site_of(python), "a", "1")
    capture(str(python), tmp_path, tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    assert file.name.startswith("distributions-") and json.loads(file.read_bytes())["memory"] == {}


CHANGES: dict[str, Callable[[Path], object]] = {
    "added": lambda site: install(site, "b", "1"),
    "removed": lambda site: shutil.rmtree(site / "a-1.dist-info"),
    "reinstalled": lambda site: (site / "a-1.dist-info/RECORD").write_text("x.py,sha256=X,1\n"),
    "interpreter": lambda site: (site.parents[2] / "bin/python3.9").write_text("3.9.7\0"),
    "venv": lambda site: (site.parents[2] / "pyvenv.cfg").write_text("home = x\n"),
}


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_changed_environment_is_read_again(tmp_path: Path, python: Path, reads: list[int], change: str) -> None:
    install(site_of(python), "a", "1")
    age(tmp_path)
    capture(str(python), tmp_path, tmp_path / "cache")
    CHANGES[change](site_of(python))
    capture(str(python), tmp_path, tmp_path / "cache")
    assert len(reads) == 2


LATER: dict[str, Callable[[Path, Path], object]] = {
    "of the user": lambda root, site: install(root / "home/.local/lib/python3.9/site-packages", "b", "1"),
    "on PYTHONPATH": lambda root, site: install(root / "extra", "b", "1"),
    "in a .pth file": lambda root, site: (site / "a.pth").write_text(f"{root}/there\n"),
    "named by a .pth file": lambda root, site: install(root / "named", "b", "1"),
}


@pytest.mark.parametrize("which", sorted(LATER))
def test_a_directory_that_comes_to_count_is_read(tmp_path: Path, python: Path, which: str) -> None:
    site = site_of(python)
    (site / "a.pth").write_text(f"# nothing yet\n{tmp_path}/named\n")
    install(tmp_path / "there", "b", "1")
    environ = {"HOME": str(tmp_path / "home"), "PYTHONPATH": "extra"}
    (tmp_path / "home").mkdir()
    age(tmp_path)
    assert capture(str(python), tmp_path, tmp_path / "cache", **environ).value["distributions"] == []
    LATER[which](tmp_path, site)
    age(tmp_path)
    (found,) = capture(str(python), tmp_path, tmp_path / "cache", **environ).value["distributions"]
    assert found["name"] == "b"


DAMAGED = [b"", b"{", b"[]", b'{"version": 1}', b'{"version": 1, "value": 3, "watched": []}', b"\xff", b"[" * 10_000]


@pytest.mark.parametrize("damage", DAMAGED, ids=[repr(each[:20]) for each in DAMAGED])
def test_a_damaged_cache_is_an_empty_one(tmp_path: Path, python: Path, reads: list[int], damage: bytes) -> None:
    age(tmp_path)
    first = capture(str(python), tmp_path, tmp_path / "cache")
    for file in (tmp_path / "cache").iterdir():
        file.write_bytes(damage.replace(b'"version": 1', b'"version": 2'))
    assert capture(str(python), tmp_path, tmp_path / "cache") == first
    assert len(reads) == 2


def test_installing_one_package_reads_one(tmp_path: Path, python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        install(site_of(python), name, "1")
    age(tmp_path)
    capture(str(python), tmp_path, tmp_path / "cache")
    read: list[bytes] = []
    real = distributions._read
    monkeypatch.setattr(distributions, "_read", lambda path, told: read.append(path) or real(path, told))
    install(site_of(python), "d", "2")
    found = capture(str(python), tmp_path, tmp_path / "cache")
    assert [each["name"] for each in found.value["distributions"]] == ["a", "b", "c", "d"]
    assert [os.path.basename(path) for path in read] == [b"d-2.dist-info"]


def test_where_a_package_was_installed_from_is_known(tmp_path: Path, python: Path) -> None:
    (tmp_path / "my project").mkdir()
    url = f"file://{tmp_path}/my%20project"
    install(site_of(python), "a", "1", **{"direct_url.json": json.dumps({"url": url, "dir_info": {"editable": True}})})
    install(site_of(python), "b", "1", **{"direct_url.json": '{"url": "https://host/b.whl", "archive_info": {}}'})
    (tmp_path / "old").mkdir()
    (site_of(python) / "old.egg-link").write_text(f"{tmp_path}/old\n.")
    (tmp_path / "old/old.egg-info").mkdir()
    (tmp_path / "old/old.egg-info/PKG-INFO").write_text("Name: old\nVersion: 3\n")
    found = capture(str(python), tmp_path)
    assert found.local == [os.fsencode(tmp_path / "my project"), os.fsencode(tmp_path / "old")]
    assert [each["name"] for each in found.value["distributions"]] == ["a", "b", "old"]


def test_a_process_that_reports_another_python_is_believed(tmp_path: Path, python: Path) -> None:
    install(site_of(python), "a", "1")
    start = {
        "executable": os.fsencode(python), "prefix": os.fsencode(python.parents[1]), "base_prefix": b"/opt",
        "implementation": "cpython", "version": "3.9.4", "path": [b"", os.fsencode(site_of(python))],
    }  # fmt: skip
    assert room.is_another(start, None) and room.is_another(start, {"prefix": "/usr"})
    assert not room.is_another(start, {"prefix": str(python.parents[1])})
    found = room.of_process(start, {}, b"/", str(tmp_path / "cache"))
    assert found.value == capture(str(python), tmp_path).value


def test_a_named_pipe_among_the_metadata_holds_nobody_up(tmp_path: Path, python: Path) -> None:
    install(site_of(python), "a", "1")
    for name in ("RECORD", "direct_url.json"):
        (site_of(python) / "a-1.dist-info" / name).unlink(missing_ok=True)
        os.mkfifo(site_of(python) / "a-1.dist-info" / name)
    assert [each["name"] for each in capture(str(python), tmp_path).value["distributions"]] == ["a"]


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path, python: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    age(tmp_path)
    assert capture(str(python), tmp_path, tmp_path / "file" / "cache").value["python"]["version"] == "3.9.4"
