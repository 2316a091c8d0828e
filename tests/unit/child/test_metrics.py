"""gitrun.log in a real process: what a call that has returned leaves behind, and what the program does not notice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.metrics_journal import Journals, read_journals
from tests.unit.child.twice import Ended, execute, pythons
from tests.unit.recording.helpers import wait_for

PACKAGE = str(Path(__file__).parents[3])
EACH_PYTHON = pytest.mark.parametrize("python", pythons(), ids=lambda path: "-".join(Path(path).parts[-3:]))
Logged = Callable[..., tuple[Ended, Journals]]


def environment(run: Path | None, **more: str) -> dict[str, str]:
    where = {} if run is None else {"GITRUN_RUN_DIR": str(run)}
    return {**os.environ, "PYTHONPATH": PACKAGE, "PYTHONDONTWRITEBYTECODE": "", **where, **more}


@pytest.fixture
def logged(work: Path, run: Path) -> Logged:
    """Runs a program in a run, and reads what it has logged."""

    def call(program: str, python: str = sys.executable, **more: str) -> tuple[Ended, Journals]:
        (work / "program.py").write_text("import gitrun, os, sys, time\n" + program)
        done = execute([python, "program.py"], work, environment(run, **more))
        return done, read_journals(run)

    return call


@EACH_PYTHON
def test_points_of_a_loop(logged: Logged, python: str) -> None:
    done, found = logged(
        "for i in range(1000):\n    gitrun.log({'loss': 1 / (i + 1), 'acc': i})\n"
        "gitrun.log({'loss': float('nan')}, step=5000)\ngitrun.log({'acc': 1})\ngitrun.log({'loss': 2}, 3)\n"
        "gitrun.log({'loss': 2, 'new': {'a': True}})\n",
        python,
    )
    assert (done.code, done.stdout, done.stderr) == (0, b"", b"")
    assert [point.step for point in found.points] == [*range(1000), 5000, 5001, 3, 4]
    assert found.points[10].values == {"loss": 1 / 11, "acc": 10.0}
    assert found.points[1000].values["loss"] != found.points[1000].values["loss"]
    assert found.points[-1].values == {"loss": 2.0, "new/a": 1.0}
    times = [point.time_ns for point in found.points]
    assert times == sorted(times) and abs(times[0] - time.time_ns()) < 60e9
    assert len({name for name, _ in found.maps}) == 1 and found.missing == 0
    (head,) = found.of("metrics")
    assert (head["format"], head["requires"], head["rank"]) == (1, [], None)


def test_every_point_whose_call_returned_survives_kill_9(work: Path, run: Path) -> None:
    program = (
        "import gitrun, os\nfor i in range(10**9):\n"
        "    gitrun.log({'loss': 0.5, 'acc': i})\n    os.write(1, b'%d\\n' % i)\n"
    )
    for delay in (0.05, 0.11, 0.17):
        with subprocess.Popen(
            [sys.executable, "-c", program], cwd=work, env=environment(run), stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay)
            process.kill()
            told = process.stdout.read().split()
        mine = [point for point in read_journals(run).points if point.file.startswith(f"metrics-{process.pid}-")]
        steps = [point.step for point in mine]
        assert steps == list(range(len(steps))) and len(steps) > int(told[-1]) > 100
        assert all(point.values == {"loss": 0.5, "acc": point.step} for point in mine)


def test_threads_forks_spawns_and_subprocesses(logged: Logged) -> None:
    done, found = logged(
        "import multiprocessing, subprocess, threading\n"
        "def work(n):\n    for i in range(300):\n        gitrun.log({'x': n, f'own{n}': i}, step=i)\n"
        "if __name__ == '__main__':\n"
        "    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]\n"
        "    [one.start() for one in threads]\n    [one.join() for one in threads]\n"
        "    for n, way in (4, 'fork'), (5, 'spawn'):\n"
        "        one = multiprocessing.get_context(way).Process(target=work, args=(n,))\n"
        "        one.start()\n        one.join()\n        assert one.exitcode == 0\n"
        "    if os.fork() == 0:\n        gitrun.log({'x': 6})\n        os._exit(0)\n    os.wait()\n"
        "    os.environ['RANK'] = '3'\n"
        "    subprocess.run([sys.executable, '-c', 'import gitrun; gitrun.log({\"x\": 7})'])\n"
        "    gitrun.log({'x': 8})\n"
    )
    assert (done.code, done.stderr) == (0, b"")
    for n in range(6):
        mine = [point for point in found.points if point.values["x"] == n]
        assert [point.values[f"own{n}"] for point in mine] == list(range(300))
        assert len({point.file for point in mine}) == 1
    files = [{point.file for point in found.points if point.values["x"] == n} for n in range(9)]
    assert files[0] == files[1] == files[2] == files[3] == files[8]
    assert len(set.union(*files)) == 5
    steps = {n: point.step for n in (6, 7, 8) for point in found.points if point.values["x"] == n}
    assert steps == {6: 0, 7: 0, 8: 300}
    assert sorted(head["rank"] or 0 for head in found.of("metrics")) == [0, 0, 0, 0, 3]


def test_the_rank_of_torch_is_asked_for_without_importing_it(logged: Logged) -> None:
    done, found = logged(
        "import types\ntorch = sys.modules['torch.distributed'] = types.ModuleType('torch.distributed')\n"
        "torch.is_initialized, torch.get_rank = lambda: True, lambda: 5\ngitrun.log({'x': 1})\n",
        SLURM_PROCID="0",
    )
    assert done.code == 0 and [head["rank"] for head in found.of("metrics")] == [5]


def test_a_program_that_closes_its_descriptors_and_opens_others(logged: Logged, work: Path) -> None:
    done, found = logged(
        "gitrun.log({'x': 1})\ngitrun.log({'x': 2})\nos.closerange(3, 4000)\n"
        "files = [open(f'own{n}', 'w') for n in range(20)]\ngitrun.log({'x': 3})\ngitrun.log({'x': 4})\n"
        "for one in files:\n    one.write('mine')\n    one.close()\n"
        "while True:\n    try:\n        os.dup(0)\n    except OSError:\n        break\n"
        "os.closerange(3, 4000)\nwhile os.open('big', os.O_WRONLY | os.O_CREAT, 0o600) < 1000:\n    pass\n"
        "time.sleep(1.2)\ngitrun.log({'x': 5})\n",
    )
    assert (done.code, done.stderr) == (0, b"")
    assert [point.values["x"] for point in found.points if point.step != 4] == [1, 2, 3, 4]
    assert 5 in [point.values["x"] for point in found.points]
    assert {(work / f"own{n}").read_text() for n in range(20)} == {"mine"} and (work / "big").read_bytes() == b""


def test_no_file_of_the_programs_gets_another_number(logged: Logged) -> None:
    done, _ = logged(
        "before = os.open('a', os.O_CREAT)\nos.close(before)\ngitrun.log({'x': 1})\nprint(os.open('a', 0) == before)\n"
        "print(sorted(int(fd) for fd in os.listdir('/proc/self/fd') if int(fd) > 90))\n"
        "import subprocess\nsubprocess.run(['ls', '/proc/self/fd'], close_fds=False)\n"
    )
    assert done.stdout.decode().split() == ["True", "[1000]", "0", "1", "2", "3"]


def test_a_variable_that_goes_takes_nothing_with_it(logged: Logged) -> None:
    done, found = logged(
        "gitrun.log({'x': 1})\nos.environ.clear()\nos.closerange(3, 4000)\ngitrun.log({'x': 2})\n"
        "if os.fork() == 0:\n    gitrun.log({'x': 3})\n    os._exit(0)\nos.wait()\n"
    )
    assert (done.code, done.stderr) == (0, b"")
    assert sorted(point.values["x"] for point in found.points) == [1, 2, 3]


def test_a_file_that_may_not_grow_is_left_for_another(logged: Logged) -> None:
    done, found = logged(
        "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))\n"
        "gitrun.log({'x': -1})\ntime.sleep(1.1)\n"
        "for i in range(250):\n    gitrun.log({'x': i})\n"
        "time.sleep(1.1)\ngitrun.log({'x': 1000})\n"
    )
    assert done.code == 0
    assert done.stderr == b"gitrun: metrics are not kept now: No space left on device\n"
    kept = [point.values["x"] for point in found.points]
    assert kept == sorted(kept) and kept[-1] == 1000 and len({point.file for point in found.points}) == 3
    assert len(kept) - 2 + found.missing == 250 and found.missing > 50
    assert all("No space left" in frame["why"] or "too large" in frame["why"] for frame in found.of("missing"))


def test_a_point_with_more_names_than_a_frame_may_have(logged: Logged) -> None:
    done, found = logged(
        "gitrun.log({f'{i}' + 'x' * 900: i for i in range(90000)}, step=3)\ngitrun.log({'after': 1})\n"
    )
    assert (done.code, done.stderr) == (0, b"")
    assert sum(len(point.values) for point in found.points) == 90001
    assert [point.step for point in found.points] == [3, 3, 3, 4]


def test_a_process_that_is_killed_while_nothing_can_be_written_leaves_a_mark(logged: Logged, run: Path) -> None:
    done, found = logged(
        "import resource\ngitrun.log({'x': 1})\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "for _ in range(3):\n    gitrun.log({'x': 2})\n    time.sleep(1.1)\nos.kill(os.getpid(), 9)\n"
    )
    assert done.code == -9 and [point.values["x"] for point in found.points] == [1]
    sizes = [os.path.getsize(path) for path in Path(run, "members", "0").glob("metrics-*")]
    assert len(sizes) == 2 and min(sizes) == 0


def test_a_run_that_is_over(logged: Logged) -> None:
    done, _ = logged(
        "import shutil\ngitrun.log({'x': 1})\nshutil.rmtree(os.environ['GITRUN_RUN_DIR'])\ntime.sleep(1.1)\n"
        "for _ in range(3):\n    gitrun.log({'x': 2})\ngitrun.config.update(a=1)\nprint('went on')\n"
    )
    assert done == Ended(0, b"went on\n", b"gitrun: metrics are not kept now: the run is over, or out of reach\n")


def test_outside_a_run_there_is_one_warning_and_then_nothing(work: Path) -> None:
    program = (
        "import gitrun\nfor _ in range(3):\n    gitrun.log({'x': 1})\ngitrun.config.update(a=1)\n"
        "gitrun.summary['b'] = 2\ngitrun.seed(1)\nprint(gitrun.config['a'], gitrun.summary['b'])\n"
        "gitrun.log_artifact('nothing')\ngitrun.log(3)\n"
    )

    def outside(**more: str) -> Ended:
        return execute([sys.executable, "-c", program], work, environment(None, **more))

    said = b"gitrun: not in a recorded run, so gitrun.log and the like do nothing\n"
    assert outside() == Ended(0, b"1 2\n", said)
    assert outside(GITRUN_DISABLE="1") == outside(GITRUN_QUIET="1") == Ended(0, b"1 2\n", b"")
    assert outside(GITRUN_DISABLE="0") == outside(GITRUN_QUIET="0") == outside()


def test_disabled_within_a_run(logged: Logged) -> None:
    done, found = logged("gitrun.log({'x': 1})\n", GITRUN_DISABLE="1")
    assert done == Ended(0, b"", b"") and found == Journals([], [])


def test_what_is_no_number_is_told_once_and_counted(logged: Logged) -> None:
    done, found = logged(
        "for i in range(100):\n    gitrun.log({'x': i, 'note': 'fine', 'grid': [1, 2]}, step=i)\n"
        "gitrun.log({'x': 5}, step=0.5)\ngitrun.log(['x'])\ngitrun.log({})\n"
    )
    assert done.code == 0
    assert done.stderr.decode().splitlines() == [
        "gitrun: note: a str is no number, and is left out",
        "gitrun: grid: a list is no number, and is left out",
        "gitrun: step: it is no integer of 64 bits, so the next one is taken",
        "gitrun: gitrun.log: a list is no dict, and is left out",
    ]
    assert [point.step for point in found.points] == list(range(101))
    notes = [frame["points"] for frame in found.of("missing") if frame["why"].startswith("note: ")]
    assert notes == [1, 1, 2, 4, 8, 16, 32]


def test_names_that_are_always_new_do_not_fill_the_memory(logged: Logged) -> None:
    done, found = logged(
        "for i in range(6000):\n    gitrun.log({f'x{i}': i}, step=i)\nfrom gitrun.child import metrics\n"
        "print(len(metrics._packers))\ngitrun.log({'x7': 1})\n"
    )
    assert (done.code, done.stdout, done.stderr) == (0, b"4096\n", b"")
    assert [point.values for point in found.points] == [*({f"x{i}": float(i)} for i in range(6000)), {"x7": 1.0}]


INTERRUPTED = """
import signal
class Late(Exception): pass
raised = caught = on_its_way = 0
def late(_, frame):
    global raised, on_its_way
    while frame is not None and not on_its_way:
        if "gitrun/child" in frame.f_code.co_filename:
            on_its_way = True
            raised += 1
            raise {kind}("late")
        frame = frame.f_back
