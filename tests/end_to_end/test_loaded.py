"""What a run really loaded is in its record, comes back on checkout, and is what a replay runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Result, write_files
from tests.end_to_end.test_record import only_run, record_of, run_ids
from tests.unit.recording.helpers import wait_for

Git = Callable[..., Result]
Gitrun = Callable[..., Result]
IGNORE = "_version.py\n*_pb2.py\n*.so\n"


def lines(git: Git, repo: Path, run_id: str | None = None) -> dict[str, dict[str, Any]]:
    """The `loaded` lines of a run, by path."""
    run_id = run_id or run_ids(git, repo)[-1]
    part = record_of(git, repo, run_id)["parts"].get("extra.jsonl")
    if part is None:
        return {}
    data = git("cat-file", "blob", f"refs/gitrun/runs/{run_id}:extra.jsonl", cwd=repo).stdout_bytes
    every = [json.loads(line) for line in data.splitlines()]
    return {line["path"]: line for line in every if line["reason"] == "loaded"}


def record(gitrun: Gitrun, repo: Path, *command: str, env: dict[str, str] | None = None) -> str:
    """Records a command, which must do well; the run's id."""
    done = gitrun("record", "--id-file", ".git/id", "--", *command, cwd=repo, env=env)
    assert done.code == 0, done.stderr
    return (repo / ".git/id").read_text().strip()


def replay(gitrun: Gitrun, repo: Path, run: str = "@") -> tuple[Any, str]:
    """The verdict of a replay, and what the replay printed."""
    done = gitrun("replay", "--json", run, cwd=repo)
    verdict = done.json()
    assert verdict["exit_match"] is True, (verdict, done.stderr)
    return verdict, gitrun("logs", verdict["replay"], cwd=repo).stdout


def test_ignored_generated_modules(make_repo: Callable[..., Path], gitrun: Gitrun, git: Git, tmp_path: Path) -> None:
    repo = make_repo({
        "train.py": "import pkg, pkg.msg_pb2\nprint(pkg.V, pkg.msg_pb2.M)\n",
        "pkg/__init__.py": "from pkg._version import V\n",
        ".gitignore": IGNORE,
    })  # fmt: skip
    write_files(repo, {"pkg/_version.py": "V = '1.0'\n", "pkg/msg_pb2.py": "M = 'm'\n", "pkg/unused_pb2.py": ""})
    record(gitrun, repo, sys.executable, "train.py")
    assert sorted(lines(git, repo)) == ["pkg/_version.py", "pkg/msg_pb2.py"]
    sealed = only_run(git, repo)
    assert sealed["coverage"]["loaded"] == "complete" and sealed["source"]["changed_during_run"] == []
    write_files(repo, {"pkg/_version.py": "V = '2.0'\n"})
    (repo / "pkg/msg_pb2.py").unlink()
    verdict, printed = replay(gitrun, repo, sealed["id"])
    assert printed == "1.0 m\n" and verdict["console"]["stdout"] is True
    assert gitrun("checkout", sealed["id"], str(tmp_path / "out"), cwd=repo).code == 0
    assert (tmp_path / "out/pkg/_version.py").read_text() == "V = '1.0'\n"
    assert git("status", "--porcelain", cwd=tmp_path / "out").stdout == ""


def test_a_module_on_pythonpath(make_repo: Callable[..., Path], gitrun: Gitrun, git: Git, tmp_path: Path) -> None:
    repo = make_repo({"train.py": "import helper.core\nprint(helper.core.X)\n"})
    write_files(tmp_path / "lib", {"helper/__init__.py": "", "helper/core.py": "X = 1\n", "other.py": ""})
    first = record(gitrun, repo, sys.executable, "train.py", env={"PYTHONPATH": str(tmp_path / "lib")})
    found = lines(git, repo)
    assert sorted(found) == [f"{tmp_path}/lib/helper/__init__.py", f"{tmp_path}/lib/helper/core.py"]
    assert found[f"{tmp_path}/lib/helper/core.py"]["module"] == "helper.core"
    verdict, printed = replay(gitrun, repo, first)
    assert printed == "1\n" and not any("helper" in cause for cause in verdict["causes"])
    write_files(tmp_path / "lib", {"helper/core.py": "X = 2\n"})
    verdict, printed = replay(gitrun, repo, first)
    assert printed == "1\n" and any("helper/core.py" in cause for cause in verdict["causes"])
    shutil.rmtree(tmp_path / "lib")
    verdict, printed = replay(gitrun, repo, verdict["replay"])
    assert printed == "1\n"
    assert lines(git, repo, verdict["replay"]).keys() == found.keys()
    done = gitrun("checkout", first, str(tmp_path / "out"), cwd=repo)
    assert f"{tmp_path}/out.loaded" in done.stderr
    assert Path(f"{tmp_path}/out.loaded{tmp_path}/lib/helper/core.py").read_text() == "X = 1\n"
    assert not (tmp_path / "lib").exists()


