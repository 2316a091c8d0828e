"""A program does not notice the child: what it prints, how it ends, what it finds in its interpreter."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.child.twice import Both, Ended, both, killed, pythons

Twice = Callable[..., Both]
EACH_PYTHON = pytest.mark.parametrize("python", pythons(), ids=lambda path: "-".join(Path(path).parts[-3:]))

STATE = """
import sys, os, json
hidden = {"PYTHONPATH", "GITRUN_RUN_DIR"}
state = {
    "path": sys.path, "argv": sys.argv, "modules": sorted(set(sys.modules) - {"atexit"}),
    "finders": [str(type(finder)) + getattr(finder, "__name__", "") for finder in sys.meta_path],
    "hooks": [str(hook).partition(" at ")[0] for hook in sys.path_hooks], "importers": sorted(sys.path_importer_cache),
    "environ": {name: value for name, value in os.environ.items() if name not in hidden},
    "open": str(open), "import": str(__import__), "excepthook": str(sys.excepthook), "trace": str(sys.gettrace()),
    "fds": sorted(os.listdir("/proc/self/fd")), "cwd": os.getcwd(), "threads": len(os.listdir("/proc/self/task")),
}
import signal, threading, gc, warnings
state["signals"] = [str(signal.getsignal(number)) for number in range(1, 32)]
state["callbacks"], state["filters"] = len(gc.callbacks), [str(one) for one in warnings.filters]
import random, argparse
state["loaders"] = [vars(module.__spec__.loader) for module in (json, random, argparse)]
print(json.dumps(state, default=str, indent=1))
"""

TRACEBACKS = {
    "raises": "import broken\n",
    "cannot import": "from fine import nothing\n",
    "does not exist": "import nowhere.at.all\n",
    "does not parse": "import unparsed\n",
    "warns": "import warning\nwarning.call()\n",
    "in a thread": "import threading\nthreading.Thread(target=lambda: 1 / 0).start()\n",
    "at exit": "import atexit\natexit.register(lambda: print('bye'))\nraise ValueError('x')\n",
    "too deep": "def f(n):\n    return f(n + 1)\ntry:\n    f(0)\nexcept RecursionError as e:\n    print(e)\n",
    "parser": "import argparse\nargparse.ArgumentParser().parse_args(['--nope'])\n",
}

ENDINGS = {
    "normally": "pass",
    "with a code": "import sys; sys.exit(3)",
    "with a message": "import sys; sys.exit('over')",
    "at once": "import os; os._exit(7)",
    "at once, in a child": "import os\nif os.fork() == 0:\n    os._exit(5)\nprint(os.wait()[1] >> 8)",
    "by a signal": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "by an abort": "import os; os.abort()",
    "by an interrupt": "import os, signal; os.kill(os.getpid(), signal.SIGINT)",
    "by an exception": "raise LookupError('lost')",
    "wrongly": "import os\ntry:\n    os._exit()\nexcept TypeError as e:\n    print(e)\nos._exit(status=4)",
    "without descriptors": "import os; os.closerange(0, 256)",
    "without its own descriptors": "import os; os.closerange(3, 256); print(1)",
    "as another": "import os, sys; os.execv(sys.executable, [sys.executable, '-c', 'print(2)'])",
    "as another program": "import os; os.execvp('echo', ['echo', 'three'])",
    "after its directory": "import os; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone'); import colorsys",
    "as a daemon": (
        "import os, sys, time\nif os.fork():\n    os.wait(); print('up'); os._exit(0)\nos.setsid()\n"
        "if os.fork():\n    os._exit(0)\nos.closerange(0, 256)\nimport colorsys\nos._exit(0)"
    ),
    "as deep as it can be": (
        "import importlib, sys\ndef f(n):\n    try:\n        sys.modules.pop('colorsys', None)\n"
        "        importlib.import_module('colorsys')\n        return f(n + 1)\n    except RecursionError:\n"
        "        return n\nprint(f(0) > 50)\nimport wave"
    ),
    "with another interpreter": (
        "try:\n    import _xxsubinterpreters as inner\nexcept ImportError:\n    import _interpreters as inner\n"
        "one = inner.create()\n"
        "(getattr(inner, 'run_string', None) or inner.exec)"
        "(one, 'import sys, wave; print(sys.path, sorted({*sys.modules} - {\"atexit\"}))')"
    ),
    "with threads": (
        "import threading, colorsys, time\nthreads = [threading.Thread(target=__import__, args=(n,)) for n in "
        "('wave', 'chunk', 'cmd', 'csv', 'json')]\n[t.start() for t in threads]; [t.join() for t in threads]; print(5)"
    ),
}


def same(result: Both) -> None:
    assert result.child == result.bare


@EACH_PYTHON
def test_the_interpreter_is_as_without(twice: Twice, python: str) -> None:
    result = twice(STATE, "--lr", "1", python=python)
    assert result.bare.code == 0, result.bare.stderr
    assert result.child.stdout.decode() == result.bare.stdout.decode()
    same(result)
    assert [process.complete for process in result.observed.processes] == [True]


@pytest.mark.parametrize("name", TRACEBACKS)
@EACH_PYTHON
def test_errors_and_warnings_read_as_without(twice: Twice, work: Path, python: str, name: str) -> None:
    (work / "broken.py").write_text("def fail():\n    raise ValueError('broken')\nfail()\n")
    (work / "fine.py").write_text("")
    (work / "unparsed.py").write_text("def (\n")
    (work / "warning.py").write_text(
        "import warnings\nwarnings.warn('on import', stacklevel=2)\n"
        "def call():\n    warnings.warn('called', UserWarning, 2)\n"
    )
    same(twice(TRACEBACKS[name], python=python))


@pytest.mark.parametrize("name", ENDINGS)
def test_programs_end_as_without(twice: Twice, name: str) -> None:
    same(twice(ENDINGS[name]))


@pytest.mark.parametrize("name", ["at once, in a child", "as deep as it can be", "with threads", "wrongly"])
@EACH_PYTHON
def test_some_endings_on_each_release(twice: Twice, python: str, name: str) -> None:
    same(twice(ENDINGS[name], python=python))


@pytest.mark.parametrize(
    "customised",
    [
        "print('mine')\nimport json\n",
        "raise RuntimeError('mine')\n",
        "import nowhere\n",
        "import os\nos._exit(6)\n",
        "import sys\nprint(sys.path[:2], sorted(name for name in sys.modules if 'custom' in name))\n",
        "import sys\nsys.modules['sitecustomize'] = sys\n",
    ],
)
@EACH_PYTHON
def test_the_users_own_sitecustomize_runs(work: Path, run: Path, python: str, customised: str) -> None:
    home = work / "site"
    home.mkdir()
    (home / "sitecustomize.py").write_text(customised)
    same(
        both(
            ["-c", "import sys; print(sys.modules.get('sitecustomize'))"],
            work,
            run,
            python=python,
            PYTHONPATH=str(home),
        )
    )


def test_a_sitecustomize_that_exits_ends_python(work: Path, run: Path) -> None:
    home = work / "site"
    home.mkdir()
    (home / "sitecustomize.py").write_text("raise SystemExit(3)\n")
    result = both(["-c", "print(1)"], work, run, PYTHONPATH=str(home))
    assert (result.child.code, result.child.stdout) == (result.bare.code, result.bare.stdout)
    assert b"SystemExit: 3" in result.child.stderr


@pytest.mark.parametrize("words", [["-I"], ["-E"], ["-S"]])
def test_an_isolated_python_is_left_alone(work: Path, run: Path, words: list[str]) -> None:
    result = both([*words, "-c", "import sys; print(sys.path, sorted(sys.modules))"], work, run)
    if words != ["-S"]:  # its path has the directory: nobody was there to take it out
        same(result)
    assert result.observed.processes == []


@pytest.mark.parametrize("value", ["", "a", "a::b", "a:"])
def test_the_users_pythonpath_is_what_it_was(work: Path, run: Path, value: str) -> None:
    same(both(["-c", "import sys; print(sys.path)"], work, run, PYTHONPATH=value))


@pytest.mark.parametrize(
    "words",
    [
        ["-c", "import sys; print(sys.argv)", "a"],
        ["-m", "program", "a"],
        ["-X", "utf8", "-W", "error", "program.py"],
        ["-u", "-B", "-O", "program.py"],
        [b"program.py", b"\xff\xfe"],
        ["-"],
        ["."],
    ],
)
def test_each_way_of_starting(work: Path, run: Path, words: list[str | bytes]) -> None:
    script = "import sys, colorsys; print(ascii(sys.argv), __name__, getattr(__spec__, 'name', None))\n"
    (work / "program.py").write_text(script)
    (work / "__main__.py").write_text(script)
    result = both(words, work, run, stdin=script.encode())
    same(result)
    assert result.observed.processes[0].complete


def test_scripts_with_the_names_of_modules(twice: Twice, work: Path) -> None:
    for name in ("zlib", "struct", "binascii", "typing", "re", "json", "report", "hooks", "gitrun", "sitecustomize"):
        (work / f"{name}.py").write_text(f"print('{name} was imported')\n")
    result = twice("import colorsys\nprint('done')\n", HF_TOKEN="very-secret-token")
    same(result)
    assert result.observed.processes[0].complete and result.observed.problems == []


@EACH_PYTHON
def test_a_tracer_sees_no_file_of_ours(twice: Twice, python: str) -> None:
    result = twice(
        "import sys\nseen = set()\n"
        "def trace(frame, *_):\n    seen.add(frame.f_code.co_filename); return trace\n"
        "sys.settrace(trace)\nimport argparse, random, wave\nrandom.seed(1)\n"
        "argparse.ArgumentParser().parse_args([])\nsys.settrace(None)\n"
        "print(*sorted(name for name in seen if not name.startswith('<')), sep='\\n')\n",
        python=python,
    )
    new = set(result.child.stdout.splitlines()) - set(result.bare.stdout.splitlines())
    assert {os.path.basename(path) for path in new} <= {b"os.py", b"genericpath.py", b"posixpath.py"}  # what we call
    assert b"argparse.py" in result.bare.stdout


def test_import_times_are_about_the_same_modules(work: Path, run: Path) -> None:
    result = both(["-X", "importtime", "-c", "import json"], work, run)

    def names(ended: Ended) -> set[bytes]:
        return {line.rpartition(b"|")[2].strip() for line in ended.stderr.splitlines()}

    assert names(result.child) - names(result.bare) <= {b"atexit"}
    assert result.child.stdout == result.bare.stdout


def test_a_verbose_python_ends_as_without(work: Path, run: Path) -> None:
    result = both(["-v", "-c", "print(1)"], work, run)
    assert (result.child.code, result.child.stdout) == (0, b"1\n")


def test_a_handlers_exception_comes_through(twice: Twice) -> None:
    """A handler may run in the middle of our lines; what it raises is the program's, our own mistakes are not."""
    result = twice(
        """
import os
class Late(Exception): pass
def handler(*_): raise Late
mistake = type(handler)(handler.__code__.replace(co_filename="<gitrun child>/x.py"), globals())
cells = [cell.cell_contents for cell in getattr(os._exit, "__closure__", None) or ()]
cells += [cell.cell_contents for one in cells for cell in getattr(one, "__closure__", None) or ()]
for child in [one for one in cells if type(one).__name__ == "_Child"]:
    child.load("report").handler, child.load("report").mistake = handler, mistake
    try:
        child.guarded("report", "handler")
    except Late:
        child.guarded("report", "mistake")
"""
    )
    same(result)
    assert result.observed.problems == [
        f"process {result.observed.processes[0].pid} could not report all: Late in x.py:4"
    ]


