"""The way to the spawn of a recorded command loads nothing heavy, whichever module would bring it.

test_layers looks at what modules say; this looks at what Python has loaded in a real process: a
`sitecustomize` writes down sys.modules at the moment the command is executed. The budget is
milliseconds: pyarrow alone costs 109, typer 58 and 150 more when a command runs.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Result
from tests.unit.test_layers import HEAVY

NEVER = {"typer", "rich", "click", "pyarrow", "dulwich.porcelain", "dulwich.client", "numpy", "pydantic", "logging"}

AT_EXEC = """
import os, sys
def watch(name):
    real = getattr(os, name)
    def call(path, args, *rest, **more):
        if any(b"the-command" in os.fsencode(word) for word in args):
            with open(os.environ["MODULES_FILE"], "a") as file:
                file.write("\\n".join(sys.modules) + "\\n")
        return real(path, args, *rest, **more)
    setattr(os, name, call)
for name in ("execv", "execve", "posix_spawn", "posix_spawnp"):
    watch(name)
"""


def below(names: set[str], packages: set[str]) -> set[str]:
    return {name for name in names if any(name == p or name.startswith(p + ".") for p in packages)}


@pytest.fixture
def at_the_spawn(tmp_path: Path, gitrun: Callable[..., Result]) -> Callable[..., set[str]]:
    """Record a command and return the modules gitrun had loaded when it was executed."""
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(AT_EXEC)
    listing = tmp_path / "modules"

    def call(repo: Path, env: dict[str, str]) -> set[str]:
        hooked = {**env, "PYTHONPATH": str(hook), "MODULES_FILE": str(listing)}
        done = gitrun("record", "--", "sh", "-c", ": the-command", cwd=repo, env=hooked)
        assert done.code == 0, done.stderr
        loaded = set(listing.read_text().splitlines()) - {"sitecustomize"}
        assert "gitrun" in loaded
        return loaded

    return call


def test_importing_gitrun_loads_the_standard_library_alone() -> None:
    code = "import sys; before = set(sys.modules); import gitrun; print(*set(sys.modules) - before)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split()
    )
    assert "gitrun" in loaded
    assert not below(loaded, HEAVY)
    assert not {name for name in loaded if name.split(".")[0] not in {*sys.stdlib_module_names, "gitrun"}}


def test_record_loads_nothing_heavy(make_repo: Callable[..., Path], at_the_spawn: Callable[..., set[str]]) -> None:
    assert not below(at_the_spawn(make_repo(), {}), HEAVY)


def test_record_of_changed_files_loads_nothing_heavy(
    make_repo: Callable[..., Path], at_the_spawn: Callable[..., set[str]]
) -> None:
    repo = make_repo()
    (repo / "train.py").write_text("print('changed')\n")
    (repo / "new.py").write_text("print('new')\n")
    assert not below(at_the_spawn(repo, {}), HEAVY)


def test_without_git_only_the_needed_parts_of_dulwich_are_loaded(
    make_repo: Callable[..., Path], at_the_spawn: Callable[..., set[str]], no_git: dict[str, str]
) -> None:
    assert not below(at_the_spawn(make_repo(), no_git), NEVER - {"logging"})


# -- sealing

AT_EXIT = """
import os, sys
import gitrun.recording.job as job
real, leave = job.Handle.wait, os._exit
job.Handle.wait = lambda self, timeout_s: real(self, max(timeout_s, 60))
def told(code):
    if "gitrun.recording.seal" in sys.modules:
        with open(os.environ["MODULES_FILE"], "w") as file:
            file.write("\\n".join(sys.modules))
    leave(code)
