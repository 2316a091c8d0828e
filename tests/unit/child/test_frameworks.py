"""What each framework's programs report, and that the programs cannot tell: same output, same exit status.

With GITRUN_TEST_PYTHON the programs run in another Python, which has other releases of the frameworks
(scripts/frameworks).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gitrun.capture.observed import Process, read_observed

PROGRAMS = Path(__file__).parent / "programs"
SITE = Path(__file__).parents[3] / "gitrun" / "child" / "site"
PYTHON = os.environ.get("GITRUN_TEST_PYTHON", sys.executable)


class Outcome(NamedTuple):
    status: int
    out: bytes
    err: bytes
    processes: list[Process]
    problems: list[str]

    @property
    def configs(self) -> list[dict[str, Any]]:
        return [config for process in self.processes for config in process.configs]


def run(place: Path, words: list[str], variables: dict[str, str], *, observe: bool) -> Outcome:
    environ = {"PATH": os.environ["PATH"], "HOME": str(place), "OUT": str(place / "out"), "LANG": "C.UTF-8"}
    environ.update(variables)
    live = place / ("live" if observe else "not observed")
    (live / "members" / "0").mkdir(parents=True, exist_ok=True)
    if observe:
        environ.update(GITRUN_RUN_DIR=str(live), PYTHONPATH=os.pathsep.join([str(SITE), environ.get("PYTHONPATH", "")]))
    done = subprocess.run([PYTHON, *words], cwd=place, env=environ, stdin=subprocess.DEVNULL, capture_output=True)
    found = read_observed(str(live / "members" / "0"))
    return Outcome(done.returncode, done.stdout, done.stderr, found.processes, found.problems)


def observed(place: Path, words: list[str], **variables: str) -> Outcome:
    """The outcome under observation, after it was compared with the one without."""
    plain = run(place, words, variables, observe=False)
    seen = run(place, words, variables, observe=True)
    assert (seen.status, seen.out, seen.err) == (plain.status, plain.out, plain.err)
    return seen


def script(place: Path, text: str) -> str:
    (place / "program.py").write_text(text)
    return "program.py"


CASES: list[tuple[str, str, dict[str, str], dict[str, Any], dict[str, str]]] = [
    (
        "argparse", "--verbose d.csv --learning-rate 0.5 fit --epochs 9", {},
        {"data": "d.csv", "lr": 0.5, "verbose": True, "tags": [], "layers": None, "seed": 7, "epochs": 9},
        {"data": "argv", "lr": "argv", "verbose": "argv", "tags": "default", "seed": "default", "epochs": "argv"},
    ),
    ("argparse", "d.csv -l.25 --layers 1 --lay 2", {}, {"lr": 0.25, "layers": [1, 2]}, {"layers": "argv"}),
    ("argparse", "d.csv", {}, {"lr": 0.1, "command": None}, {"lr": "default", "command": "default"}),
    (
        "hydra", "lr=0.3 db=large", {},
        {"lr": 0.3, "db.name": "large", "db.size": 9, "layers": [1, 2], "path": "/data/large",
         "home": "${oc.env:HOME}"},
        {"lr": "argv", "db.name": "argv", "db.size": "argv", "layers": "file"},
    ),
    (
        "click", "--verbose fit d.csv -l0.5 --login nothing", {"SEED": "4"}, {"verbose": True, "seed": 4},
        {"verbose": "argv", "seed": "environment"},
    ),
    (
        "click", "fit d.csv --size 3 4 --login nothing", {},
        {"data": "d.csv", "lr": 0.1, "size": [3, 4], "mode": "a", "login": "<secret:login>"},
        {"data": "argv", "lr": "default", "size": "argv", "mode": "default", "login": "argv"},
    ),
    (
        "typer", "fit d.csv --lr 0.5 --mode slow", {},
        {"data": "d.csv", "lr": 0.5, "mode": "slow", "verbose": False},
        {"data": "argv", "lr": "argv", "mode": "argv", "verbose": "default"},
    ),
    (
        "absl", "--lr=2 --noverbose a --layers=3,4 b", {},
        {"lr": 2.0, "verbose": False, "layers": ["3", "4"], "mode": "a"},
        {"lr": "argv", "verbose": "argv", "layers": "argv", "mode": "default"},
    ),
    ("absl", "--flagfile=flags.txt", {}, {"lr": 3.0, "mode": "b"}, {"lr": "file", "mode": "file"}),
    (
        "jsonargparse", "--config c.json --model.name x", {"TRAIN_SEED": "5"},
        {"lr": 0.7, "seed": 5, "model.depth": 9, "model.name": "x"},
        {"lr": "file", "seed": "environment", "model.depth": "file", "model.name": "argv"},
    ),
    (
        "fire", "fit d.csv e f --epochs 4 --width=8", {},
        {"data": "d.csv", "more": ["e", "f"], "epochs": 4, "width": 8},
        {"data": "argv", "more": "argv", "epochs": "argv", "width": "argv"},
    ),
    ("fire", "--lr=0.5 fit d.csv", {}, {"lr": 0.5, "verbose": False}, {"lr": "argv", "verbose": "default"}),
]  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for source in PROGRAMS.rglob("*"):
        if source.suffix in (".py", ".yaml"):
            target = tmp_path / source.relative_to(PROGRAMS)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    (tmp_path / "c.json").write_text('{"lr": 0.7, "model": {"depth": 9}}')
    (tmp_path / "flags.txt").write_text("--lr=3\n--mode=b\n")
    return tmp_path


@pytest.mark.parametrize(
    ("framework", "words", "variables", "values", "sources"), CASES, ids=[f"{case[0]} {case[1]}" for case in CASES]
)
def test_values_with_their_sources(
    place: Path, framework: str, words: str, variables: dict[str, str], values: dict[str, Any], sources: dict[str, str]
) -> None:
    seen = observed(place, [f"with_{framework}.py", *words.split()], **variables)
    assert seen.status == 0 and seen.problems == []
    assert {config["framework"] for config in seen.configs} <= {
        framework,
        "click" if framework == "typer" else framework,
    }
    found = [config for config in seen.configs if values.keys() <= config["values"].keys()]
    assert len(found) == 1, seen.configs
    assert {name: found[0]["values"][name] for name in values} == values
    assert {name: found[0]["sources"][name] for name in sources} == sources
    assert found[0]["role"] == "program"


FAILURES = [
    ("argparse", "d.csv -l boom", b"LookupError: no such rate"),
    ("argparse", "--absent", b"usage: train"),
    ("argparse", "--help", b""),
    ("hydra", "lr=-1", b"ValueError: a negative rate"),
    ("hydra", "absent=1", b"absent"),
    ("click", "fit d.csv --lr=-1 --login=x", b"ValueError: a negative rate"),
    ("click", "fit --mode c", b"Usage"),
    ("typer", "fit d.csv --lr=-1", b"ValueError: a negative rate"),
    ("typer", "fit", b"Missing"),
    ("absl", "--lr=10", b"ValueError: a large rate"),
    ("absl", "--lr=-1", b"FATAL"),
    ("jsonargparse", "--lr=x", b"error"),
    ("jsonargparse", "--config absent.json", b"absent.json"),
    ("fire", "--lr=boom fit d", b"ValueError: no such rate"),
    ("fire", "absent", b"absent"),
]


@pytest.mark.parametrize(("framework", "words", "said"), FAILURES, ids=[f"{case[0]} {case[1]}" for case in FAILURES])
def test_a_failing_program_fails_as_without_anybody_looking(
    place: Path, framework: str, words: str, said: bytes
) -> None:
    seen = observed(place, [f"with_{framework}.py", *words.split()], HYDRA_FULL_ERROR="1")
    assert said in seen.err and (seen.status != 0 or words == "--help")
    assert seen.problems == []


@pytest.mark.parametrize("options", ["-bb -W error -OO", "-X dev -X importtime", "-B -u -O"])
def test_an_interpreter_that_complains_about_everything(place: Path, options: str) -> None:
    words = [*options.split(), "with_argparse.py", "d.csv", "-l", "2"]
    plain, seen = run(place, words, {}, observe=False), run(place, words, {}, observe=True)
    assert (seen.status, seen.out) == (plain.status, plain.out) and seen.configs[0]["values"]["lr"] == 2.0
    assert b"gitrun" not in seen.err and (b"importtime" in options.encode() or seen.err == plain.err)


def test_each_job_of_a_sweep_reports(place: Path) -> None:
    timeless = "hydra.hydra_logging.formatters.simple.format='%(message)s'"
    seen = observed(place, ["with_hydra.py", "-m", "lr=1,2", "db.size=3", timeless])
    assert [config["values"]["lr"] for config in seen.configs] == [1, 2]
    assert [config["sources"]["lr"] for config in seen.configs] == ["override", "override"]
    assert {config["sources"]["db.size"] for config in seen.configs} == {"argv"}
    assert {config["sweep"] for config in seen.configs} == {os.fsencode(place / "out")}
    assert [Path(os.fsdecode(path)).name for path in seen.configs[0]["files"]] == ["config.yaml", "small.yaml"]


def test_a_value_that_is_asked_for_unseen_is_not_told(place: Path) -> None:
    seen = observed(place, ["with_click.py", "fit", "d.csv", "--login", "correct-horse"])
    assert len(seen.configs) == 2 and "correct-horse" not in repr(seen.configs[1])


HOSTILE = """
import argparse, collections, enum, sys

