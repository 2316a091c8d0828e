"""The files that Python opened are told, also by a program that is killed; and `open` behaves as the function in C."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from gitrun.capture.observed import Process
from tests.unit.child.twice import Both, killed, pythons

Twice = Callable[..., Both]
EACH_PYTHON = pytest.mark.parametrize("python", pythons(), ids=lambda path: "-".join(Path(path).parts[-3:]))


def only(result: Both) -> Process:
    assert result.observed.problems == [] and result.child == result.bare
    (process,) = result.observed.processes
    return process


def opened(process: Process, place: Path) -> list[tuple[str, str]]:
    """What was opened below a directory, by paths relative to it."""
    start = os.fsencode(place) + b"/"
    return [(os.fsdecode(path.removeprefix(start)), mode) for path, mode in process.opened if path.startswith(start)]


EACH_WAY = """
import gzip, io, os, pathlib, tempfile, codecs, wave
for name in ("a.txt", "b.txt", "c.txt", "d.txt", "e.txt", "f.txt", "g.txt", "raw"):
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
open("a.txt").read(); open(file="b.txt", mode="rb").read()
pathlib.Path("c.txt").read_text(); open(b"d.txt").close(); io.open(os.path.abspath("e.txt"), "r").close()
open("written.txt", "w").close(); open("grown.txt", mode="a").close(); open("new.txt", "xb").close()
open("f.txt").close(); open("f.txt").close(); open("f.txt", "r+").close(); open("f.txt").close()
gzip.open("packed.gz", "wt").close(); codecs.open("coded.txt", "w", "utf-8").close()
with tempfile.NamedTemporaryFile(dir=".", suffix=".tmp") as made:
    made.write(b"x")
home = os.open("sub", os.O_RDONLY)
os.close(os.open("sub/h.txt", os.O_CREAT | os.O_WRONLY))
open("h.txt", opener=lambda name, flags: os.open(name, flags, dir_fd=home)).close()
open(os.dup(0)).close(); open("/dev/null").close(); open("/proc/self/stat").close()
try:
    open("nowhere")
except OSError as problem:
    print(repr(problem))
os.chdir("sub")
open("../g.txt").close()
"""


@EACH_PYTHON
def test_each_way_of_opening_a_file(twice: Twice, work: Path, python: str) -> None:
    (work / "sub").mkdir()
    script = "import shutil, os\n" + EACH_WAY + "os.chdir('..')\n[os.unlink(n) for n in ('new.txt', 'sub/h.txt')]\n"
    found = opened(only(twice(script, python=python)), work)
    assert [one for one in found if not one[0].endswith(".tmp")] == [
        *((f"{name}.txt", "r") for name in "abcde"),
        ("written.txt", "w"), ("grown.txt", "w"), ("new.txt", "w"),
        ("f.txt", "r"), ("f.txt", "w"),
        ("packed.gz", "w"), ("coded.txt", "w"),
        ("sub/h.txt", "r"), ("sub/../g.txt", "r"),
    ]  # fmt: skip


SEEMING = """
import builtins, copy, copyreg, functools, inspect, io, os, pathlib, pickle, types
print(open, open.__name__, open.__qualname__, open.__doc__, open.__self__, open.__text_signature__, dir(open))
print(inspect.signature(open), builtins.open is io.open, hasattr(open, "absent"))
print(isinstance(open, types.BuiltinFunctionType), inspect.isroutine(open), inspect.isbuiltin(open), callable(open))
for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
    assert pickle.loads(pickle.dumps(open, protocol)) is open
    assert pickle._loads(pickle._dumps(open, protocol)) is open
    assert pickle.loads(pickle.dumps(functools.partial(open, mode="rb"), protocol)).func is open
assert copy.copy(open) is open and copy.deepcopy({"open": open})["open"] is open
class Store:
    open = open
    read = staticmethod(open)
print(Store().open("data.txt").read(), Store().read("data.txt").read())
print({open: 1}[open], open == io.open, open != print)
@functools.wraps(open)
def mine(*args):
    return open(*args)
print(mine.__name__, inspect.signature(mine))
for wrong in (lambda: open(), lambda: open("data.txt", "q"), lambda: open("data.txt", mode=3), lambda: open(1.5),
              lambda: open("data.txt", nothing=1), lambda: open("a\\0b"), lambda: open("nowhere"), lambda: open("."),
              lambda: open("data.txt", opener=len), lambda: setattr(open, "x", 1), lambda: open.x):
    try:
        wrong()
    except Exception as problem:
        print(type(problem), problem if type(problem) is not AttributeError else "")  # the name of the type is another
