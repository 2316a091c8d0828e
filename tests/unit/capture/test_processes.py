"""The processes of a run as its record describes them."""

from __future__ import annotations

from typing import Any

from gitrun.capture.observed import Observed, Process
from gitrun.capture.processes import MOST_BYTES, MOST_PROCESSES, describe_processes
from gitrun.capture.secrets import Redactor
from gitrun.model.canonical import encode

SECRET = "s3cr3t-value-of-a-token"


def process(
    pid: int, seeds: dict[str, Any] | None = None, numerics: dict[str, Any] | None = None, **start: Any
) -> Process:
    facts = {"implementation": "cpython", "version": "3.11.7", "path": [b"/w", b"/lib\xff"], **start}
    said = {"seeds": seeds or {}, "numerics": numerics or {}}
    return Process(pid, 1, facts, configs=[], modules=[], mapped=[], opened=[], complete=True, **said)


def describe(*processes: Process) -> Any:
    return describe_processes(Observed(list(processes), []), Redactor({"API_TOKEN": SECRET}))


def test_the_primary_is_described_whole_and_the_others_by_what_differs() -> None:
    seeds, numerics = {"random": {"value": 1, "calls": 1}}, {"threads": {"omp": 2}}
    found = describe(
        process(10, seeds, numerics, executable=b"/usr/bin/python"),
        process(11, seeds, numerics, rank="0"),
        process(12, {"random": {"value": 2, "calls": 1}}, numerics, rank="1", version="3.8.1"),
    )
    first, second, third = found.value["processes"]
    assert found.seeds == seeds and found.problems == []
    assert first["executable"] == "/usr/bin/python" and first["numerics"] == numerics and first["version"] == "3.11.7"
    assert second == {"pid": 11, "ppid": 1, "complete": True, "rank": "0"}
    assert third["seeds"]["random"]["value"] == 2 and third["version"] == "3.8.1" and "numerics" not in third
    encode(found.value)


def test_secrets_are_replaced() -> None:
    found = describe(process(1, {"note": SECRET}, {"blas": [SECRET]}, path=[SECRET.encode()]))
    assert SECRET not in encode(found.value).decode() + encode(found.seeds).decode()


def test_many_processes_and_large_reports_are_bounded() -> None:
    found = describe(*[process(n) for n in range(MOST_PROCESSES + 5)])
    assert len(found.value["processes"]) == MOST_PROCESSES and found.value["more"] == 5
    huge = describe(process(7, {"numpy": "x" * MOST_BYTES}, {"isa": "y" * MOST_BYTES}))
    assert huge.value["processes"] == [{"pid": 7, "ppid": 1, "complete": True}] and huge.seeds == {}
    assert len(huge.problems) == 2
