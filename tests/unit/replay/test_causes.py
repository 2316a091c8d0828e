"""The first cause that is named is the true one: each kind of spoiled surroundings, alone and beside usual suspects."""

from __future__ import annotations

from typing import Any

import pytest

from gitrun.replay.cause_facts import Facts
from gitrun.replay.causes import NOTHING_KNOWN, Symptoms, causes
from gitrun.replay.levels import Level
from gitrun.replay.metric_match import Metric
from gitrun.replay.output_match import Output
from tests.two_sides import entry

SEEDED = {"kind": "seeds", "PYTHONHASHSEED": "0", "random.seed": {"calls": 1, "unseeded": 0, "last": 1}}
FREE = {**SEEDED, "PYTHONHASHSEED": None}
NUMERICS = {
    "threads": {"openblas": 2, "omp": 2},
    "blas": [{"kind": "openblas", "core": "SkylakeX", "library": "libopenblas.so"}],
    "isa": {"numpy": ["AVX2", "AVX512F"], "torch": "AVX512"},
    "deterministic": {},
}
PROCESS = {
    "umask": "0022",
    "variables": {"PATH": "/a", "TZ": "UTC"},
    "observed": {"processes": [{"pid": 100, "numerics": NUMERICS}]},
}
ENVIRONMENT = {
    "python": {"version": "3.11.7", "build": {"id": "aa"}},
    "distributions": [
        {"name": "numpy", "version": "2.1.0", "record": "r1"},
        {"name": "six", "version": "1", "record": "s"},
    ],
}
HARDWARE = {"relevant": {"cpu": {"model": "Xeon"}, "logical_cores": 8, "gpus": []}}

ROUNDING = Symptoms(Level.TOLERANCE, metrics=[Metric("loss", Level.TOLERANCE, 3, "near", first_gap=1e-12)])
OTHER = Symptoms(Level.DIFFERS, metrics=[Metric("loss", Level.DIFFERS, 0, "far", first_gap=0.4)])
DRIFT = Symptoms(Level.DIFFERS, metrics=[Metric("loss", Level.DIFFERS, 3, "far in the end", first_gap=1e-9)])
CRASH = Symptoms(Level.DIFFERS, ("exit 0", "exit 1"), last_words="FileNotFoundError: 'old.csv'")


def facts(process: Any = None, seeds: dict[str, Any] | None = SEEDED, numerics: Any = None, **more: Any) -> Facts:
    record = {"worktree": "/w", "seeds": seeds, "source": {"tree": "t"}, **more.pop("record", {})}
    observed = {"processes": [{"pid": 100, "numerics": {**NUMERICS, **(numerics or {})}}]}
    record["process"] = {**PROCESS, "observed": observed, **(process or {})}
    return Facts(record, **{"environment": ENVIRONMENT, "hardware": HARDWARE, **more})


def versions(numpy: str, record: str = "r1") -> dict[str, Any]:
    return {**ENVIRONMENT, "distributions": [{"name": "numpy", "version": numpy, "record": record}]}