gitrun.log({{"x": 1}})
signal.signal(signal.SIGALRM, late)
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
end = time.monotonic() + 1
while time.monotonic() < end:
    try:
        while time.monotonic() < end:
            gitrun.log({{"x": 1, "note": {{"y": 2}}}})
            gitrun.log({{"x": 1}})
    except {kind}:
        caught += 1
        on_its_way = False
signal.signal(signal.SIGALRM, signal.SIG_IGN)
print(raised, caught)
"""


@pytest.mark.parametrize("kind", ["Late", "TimeoutError", "KeyboardInterrupt", "ValueError"])
def test_exceptions_of_a_signals_handler_are_the_programs(logged: Logged, kind: str) -> None:
    done, found = logged(INTERRUPTED.format(kind=kind))
    assert done.code == 0 and done.stderr == b""
    raised, caught = map(int, done.stdout.split())
    assert raised == caught > 50 and found.missing == 0


def test_a_handler_may_log_while_the_program_does(logged: Logged) -> None:
    done, found = logged(
        "import signal\ndef tell(*_): gitrun.log({f'signal{time.monotonic_ns()}': 1})\n"
        "signal.signal(signal.SIGALRM, tell)\ngitrun.log({'x': 1})\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)\n"
        "for i in range(3000):\n    gitrun.log({f'x{i}': 1})\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\n"
    )
    assert (done.code, done.stderr) == (0, b"")
    assert len([point for point in found.points if next(iter(point.values)).startswith("x")]) == 3001


def test_as_deep_as_a_program_can_be(logged: Logged) -> None:
    done, found = logged(
        "def dive(n):\n    gitrun.log({'deep': n})\n    gitrun.log({'deep': {'er': n}})\n    dive(n + 1)\n"
        "try:\n    dive(0)\nexcept RecursionError:\n    print('up')\ngitrun.log({'deep': -1})\n"
    )
    assert done == Ended(0, b"up\n", b"")
    assert found.points[-1].values == {"deep": -1.0} and len(found.points) > 1000
    assert {frame["why"] for frame in found.of("missing")} <= {"RecursionError"}


def test_a_value_that_never_ends(logged: Logged) -> None:
    done, found = logged(
        "class Endless:\n    def __float__(self):\n        return float(self)\n"
        "gitrun.log({'x': 1, 'y': Endless()})\ngitrun.log({'x': 2})\nprint('went on')\n"
    )
    assert done == Ended(0, b"went on\n", b"")
    assert [point.values for point in found.points] == [{"x": 2.0}]
    assert found.of("missing")[0]["why"] == "RecursionError"


def test_threads_whose_descriptor_is_closed_under_them(logged: Logged) -> None:
    done, found = logged(
        "import threading\ndef work(n):\n    for i in range(2000):\n        gitrun.log({f'x{n}': i}, step=i)\n"
        "threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]\n"
        "[one.start() for one in threads]\n"
        "for _ in range(5):\n    time.sleep(0.01)\n    os.closerange(900, 4000)\n"
        "[one.join() for one in threads]\n"
    )
    assert (done.code, done.stderr, found.missing) == (0, b"", 0)
    for n in range(4):
        mine = sorted(point.values[f"x{n}"] for point in found.points if f"x{n}" in point.values)
        assert mine == list(range(2000))
    assert len({point.file for point in found.points}) <= 6


def test_config_summary_and_seed(logged: Logged) -> None:
    done, found = logged(
        "import random\nimport numpy\n"
        "gitrun.config.update({'model': {'layers': [1, 2]}}, lr=0.1)\n"
        "gitrun.config['api_key'] = 'sk-0123456789abcdef0123'\ngitrun.config['fn'] = lambda: 0\n"
        "gitrun.summary['best'] = numpy.float32(0.5)\n"
        "gitrun.summary['said'] = os.environ['SERVICE_TOKEN'] + '!'\n"
        "assert gitrun.config['lr'] == 0.1 and gitrun.config.setdefault('lr', 3) == 0.1 and len(gitrun.config) == 4\n"
        "gitrun.seed(7)\na = random.random(), numpy.random.rand()\ngitrun.seed(numpy.int64(7))\n"
        "assert a == (random.random(), numpy.random.rand())\n"
        "for bad in (-1, 1 << 63, 1.5, 'x'):\n    try:\n        gitrun.seed(bad)\n        print(bad)\n"
        "    except (ValueError, TypeError):\n        pass\n",
        SERVICE_TOKEN="very-secret-token-1",
        PYTHONHASHSEED="5",
    )
    assert (done.code, done.stdout, done.stderr) == (0, b"", b"")
    first, key, function = found.of("config")
    assert first["values"] == {"model.layers": [1, 2], "lr": 0.1} and first["unserialisable"] == []
    assert key["values"] == {"api_key": "<secret:api_key>"} and function["unserialisable"] == ["fn"]
    assert [frame["values"] for frame in found.of("summary")] == [{"best": 0.5}, {"said": "<secret:SERVICE_TOKEN>!"}]
    seed = {"kind": "seed", "value": 7, "seeded": ["random", "numpy"], "PYTHONHASHSEED": "5"}
    assert found.of("seed") == [seed, seed]


def test_a_run_that_begins_in_this_process(work: Path, run: Path) -> None:
    program = (
        "import gitrun, os, sys\nfrom gitrun.child.metrics import forget\ngitrun.log({'x': 0})\n"
        "os.environ['GITRUN_RUN_DIR'] = sys.argv[1]\nforget()\ngitrun.log({'x': 1})\n"
        "del os.environ['GITRUN_RUN_DIR']\nforget()\ngitrun.log({'x': 2})\n"
    )
    done = execute([sys.executable, "-c", program, str(run)], work, environment(None, GITRUN_QUIET="1"))
    assert done == Ended(0, b"", b"")
    assert [point.values for point in read_journals(run).points] == [{"x": 1.0}]


def test_the_fast_function_is_what_stays_under_the_name(logged: Logged) -> None:
    done, _ = logged(
        "before = 'gitrun.child.metrics' in sys.modules\ngitrun.log\nfrom gitrun.child.metrics import log\n"
        "print(before, vars(gitrun)['log'] is log, 'seed' in vars(gitrun), 'seed' in dir(gitrun))\n"
        "try:\n    gitrun.nothing\nexcept AttributeError as problem:\n    print(problem)\n"
    )
    assert done.stdout == b"False True False True\nmodule 'gitrun' has no attribute 'nothing'\n"


def test_importing_and_logging_loads_the_standard_library_alone(work: Path, run: Path) -> None:
    """What it loads is what it costs; `scripts/bench metrics` measures the milliseconds."""
    program = (
        "import sys\nbefore = {*sys.modules}\nimport gitrun\ngitrun.log({'loss': 1.0})\n"
        "print(*{name.partition('.')[0] for name in {*sys.modules} - before})\n"
    )
    names = execute([sys.executable, "-c", program], work, environment(run)).stdout.split()
    assert {name.decode() for name in names} <= {*sys.stdlib_module_names, "gitrun"} - {"typing", "re"}


def test_a_sigterm_in_the_middle_leaves_whole_frames(work: Path, run: Path) -> None:
    program = "import gitrun\nwhile True:\n    gitrun.log({'x': 1})\n"
    with subprocess.Popen([sys.executable, "-c", program], cwd=work, env=environment(run)) as process:
        wait_for(lambda: len(read_journals(run).points) > 100)
        process.send_signal(signal.SIGTERM)
    points = read_journals(run).points
    assert [point.step for point in points] == list(range(len(points)))