@pytest.mark.parametrize(
    "entry", ["os.path.join(os.path.dirname(os.path.abspath(__file__)), '../shared')", "sys.argv[1]"]
)
def test_an_edit_of_sys_path(
    make_repo: Callable[..., Path], gitrun: Gitrun, git: Git, tmp_path: Path, entry: str
) -> None:
    repo = make_repo({"train.py": f"import os, sys\nsys.path.append({entry})\nimport tool\nprint(tool.T)\n"})
    write_files(tmp_path / "shared", {"tool.py": "T = 'then'\n"})
    first = record(gitrun, repo, sys.executable, "train.py", str(tmp_path / "shared"))
    (path,) = lines(git, repo)
    assert os.path.realpath(path) == str(tmp_path / "shared/tool.py")
    assert replay(gitrun, repo, first)[1] == "then\n"
    (tmp_path / "shared/tool.py").write_text("T = 'now'\n")
    assert replay(gitrun, repo, first)[1] == "then\n"


def test_a_script_outside_the_repository(
    make_repo: Callable[..., Path], gitrun: Gitrun, git: Git, tmp_path: Path
) -> None:
    repo = make_repo()
    write_files(tmp_path / "bin", {"run.py": "import util\nprint(util.U)\n", "util.py": "U = 5\n"})
    record(gitrun, repo, sys.executable, str(tmp_path / "bin/run.py"))
    assert sorted(lines(git, repo)) == [f"{tmp_path}/bin/run.py", f"{tmp_path}/bin/util.py"]
    shutil.rmtree(tmp_path / "bin")
    assert replay(gitrun, repo)[1] == "5\n"


def test_a_script_of_a_shell(make_repo: Callable[..., Path], gitrun: Gitrun, git: Git, tmp_path: Path) -> None:
    repo = make_repo({".gitignore": "local.sh\n"})
    write_files(repo, {"local.sh": "echo here\n"})
    write_files(tmp_path, {"tool.sh": "#!/bin/sh\necho tool\n"})
    (tmp_path / "tool.sh").chmod(0o755)
    first = record(gitrun, repo, "sh", "local.sh")
    second = record(gitrun, repo, str(tmp_path / "tool.sh"))
    assert list(lines(git, repo, first)) == ["local.sh"]
    assert lines(git, repo, second)[f"{tmp_path}/tool.sh"]["mode"] == "100755"
    os.unlink(repo / "local.sh")
    os.unlink(tmp_path / "tool.sh")
    assert replay(gitrun, repo, first)[1] == "here\n" and replay(gitrun, repo, second)[1] == "tool\n"


def built(source: Path, library: Path) -> None:
    """A shared library whose `answer()` is 42, compiled where there is a compiler, else a copy of one that is there."""
    source.write_text("int answer(void) { return 42; }\n")
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)


def test_a_library_built_in_place(make_repo: Callable[..., Path], gitrun: Gitrun, git: Git, tmp_path: Path) -> None:
    program = "import ctypes, os, sys\nprint(ctypes.CDLL(os.path.join({}, 'fast.so')).answer())\n"
    repo = make_repo({
        "here.py": program.format("os.path.dirname(os.path.abspath(__file__))"),
        "there.py": program.format("sys.argv[1]"),
        ".gitignore": IGNORE,
    })  # fmt: skip
    built(tmp_path / "fast.c", repo / "fast.so")
    (tmp_path / "lib").mkdir()
    shutil.copy(repo / "fast.so", tmp_path / "lib/fast.so")
    first = record(gitrun, repo, sys.executable, "here.py")
    second = record(gitrun, repo, sys.executable, "there.py", str(tmp_path / "lib"))
    assert list(lines(git, repo, first)) == ["fast.so"]
    assert list(lines(git, repo, second)) == [f"{tmp_path}/lib/fast.so"]
    os.unlink(repo / "fast.so")
    shutil.rmtree(tmp_path / "lib")
    assert replay(gitrun, repo, first)[1] == "42\n" and replay(gitrun, repo, second)[1] == "42\n"