def test_random_functions_are_what_they_seem(twice: Twice) -> None:
    result = twice(
        "import random, pickle, inspect, copy\n"
        "print(inspect.signature(random.seed), random.seed.__name__, inspect.getsource(random.seed))\n"
        "random.seed(4); print(random.random()); pickle.loads(pickle.dumps(random.seed))(4); print(random.random())\n"
    )
    same(result)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_program_has_told_what_it_loaded(twice: Twice, work: Path, number: signal.Signals) -> None:
    (work / "model.py").write_text("")
    result = twice(
        f"import json, random, model, os, time\ntime.sleep(.01)\nimport wave\nos.kill(os.getpid(), {int(number)})\n"
    )
    assert result.child.code == result.bare.code == killed(number)
    (process,) = result.observed.processes
    assert not process.complete
    assert {"json", "random", "model"} <= {module.name for module in process.modules}


def test_a_run_that_is_over_is_left_alone(work: Path, tmp_path: Path) -> None:
    result = both(["-c", "import colorsys; print(1)"], work, tmp_path / "nowhere")
    same(result)
    assert not (tmp_path / "nowhere").exists()


def test_a_full_disk_is_no_problem(twice: Twice) -> None:
    result = twice(
        "import resource, signal\nresource.setrlimit(resource.RLIMIT_FSIZE, (900, 900))\n"
        "import argparse, colorsys, wave, random, decimal, asyncio\nprint(1)\n"
    )
    same(result)
    assert not result.observed.processes[0].complete
    assert [problem for problem in result.observed.problems if "torn" in problem] == []


