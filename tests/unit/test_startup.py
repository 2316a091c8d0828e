"""The way to the spawn of a recorded command loads nothing heavy, whichever module would bring it.

test_layers looks at what modules say; this looks at what Python has loaded in a real process: a
`sitecustomize` writes down sys.modules at the moment the command is executed. The budget is
milliseconds: pyarrow alone costs 109, typer 58 and 150 more when a command runs.
"""

from __future__ import annotations

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
