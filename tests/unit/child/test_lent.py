"""`import gitrun` in a program whose own environment has none finds the recorder's, and nothing else is changed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gitrun.capture.observed import read_observed
from tests.metrics_journal import read_journals
from tests.unit.child.twice import Both, Ended, execute, pythons, variables

PACKAGE = str(Path(__file__).parents[3] / "gitrun")
EACH_PYTHON = pytest.mark.parametrize("python", pythons(), ids=lambda path: "-".join(Path(path).parts[-3:]))
# What an environment of the test's own has: this Python may have gitrun installed, for editing as well.
ALONE = "import os, sys\nsys.path[:] = [one for one in sys.path if not os.path.isdir(one + '/gitrun/child')]\n"


@pytest.fixture
def alone(work: Path, run: Path) -> Callable[..., Ended]:
    """Runs a program in a run, in an environment without gitrun."""

    def call(program: str, python: str = sys.executable) -> Ended:
        (work / "program.py").write_text(ALONE + program)
        return execute([python, "program.py"], work, variables(run))

    return call


@EACH_PYTHON
def test_it_logs_where_gitrun_is_not_installed(alone: Callable[..., Ended], run: Path, python: str) -> None:
    done = alone(
        "import importlib.util\nbefore = list(sys.path), list(map(str, sys.meta_path))\n"
        "spec = importlib.util.find_spec('gitrun')\nimport gitrun\ngitrun.log({'loss': 0.5})\n"
        "gitrun.config.update(lr=0.1)\ngitrun.seed(3)\n"
        "assert before == (list(sys.path), list(map(str, sys.meta_path)))\n"
        "assert spec.origin == gitrun.__file__ == gitrun.__spec__.origin\nprint(gitrun.__file__)\n",
        python,
    )
    assert done == Ended(0, f"{PACKAGE}/__init__.py\n".encode(), b"")
    found = read_journals(run)
    assert [point.values for point in found.points] == [{"loss": 0.5}] and len(found.of("config")) == 1


def test_what_the_programs_environment_has_comes_first(alone: Callable[..., Ended], work: Path) -> None:
    (work / "gitrun.py").write_text("said = 'the user'\n")
    assert alone("import gitrun; print(gitrun.said)").stdout == b"the user\n"
    (work / "gitrun.py").unlink()
    (work / "gitrun").mkdir()
    assert alone("import gitrun; print(list(gitrun.__path__))").stdout == f"['{work}/gitrun']\n".encode()


def test_a_finder_that_is_asked_later_comes_first(alone: Callable[..., Ended], work: Path) -> None:
    (work / "elsewhere.py").write_text("said = 'an editable install'\n")
    done = alone(
        "import importlib.util\nclass Finder:\n    @staticmethod\n    def find_spec(name, path=None, target=None):\n"
        "        place = 'elsewhere.py'\n"
        "        return importlib.util.spec_from_file_location(name, place) if name == 'gitrun' else None\n"
        "sys.meta_path += [Finder]\nimport gitrun; print(gitrun.said)"
    )
    assert done.stdout == b"an editable install\n", done.stderr


def test_no_other_name_is_found(alone: Callable[..., Ended]) -> None:
    done = alone(
        "from importlib.util import find_spec\nprint([find_spec(name) for name in ('gitrunner', 'child', 'gitru')])\n"
        "import gitrun\nprint(find_spec('gitrun.nothing'))\n"
        "from importlib.machinery import PathFinder\nhow = PathFinder.find_spec\n"
        "print(how('gitrun', []) is None, how.__name__, how.__self__)\n"
        "try:\n    import gitrun.nothing\nexcept ModuleNotFoundError as problem:\n    print(problem)\n"
    )
    assert done.stderr == b""
    assert done.stdout.decode().splitlines() == [
        "[None, None, None]",
        "None",
        "True find_spec <class '_frozen_importlib_external.PathFinder'>",
        "No module named 'gitrun.nothing'",
    ]


FAILING = (
    "import importlib, importlib.machinery, inspect\n"
    "for name in ('gitrunner', 'no.such', 'json.nothing'):\n    try:\n        importlib.import_module(name)\n"
    "    except ImportError:\n        import traceback\n        traceback.print_exc()\n"
    "print(inspect.getdoc(importlib.machinery.PathFinder.find_spec))\nimport nowhere\n"
)


@EACH_PYTHON
def test_an_import_that_fails_looks_as_without_it(twice: Callable[..., Both], python: str) -> None:
    both = twice(FAILING, python=python)
    assert both.child == both.bare and both.bare.code == 1


def test_the_lent_package_is_no_module_of_the_runs(alone: Callable[..., Ended], run: Path) -> None:
    from gitrun.capture.whereabouts import Territory, Whereabouts

    assert alone("import gitrun\ngitrun.log({'x': 1})\n").code == 0
    (process,) = read_observed(str(run / "members" / "0")).processes
    where = Whereabouts(Territory(b"/elsewhere", [], []), lambda sites: lambda path: None)
    mine = [module for module in process.modules if module.name.startswith("gitrun")]
    assert mine and [where.of(module.path) for module in mine] == [None] * len(mine)