def test_many_path_entries(work: Path, run: Path) -> None:
    value = ":".join(f"/nowhere/{number}" for number in range(3000))
    result = both(["-c", "import sys; print(len(sys.path))"], work, run, PYTHONPATH=value)
    same(result)
    assert len(result.observed.processes[0].start["path"]) > 3000


def test_a_path_that_is_not_utf8(work: Path, run: Path) -> None:
    odd = os.fsencode(work) + b"/\xff"
    os.mkdir(odd)
    with open(odd + b"/mod.py", "wb") as file:
        file.write(b"print(1)\n")
    with open(odd + b"/main.py", "wb") as file:
        file.write(b"import mod\n")
    result = both([odd + b"/main.py"], work, run)
    same(result)
    assert odd + b"/mod.py" in [module.path for module in result.observed.processes[0].modules]


def test_pytest_runs_as_without(twice: Twice, work: Path) -> None:
    (work / "test_it.py").write_text("import program\ndef test_it():\n    assert program.value == 2\n")
    (work / "program.py").write_text("value = 2\n")
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--durations=0", "-x", "test_it.py"]
    result = both(words, work, work.parent / "run", python=sys.executable)
    assert result.child.code == result.bare.code == 0, result.child.stdout
    assert "test_it" in {module.name for module in result.observed.processes[0].modules}