os._exit = told
from gitrun.__main__ import main
main()
"""
OF_FILES = {
    "gitrun.capture.keeping", "gitrun.capture.written", "gitrun.recording.claiming", "gitrun.recording.storing_outputs",
    "gitrun.recording.neighbours", "gitrun.recording.remembering", "gitrun.recording.deferred", "gitrun.store.blobs",
    "gitrun.archive.entries",
}  # fmt: skip
OF_INPUTS = {
    "gitrun.capture.inputs",
    "gitrun.capture.digests",
    "gitrun.recording.storing_inputs",
    "gitrun.archive.traces",
}
OF_PROGRAMS = {
    "msgpack", "gitrun.capture.native", "gitrun.capture.processes", "gitrun.recording.configuring",
    "gitrun.capture.edited_loaded",
}  # fmt: skip
WHAT_WAS_SAID = {
    "gitrun.recording.logged", "gitrun.recording.measuring", "gitrun.recording.system_series", "gitrun.capture.series",
    "gitrun.recording.exposing", "gitrun.recording.merging", "gitrun.recording.recover", "pyarrow", "numpy",
}  # fmt: skip


@pytest.fixture
def at_the_end(tmp_path: Path, gitrun: Callable[..., Result]) -> Callable[..., set[str]]:
    """Record a command and return the modules the recorder had loaded when it ended.

    The command is made to have ended before anybody looks, so that nothing is loaded ahead.
    """
    program, listing = tmp_path / "watched.py", tmp_path / "modules"
    program.write_text(AT_EXIT)

    def call(repo: Path, *command: str) -> set[str]:
        environ = {**os.environ, "MODULES_FILE": str(listing)}
        words = [sys.executable, str(program), "record", "-q", "--", *command]
        subprocess.run(words, cwd=repo, env=environ, check=True, timeout=60)
        loaded = set(listing.read_text().splitlines())
        assert "gitrun.archive.seal" in loaded
        return loaded

    return call


def test_sealing_loads_nothing_for_what_a_command_did_not_do(
    make_repo: Callable[..., Path], at_the_end: Callable[..., set[str]]
) -> None:
    loaded = at_the_end(make_repo(), "true")
    assert loaded & (OF_FILES | OF_INPUTS | OF_PROGRAMS | WHAT_WAS_SAID) == set()


def test_sealing_a_python_program_that_read_and_wrote_nothing_loads_nothing_for_files(
    make_repo: Callable[..., Path], at_the_end: Callable[..., set[str]]
) -> None:
    python = os.path.realpath(sys.executable)  # gitrun itself may be installed in ours from its source, which is kept
    loaded = at_the_end(make_repo({"train.py": "print(1)\n"}), python, "train.py")
    assert loaded >= {"msgpack", "gitrun.capture.processes"}
    assert loaded & (OF_FILES | OF_INPUTS | WHAT_WAS_SAID) == set()


def test_sealing_outputs_loads_what_stores_them(
    make_repo: Callable[..., Path], at_the_end: Callable[..., set[str]]
) -> None:
    loaded = at_the_end(make_repo(), "sh", "-c", "echo 1 > made")
    assert loaded >= OF_FILES - {"gitrun.recording.deferred"}
    assert loaded & (OF_INPUTS | OF_PROGRAMS | WHAT_WAS_SAID) == set()


def test_what_a_long_run_needs_is_loaded_while_it_runs(make_repo: Callable[..., Path], tmp_path: Path) -> None:
    """What sealing a run that did a bit of everything needs is in the list of what is loaded ahead."""
    code = (
        "import os, sys\nimport gitrun.recording.record\nfrom gitrun.recording.ahead import loading\n"
        "for _ in loading(): pass\nbefore = set(sys.modules)\nleave = os._exit\n"
        "def told(code):\n"
        "    open(os.environ['MODULES_FILE'], 'w').write(repr(sorted(set(sys.modules) - before)))\n    leave(code)\n"
        "os._exit = told\nfrom gitrun.__main__ import main\nmain()\n"
    )
    (tmp_path / "ahead.py").write_text(code)
    program = (
        "import gitrun\nopen('data.csv').read()\nopen('out', 'w').write('1')\ngitrun.log_artifact('out')\n"
        "gitrun.log({'loss': 1.0})\n"
    )
    repo = make_repo({"train.py": program, ".gitignore": "data.csv\n"})
    (repo / "data.csv").write_text("1\n" * 20_000)
    environ = {**os.environ, "MODULES_FILE": str(tmp_path / "modules")}
    words = [sys.executable, str(tmp_path / "ahead.py"), "record", "-q", "--", sys.executable, "train.py"]
    subprocess.run(words, cwd=repo, env=environ, check=True, timeout=60)
    late = ast.literal_eval((tmp_path / "modules").read_text())
    sealing = [name for name in late if name.startswith(("gitrun.recording", "gitrun.store", "gitrun.archive"))]
    assert sealing == []