class Raises:
    def __repr__(self): raise RuntimeError("never")
class Exits:
    def __repr__(self): raise SystemExit(7)
class Plain:
    pass
class Items(dict):
    def items(self): raise OSError("no")
class Equal:
    def __eq__(self, other): raise TypeError("not comparable")
    def __bool__(self): raise TypeError("no truth")
class Colour(enum.Enum):
    red = 1
class Listish(list):
    def __iter__(self): raise ValueError("no iteration")

loop = {"a": 1}
loop["self"] = loop
deep = []
for _ in range(5000):
    deep = [deep]
parser = argparse.ArgumentParser()
parser.set_defaults(raises=Raises(), exits=Exits(), plain=Plain(), items=Items(a=1), equal=Equal(), colour=Colour.red,
    loop=loop, deep=deep, large=10**40, text="x" * (100 << 20), queue=collections.deque(range(10**6)),
    listish=Listish([1]), function=parser.parse_args, kind=int, raw=b"\\xff\\x00", surrogate="\\ud800",
    nested={"model": {"layers": [{"size": 1}, {"size": 2}]}},
    flag=float("nan"), odd={1: 2, None: 3, (1, 2): 4})
args = parser.parse_args()
print(len(vars(args)), args.plain.__class__)
"""


def test_objects_that_no_report_can_hold_are_described_and_marked(tmp_path: Path) -> None:
    seen = observed(tmp_path, [script(tmp_path, HOSTILE)])
    (config,) = seen.configs
    values, marked = config["values"], set(config["unserialisable"])
    assert seen.status == 0 and seen.problems == []
    assert values["raises"] == "<__main__.Raises object>" and values["exits"] == "<__main__.Exits object>"
    assert values["plain"] == "<__main__.Plain object>"  # its address would be another in each run
    assert values["colour"] == "red" and values["kind"] == "builtins.int" and values["listish"] == [1]
    assert values["nested.model.layers.1.size"] == 2 and values["loop.a"] == 1
    assert values["raw"] == b"\xff\x00" and values["odd.null"] == 3
    assert len(values["text"]) == 64 << 10
    assert {"raises", "exits", "plain", "equal", "loop.self", "deep", "large", "text", "queue"} <= marked
    assert not {"colour", "kind", "raw", "loop.a", "nested.model.layers.1.size"} & marked


def test_a_hundred_megabytes_in_small_pieces_are_cut(tmp_path: Path) -> None:
    text = "import argparse\np = argparse.ArgumentParser()\n"
    text += "p.set_defaults(**{f'k{n}': 'v' * 1000 for n in range(100_000)})\nprint(len(vars(p.parse_args())))\n"
    seen = observed(tmp_path, [script(tmp_path, text)])
    (config,) = seen.configs
    assert 500 < len(config["values"]) < 2000 and "more values" in config["notes"][0]


SUBCLASS = """
import argparse, sys