FAST = {"deterministic": {"torch": {"algorithms": False}}}
BASE = {**ENVIRONMENT, "distributions": ENVIRONMENT["distributions"][:1]}
FIRST: dict[str, tuple[Facts, Facts, Symptoms, str]] = {
    "unseeded generator": (
        facts(seeds={**FREE, "numpy.random.default_rng": {"calls": 0, "unseeded": 1, "last": None}}),
        facts(seeds=FREE), OTHER, "random numbers without a seed: numpy.random.default_rng",
    ),
    "torch unseeded": (
        facts(seeds={**FREE, "torch": {"calls": 0, "last": None}}), facts(seeds=FREE), OTHER, "torch was never seeded",
    ),
    "torch that draws its seed": (
        facts(seeds={**FREE, "torch": {"calls": None, "last": 7420008855975169609}}),
        facts(seeds={**FREE, "torch": {"calls": None, "last": 3715330819736601567}}), OTHER, "torch was never seeded",
    ),
    "no seed at all": (facts(seeds={"PYTHONHASHSEED": "0"}), facts(seeds={}), OTHER, "no seed was set"),
    "another seed": (
        facts(), facts(seeds={**SEEDED, "random.seed": {"calls": 1, "unseeded": 0, "last": 7}}), OTHER,
        "other seeds: random.seed got 1, now 7",
    ),
    "threads": (
        facts(seeds=FREE), facts(seeds=FREE, numerics={"threads": {"openblas": 8, "omp": 8}}), ROUNDING,
        "another number of threads",
    ),
    "threads that drift": (
        facts(), facts(numerics={"threads": {"openblas": 1, "omp": 2}}), DRIFT, "another number of threads",
    ),
    "threads beside an unseeded generator": (
        facts(seeds={**FREE, "numpy.random.default_rng": {"calls": 0, "unseeded": 1, "last": None}}),
        facts(seeds=FREE, numerics={"threads": {"omp": 1}}), ROUNDING, "another number of threads",
    ),
    "isa": (
        facts(), facts(numerics={"isa": {"numpy": ["AVX2"], "torch": "AVX2"}}), ROUNDING, "other instructions",
    ),
    "blas kernels": (
        facts(), facts(numerics={"blas": [{"kind": "openblas", "core": "Haswell", "library": "x"}]}), ROUNDING,
        "openblas kernels for SkylakeX, now for Haswell",
    ),
    "isa variable": (
        facts(), facts({"variables": {**PROCESS["variables"], "ONEDNN_MAX_CPU_ISA": "SSE41"}}), ROUNDING,
        "ONEDNN_MAX_CPU_ISA was not set, now SSE41",
    ),
    "deterministic algorithms": (
        facts(numerics={"deterministic": {"torch": {"algorithms": True}}}),
        facts(numerics={"deterministic": {"torch": {"algorithms": False}}}), ROUNDING, "deterministic algorithms",
    ),
    "machine": (
        facts(), facts(hardware={"relevant": {"cpu": {"model": "EPYC"}, "logical_cores": 8, "gpus": []}}), ROUNDING,
        "another machine: cpu.model Xeon, now EPYC",
    ),
    "graphics processor": (
        facts(hardware={"relevant": {"gpus": [{"name": "H100"}]}}),
        facts(hardware={"relevant": {"gpus": [{"name": "A100"}]}}), ROUNDING, "another graphics processor",
    ),
    "gpu without order": (
        facts(hardware={"relevant": {"gpus": [{"name": "H100"}]}}, numerics=FAST),
        facts(hardware={"relevant": {"gpus": [{"name": "H100"}]}}, numerics=FAST),
        ROUNDING, "a graphics processor adds in no fixed order",
    ),
    "a wheel one version off": (
        facts(seeds=FREE, environment=BASE), facts(seeds=FREE, environment=versions("2.1.1", "r2")), OTHER,
        "other packages: numpy 2.1.0, now 2.1.1",
    ),
    "a wheel of other files": (
        facts(environment=BASE), facts(environment=versions("2.1.0", "r9")), OTHER, "numpy 2.1.0 has other files",
    ),
    "a package more": (facts(environment=BASE), facts(), OTHER, "six 1 is new"),
    "another python": (
        facts(), facts(environment={**ENVIRONMENT, "python": {"version": "3.12.1", "build": {"id": "bb"}}}), OTHER,
        "Python 3.11.7, now 3.12.1",
    ),
    "an edited package": (
        facts(), facts({"installed": {"edited": [{"path": "numpy/x.py", "sha256": "0"}]}}), OTHER,
        "installed files were edited",
    ),
    "changed input": (
        facts(inputs=(entry("d.csv", b"1", kind="input"),)), facts(inputs=(entry("d.csv", b"2", kind="input"),)), OTHER,
        "inputs had another content: d.csv",
    ),
    "overwritten input": (
        facts(inputs=(entry("d.csv", b"1", kind="input", overwritten=True),)), facts(), OTHER,
        "written to while the run",
    ),
    "state outside": (
        facts(), facts(inputs=(entry("/home/u/.cache/x", b"1", kind="input"),)), OTHER,
        "state outside the tree: only the replay read /home/u/.cache/x",
    ),
    "configuration": (
        facts(config={"values": {"lr": 0.1}}), facts(config={"values": {"lr": 0.2}}), OTHER,
        "other configuration: lr 0.1, now 0.2",
    ),
    "source": (
        facts(), facts(record={"source": {"tree": "u"}}), OTHER, "the replay did not run from the run's source",
    ),
    "source edited at the start": (
        facts(record={"source": {"tree": "t", "changed_during_run": ["a.py"]}}), facts(), OTHER,
        "was edited while the run",
    ),
    "umask": (
        facts(), facts({"umask": "0077"}),
        Symptoms(Level.DIFFERS, outputs=[Output(b"a", Level.DIFFERS, "its mode was 0644, now 0600")]), "another umask",
    ),
    "a crash": (facts(), facts(), CRASH, "the run ended with exit 0, the replay with exit 1"),
    "hash seed": (
        facts(seeds=FREE), facts(seeds=FREE),
        Symptoms(Level.DIFFERS, outputs=[Output(b"s", Level.DIFFERS, why="order")]),
        "the same words in another order in s: PYTHONHASHSEED was not set",
    ),
    "only times": (
        facts(seeds=FREE), facts(seeds=FREE),
        Symptoms(Level.DIFFERS, outputs=[Output(b"s", Level.DIFFERS, why="stamps")]), "only times, durations or ids",
    ),
    "its own path": (
        facts(seeds=FREE), facts(seeds=FREE),
        Symptoms(Level.DIFFERS, outputs=[Output(b"s", Level.DIFFERS, why="place")]),
        "only the path of its own directory",
    ),
    "a pid in a name": (
        facts(), facts({"observed": {"processes": [{"pid": 7}]}}),
        Symptoms(Level.DIFFERS, outputs=[Output(b"a-7", Level.DIFFERS, "", b"a-100")]),
        "a name holds the process's number: a-100 -> a-7",
    ),
    "a pid that is part of a date": (
        facts({"observed": {"processes": [{"pid": 6}]}}), facts({"observed": {"processes": [{"pid": 7}]}}),
        Symptoms(Level.DIFFERS, outputs=[Output(b"r-20261127", Level.DIFFERS, "", b"r-20261126")]),
        "a name holds something that varies from run to run",
    ),
    "a counter over leftovers": (
        facts(record={"source": {"tree": "t", "excluded": [{"path": "runs/0", "reason": "output"}]}}), facts(),
        Symptoms(Level.DIFFERS, outputs=[Output(b"runs/0", Level.DIFFERS, "", b"runs/1")]),
        "outputs of earlier runs lay in the run's tree",
    ),
    "a file that was found": (
        facts(record={"source": {"tree": "t", "excluded": [{"path": "cache.bin", "reason": "output"}]}}), facts(),
        Symptoms(Level.DIFFERS, outputs=[Output(b"cache.bin", Level.DIFFERS, is_alone=True)]),
        "outputs of earlier runs lay in the run's tree, which a replay never has: cache.bin",
    ),
    "container": (
        facts(seeds=FREE), facts(seeds=FREE),
        Symptoms(Level.SEMANTIC, outputs=[Output(b"m.npz", Level.SEMANTIC, "other times in the zip")]),
        "the values are the same, what is around them is not: m.npz (other times in the zip)",
    ),
    "nothing": (facts(), facts(), OTHER, NOTHING_KNOWN),
}  # fmt: skip