"""


@EACH_PYTHON
def test_open_is_what_it_seems(twice: Twice, work: Path, python: str) -> None:
    (work / "data.txt").write_text("1")
    assert ("data.txt", "r") in opened(only(twice(SEEMING, python=python)), work)


REPLACED = {
    "by a mock": (
        "from unittest import mock\n"
        "with mock.patch('builtins.open', mock.mock_open(read_data='9')) as m:\n"
        "    print(open('x').read(), m.mock_calls)\n"
        "with mock.patch('builtins.open', mock.create_autospec(open, return_value=7)):\n"
        "    print(open('x'))\n    try:\n        open(no=1)\n    except TypeError as e:\n        print(e)\n"
        "with mock.patch('io.open', side_effect=PermissionError(5)):\n"
        "    import pathlib\n    try:\n        pathlib.Path('data.txt').open(); print('not through io')\n"
        "    except OSError as e:\n        print(e)\n"
    ),
    "as IPython does": (
        "import builtins, io, functools\n"
        "@functools.wraps(io.open)\n"
        "def modified(file, *args, **kwargs):\n"
        "    if file in {0, 1, 2}:\n        raise ValueError(file)\n    return io.open(file, *args, **kwargs)\n"
        "builtins.open = modified\n"
    ),
    "and put back": (
        "import builtins\nbefore = builtins.open\nbuiltins.open = lambda *a: before(*a)\n"
        "open('data.txt').close()\nbuiltins.open = before\n"
    ),
    "in one module": "from io import open\nopen('data.txt').close()\nimport os\nos.fdopen(os.dup(1), 'w').write('x')\n",
}


@pytest.mark.parametrize("how", REPLACED)
@EACH_PYTHON
def test_programs_that_replace_open(twice: Twice, work: Path, python: str, how: str) -> None:
    (work / "data.txt").write_text("1")
    process = only(twice(REPLACED[how] + "print(open('data.txt').read())\n", python=python))
    assert opened(process, work).count(("data.txt", "r")) == 1


def test_a_failing_open_has_one_line_more_in_its_traceback(twice: Twice) -> None:
    result = twice("open('nowhere')\n")
    more = [line for line in result.child.stderr.splitlines() if line not in result.bare.stderr.splitlines()]
    assert len(more) == 1 and more[0].startswith(b'  File "<gitrun child>/open", line ') and result.child.code == 1


def test_warnings_of_encodings_are_left_to_the_line_that_causes_them(twice: Twice) -> None:
    result = twice("open('program.py').close()\n", options=("-X", "warn_default_encoding"))
    assert b"program.py:1: EncodingWarning" in result.bare.stderr
    assert only(result).opened == [] and only(result).start["flags"]["warn_default_encoding"] == 1


@EACH_PYTHON
def test_a_killed_program_has_told_what_it_opened(twice: Twice, work: Path, python: str) -> None:
    for n in range(200):
        (work / f"{n}.txt").write_text("")
    result = twice(
        "import os, time\nopen('0.txt').close(); time.sleep(.11); open('1.txt').close()\n"
        "for n in range(2, 200):\n    open(f'{n}.txt').close()\n"
        f"os.kill(os.getpid(), {int(signal.SIGKILL)})\n",
        python=python,
    )
    assert result.child.code == killed(signal.SIGKILL)
    (process,) = result.observed.processes
    found = [name for name, _ in opened(process, work)]
    assert found == [f"{n}.txt" for n in range(len(found))] and 200 - 64 < len(found) <= 200 and not process.complete


def test_a_fork_tells_its_own_files_and_not_those_of_its_parent(twice: Twice, work: Path) -> None:
    result = twice(
        "import os\nopen('parent.txt', 'w').close()\nif os.fork() == 0:\n"
        "    open('parent.txt').close(); open('child.txt', 'w').close()\n    os._exit(0)\nos.wait()\n"
    )
    assert result.child == result.bare
    parent, child = result.observed.processes
    assert (opened(parent, work), opened(child, work)) == ([("parent.txt", "w")], [("child.txt", "w")])


def test_a_list_that_is_full_says_that_there_are_more(twice: Twice, work: Path) -> None:
    result = twice(
        "import os\nfor n in range(10_010):\n    name = f'/dev/shm/gitrun-{os.getpid()}-{n}'\n"
        "    open(name, 'w').close(); os.unlink(name)\nos.kill(os.getpid(), 9)\n".replace("/dev/shm/", f"{work}/")
    )
    (process,) = result.observed.processes
    assert len(process.opened) == 10_000 and process.opened_more


def test_nothing_is_listed_where_the_setting_says_so(twice: Twice) -> None:
    process = only(twice("print(type(open).__name__)\nopen('program.py').close()\n", GITRUN_RECORD_OPENED="no"))
    assert process.opened == [] and not process.opened_more


def test_the_files_of_the_run_and_of_modules_are_not_listed(twice: Twice, run: Path, work: Path) -> None:
    (work / "mine.py").write_text("value = 1\n")
    (run / "own.txt").write_text("")
    process = only(
        twice(f"import mine, time, wave\nopen({str(run / 'own.txt')!r}).close()\nopen(mine.__file__).close()\n")
    )
    told = [path for path, _ in process.opened if path != os.fsencode(work / "mine.py")]
    assert told == []


def test_an_exception_of_a_handler_is_the_programs(twice: Twice, work: Path) -> None:
    (work / "data.txt").write_text("")
    only(
        twice(
            "import signal\nclass Late(Exception): pass\ndef late(*_): raise Late\n"
            "signal.signal(signal.SIGALRM, late)\nseen = 0\n"
            "for n in range(200):\n    try:\n        signal.setitimer(signal.ITIMER_REAL, .0005)\n"
            "        while True: open('data.txt').close()\n    except Late: seen += 1\nprint(seen)\n"
        )
    )