EXTENSION = """
#include <Python.h>
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "fast", NULL, -1, NULL, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit_fast(void) {
    PyObject *made = PyModule_Create(&module);
    PyModule_AddIntConstant(made, "ANSWER", 42);
    return made;
}
"""


def test_an_extension_built_in_place(make_repo: Callable[..., Path], gitrun: Gitrun, git: Git, tmp_path: Path) -> None:
    include = sysconfig.get_path("include")
    if shutil.which("cc") is None or not os.path.exists(os.path.join(include, "Python.h")):
        pytest.skip("no C compiler, or no headers")
    repo = make_repo(
        {"train.py": "from pkg import fast\nprint(fast.ANSWER)\n", "pkg/__init__.py": "", ".gitignore": IGNORE}
    )
    (tmp_path / "fast.c").write_text(EXTENSION)
    library = repo / "pkg" / ("fast" + sysconfig.get_config_var("EXT_SUFFIX"))
    subprocess.run(["cc", "-shared", "-fPIC", f"-I{include}", "-o", str(library), str(tmp_path / "fast.c")], check=True)
    run_id = record(gitrun, repo, sys.executable, "train.py")
    assert list(lines(git, repo, run_id)) == [f"pkg/{library.name}"]
    library.unlink()
    assert replay(gitrun, repo, run_id)[1] == "42\n"


def test_a_working_copy_elsewhere_is_a_root_and_is_what_a_replay_imports(
    make_repo: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, gitrun: Gitrun, git: Git, tmp_path: Path
) -> None:
    from gitrun.monitor import SILENT
    from gitrun.recording.facts import FactFinder
    from gitrun.recording.record import record as run
    from gitrun.recording.request import RecordRequest

    repo = make_repo({"train.py": "import tool\nprint(tool.T, tool.V)\n"})
    other = make_repo(
        {"src/tool/__init__.py": "from tool._version import V\nT = 1\n", ".gitignore": IGNORE}, name="other"
    )
    write_files(other, {"src/tool/_version.py": "V = 'v1'\n", "src/tool/new.py": ""})
    real = FactFinder.while_it_runs

    def with_a_root(self: FactFinder) -> None:
        assert self._subject.add_roots([os.fsencode(other)]) == []
        real(self)

    monkeypatch.setattr(FactFinder, "while_it_runs", with_a_root)
    monkeypatch.chdir(repo)
    path = os.pathsep.join(filter(None, (str(other / "src"), os.environ.get("PYTHONPATH"))))
    request = RecordRequest([os.fsencode(sys.executable), b"train.py"])
    done = run(request, {**os.environ, "PYTHONPATH": path}, SILENT)
    sealed = record_of(git, repo, done.run_id)
    root = sealed["source"]["roots"][0]  # whatever the tests' own Python has installed from elsewhere comes after it
    assert (root["path"], root["kind"], root["dirty"], root["imported_from"]) == (str(other), "outside", True, ["src"])
    found = lines(git, repo, done.run_id)
    assert [(name, line["root"]) for name, line in found.items()] == [("src/tool/_version.py", 1)]
    shutil.rmtree(other)
    verdict, printed = replay(gitrun, repo, done.run_id)
    assert printed == "1 v1\n" and any(f"{other}: the record's copy" in note for note in verdict["notes"])
    assert gitrun("checkout", done.run_id, str(tmp_path / "out"), cwd=repo).code == 0
    assert sorted(os.listdir(tmp_path / "out.roots/1/src/tool")) == ["__init__.py", "_version.py", "new.py"]