@pytest.mark.parametrize("case", FIRST)
def test_the_first_cause_is_the_true_one(case: str) -> None:
    a, b, symptoms, words = FIRST[case]
    found = causes(a, b, symptoms, ["a note"])
    assert words in found[0], found
    assert found[-1] == "a note"


def test_the_last_words_of_a_crash_follow_and_what_it_misses_is_found() -> None:
    assert causes(facts(), facts(), CRASH)[1] == "the replay's last words: FileNotFoundError: 'old.csv'"
    left = facts(record={"source": {"tree": "t", "excluded": [{"path": "out/old.csv", "reason": "output"}]}})
    found = causes(left, facts(), CRASH)
    assert found[2] == "outputs of earlier runs lay in the run's tree, and the replay misses them: out/old.csv"


def test_what_is_the_same_or_cannot_be_told_has_no_causes() -> None:
    for level in (Level.BIT, Level.UNVERIFIABLE):
        assert causes(facts(seeds=FREE), facts(seeds={}), Symptoms(level), ["a note"]) == ["a note"]


def test_what_nobody_can_read_costs_its_own_cause_alone() -> None:
    damaged = Facts({"seeds": {"random.seed": {"calls": 1, "last": 1}}}, environment={"python": "3.11"})
    whole = Facts({"seeds": {"random.seed": {"calls": 1, "last": 2}}})
    told = causes(damaged, whole, OTHER)
    assert "other seeds: random.seed got 1, now 2" in told
    assert told[-1] == "not all causes could be looked for: AttributeError"


def test_what_a_replay_has_by_its_nature_is_no_cause() -> None:
    a = facts(
        {"variables": {"PATH": "/w/.venv/bin", "TZ": "UTC", "DATA": "/w/data"}}, config={"values": {"out": "/w/out"}}
    )
    b = facts(
        {"variables": {"PATH": "/r/.venv/bin", "TZ": "UTC", "DATA": "/r/data", "OMP_NUM_THREADS": "2"}},
        config={"values": {"out": "/r/out"}},
        record={"worktree": "/r"},
    )
    assert causes(a, b, OTHER) == [NOTHING_KNOWN]
    zoned = facts({"variables": {}, "timezone": "Asia/Tokyo"}), facts({"variables": {"TZ": "Asia/Tokyo"}})
    assert causes(*zoned, OTHER) == [NOTHING_KNOWN]


def test_a_program_that_is_no_python_has_no_seeds_to_blame() -> None:
    shell = Facts({"process": {}, "source": {"tree": "t"}}, {"python": None, "program": {"name": "sh"}}, HARDWARE)
    assert causes(shell, shell, OTHER) == [NOTHING_KNOWN]


def test_rounding_is_told_from_other_values_by_the_first_difference() -> None:
    assert ROUNDING.is_rounding
    assert DRIFT.is_rounding
    assert not OTHER.is_rounding
    assert not CRASH.is_rounding
    near = Output(b"w.npy", Level.DIFFERS, "max |Δ| 1e-6, rms-relative 3.2e-07, ULP p99 12")
    assert Symptoms(Level.DIFFERS, outputs=[near]).is_rounding
    assert not Symptoms(Level.DIFFERS, outputs=[near, Output(b"x", Level.DIFFERS, is_alone=True)]).is_rounding
    assert not Symptoms(Level.DIFFERS, outputs=[near, Output(b"x", Level.DIFFERS, "other bytes")]).is_rounding