class Doubling(argparse.ArgumentParser):
    def parse_args(self, args=None, namespace=None):
        found = super().parse_args(args, namespace)
        found.lr *= 2
        return found

class Own(argparse.ArgumentParser):
    def parse_args(self, args=None, namespace=None):
        return argparse.Namespace(lr=float(sys.argv[2]))

parser = (Doubling if sys.argv[1] == "--lr" else Own)()
parser.add_argument("--lr", type=float)
print(parser.parse_args().lr)
"""


def test_a_subclass_with_a_parse_args_of_its_own(tmp_path: Path) -> None:
    doubled = observed(tmp_path, [script(tmp_path, SUBCLASS), "--lr", "2"])
    assert doubled.out == b"4.0\n" and doubled.configs[0]["values"] == {"lr": 2.0}
    assert "parse_args of its own" in doubled.configs[0]["notes"][0]


def test_a_subclass_that_never_asks_argparse_reports_nothing(tmp_path: Path) -> None:
    own = observed(tmp_path, [script(tmp_path, SUBCLASS), "-l", "2"])
    assert own.out == b"2.0\n" and own.configs == []


LAUNCHER = """
import argparse, subprocess, sys
parser = argparse.ArgumentParser()
parser.add_argument("--nproc", type=int)
parser.add_argument("script")
parser.add_argument("rest", nargs=argparse.REMAINDER)
args = parser.parse_args()
for rank in range(args.nproc):
    subprocess.run([sys.executable, args.script, *args.rest, f"--rank={rank}"], check=True)