def test_a_module_that_a_guard_left_out(make_repo: Callable[..., Path], gitrun: Gitrun, git: Git) -> None:
    repo = make_repo({"train.py": "import gen.a, gen._version\nprint(gen.a.A)\n", ".gitignore": IGNORE})
    write_files(repo, {"gen/a.py": "A = 1\n", "gen/b.py": "", "gen/_version.py": ""})
    record(gitrun, repo, sys.executable, "train.py", env={"GITRUN_RECORD_MAX_FILES": "0"})
    assert sorted(lines(git, repo)) == ["gen/_version.py", "gen/a.py"]
    (entry,) = [entry for entry in only_run(git, repo)["source"]["excluded"] if entry["path"] == "gen/"]
    assert (entry["path"], entry["files"], entry["loaded"]) == ("gen/", 2, 1), "the ignored one was no guard's"


def test_a_module_rewritten_between_start_and_import(make_repo: Callable[..., Path], gitrun: Gitrun, git: Git) -> None:
    rewrite = (
        "import time\ntime.sleep(0.05)\nopen('conf.py', 'w').write('C = 2\\n')\nimport conf, same\nprint(conf.C)\n"
        "open('same.py', 'a').write('# afterwards\\n')\n"
    )
    repo = make_repo({"train.py": rewrite, "conf.py": "C = 1\n", "same.py": "S = 1\n"})
    record(gitrun, repo, sys.executable, "train.py")
    assert only_run(git, repo)["source"]["changed_during_run"] == ["conf.py"]


def test_too_much_is_named_and_not_kept(make_repo: Callable[..., Path], gitrun: Gitrun, git: Git) -> None:
    repo = make_repo({"train.py": "import _version\n", ".gitignore": IGNORE})
    write_files(repo, {"_version.py": "V = '" + "x" * 5000 + "'\n"})
    record(gitrun, repo, sys.executable, "train.py", env={"GITRUN_RECORD_LOADED_BYTES": "1k"})
    sealed = only_run(git, repo)
    assert [(e["path"], e["reason"]) for e in sealed["source"]["excluded"]] == [("_version.py", "loaded_bytes")]
    assert sealed["coverage"]["loaded"] == [
        "1 file(s) that the run loaded, 5007 bytes, are not kept: see source.excluded"
    ]
    assert lines(git, repo) == {}


def test_a_rescuer_keeps_the_same(make_repo: Callable[..., Path], gitrun: Gitrun, git: Git, tmp_path: Path) -> None:
    script = "import _version, time, sys, os\nopen('ready', 'w').close()\ntime.sleep(60)\n"
    repo = make_repo({"train.py": script, ".gitignore": IGNORE + "ready\n"})
    write_files(repo, {"_version.py": "V = 1\n"})
    argv = [sys.executable, "-m", "gitrun", "record", "--", sys.executable, "train.py"]
    recorder = subprocess.Popen(argv, cwd=repo, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for((repo / "ready").exists)
    (member,) = (repo / ".git/gitrun/live").glob("2*/members/0")
    pids = json.loads((member / "keeper").read_text())
    recorder.kill()
    recorder.wait()
    os.kill(pids["command"][0], signal.SIGTERM)
    wait_for(lambda: run_ids(git, repo))  # the keeper seals it
    assert list(lines(git, repo)) == ["_version.py"]


def test_a_bug_in_one_fact_costs_only_that_fact(
    make_repo: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, git: Git
) -> None:
    from gitrun.capture import loaded
    from gitrun.monitor import SILENT
    from gitrun.recording import observing
    from gitrun.recording.record import record as run
    from gitrun.recording.request import RecordRequest

    def bug(*_: Any) -> Any:
        raise ZeroDivisionError("a bug")

    repo = make_repo({"train.py": "import random\nrandom.seed(3)\n"})
    monkeypatch.chdir(repo)
    monkeypatch.setattr(loaded.Finder, "find", bug)
    request = RecordRequest([os.fsencode(sys.executable), b"train.py"])
    assert run(request, dict(os.environ), SILENT).sealed
    sealed = only_run(git, repo)
    assert sealed["coverage"]["loaded"] == ["not captured: ZeroDivisionError: a bug"]
    assert sealed["process"]["observed"]["processes"]
    monkeypatch.setattr(observing, "read_observed", bug)
    done = run(request, dict(os.environ), SILENT)
    assert record_of(git, repo, done.run_id)["coverage"]["child"] == ["not captured: ZeroDivisionError: a bug"]