"""
WORKER = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--rank", type=int)
print(parser.parse_args())
"""


def test_a_launcher_is_told_from_the_program(tmp_path: Path) -> None:
    package = tmp_path / "torch" / "distributed"
    package.mkdir(parents=True)
    for name in (tmp_path / "torch" / "__init__.py", package / "__init__.py"):
        name.write_text("")
    (package / "run.py").write_text(LAUNCHER)
    (tmp_path / "train.py").write_text(WORKER)
    seen = observed(tmp_path, ["-m", "torch.distributed.run", "--nproc", "2", "train.py", "--lr", "1"])
    roles = [(config["role"], config["program"]) for config in seen.configs]
    assert seen.problems == []
    assert roles == [("launcher", "torch.distributed.run"), ("program", "__main__"), ("program", "__main__")]


TWO_PASSES = """
import argparse, json
first = argparse.ArgumentParser(add_help=False)
first.add_argument("--config")
known, rest = first.parse_known_args()
second = argparse.ArgumentParser(parents=[first])
second.add_argument("--lr", type=float, default=0.1)
second.set_defaults(**json.load(open(known.config)))
print(second.parse_args(rest))
inner = argparse.ArgumentParser()
inner.add_argument("--fixed")
print(inner.parse_args(["--fixed", "written here"]))
"""


def test_two_passes_and_words_that_the_program_wrote_itself(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"lr": 0.5}')
    seen = observed(tmp_path, [script(tmp_path, TWO_PASSES), "--config", "c.json"])
    first, second, inner = seen.configs
    assert (first["values"], first["sources"]) == ({"config": "c.json"}, {"config": "argv"})
    assert second["values"] == {"config": None, "lr": 0.5} and second["sources"]["config"] == "default"
    assert (first["role"], inner["role"]) == ("program", "given")


def test_parsing_for_ever_is_not_reported_for_ever(tmp_path: Path) -> None:
    text = "import argparse, sys\np = argparse.ArgumentParser()\np.add_argument('--n')\nfor n in range(1000):\n"
    text += "    sys.argv = ['x', '--n', str(n)]\n    a = p.parse_args()\nprint(a.n)\n"
    seen = observed(tmp_path, [script(tmp_path, text)])
    assert len(seen.configs) == 200 and "nothing was reported" in seen.configs[-1]["notes"][-1]


def test_an_edited_framework_is_left_alone_and_said_so(tmp_path: Path) -> None:
    (tmp_path / "argparse.py").write_text(
        "class ArgumentParser:\n    parse_args = parse_known_args = print\nSUPPRESS = ''\n"
    )
    seen = observed(tmp_path, [script(tmp_path, "import argparse\nargparse.ArgumentParser().parse_args()\n")])
    assert (
        seen.configs == [] and len(seen.problems) == 1 and "argparse: its values were not observed" in seen.problems[0]
    )
