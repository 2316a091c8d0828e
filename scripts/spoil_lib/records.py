"""Two records that differ in one thing: what explains a result that differs, and what nobody can know.

No program is run for these. What a recorder writes of a thread more, of another machine, of a file that it could not
read, is put into one of two records, and the result is another one as well, or is not.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

from scripts.spoil_lib.case import BIT, DIFFERS, TOLERANCE, UNVERIFIABLE, Case, File, Tree, case
from scripts.spoil_lib.making import npy

_NEAR = npy([0.5, math.nextafter(1.5, 2)])
_WAS, _ROUNDED, _FAR = ({"a.npy": each} for each in (npy([0.5, 1.5]), _NEAR, npy([7.5, 1.5])))
_ORDERED: tuple[Tree, Tree] = ({"a.txt": b"{alpha, beta}\n"}, {"a.txt": b"{beta, alpha}\n"})


def entry(path: str, data: bytes | None, **more: Any) -> dict[str, Any]:
    """A line of artifacts.jsonl for an output that the store has not."""
    digest = None if data is None else hashlib.sha256(data).hexdigest()
    return {
        "path": path, "kind": "output", "type": "file", "mode": "0644", "bytes": None if data is None else len(data),
        "sha256": digest, "level": None, "evidence": "scan", "stored": False, "reason": "limit", "produced_by": None,
        **more,
    }  # fmt: skip


def _process(**more: Any) -> dict[str, Any]:
    return {"record": {"process": more}}


def _numerics(**more: Any) -> dict[str, Any]:
    return {"numerics": more}


def _packages(version: str, files: str = "aa") -> dict[str, Any]:
    return {"environment": {"distributions": [{"name": "numpy", "version": version, "record": files}]}}


def _machine(**more: Any) -> dict[str, Any]:
    return {"hardware": {"relevant": more}}


def _seeds(**more: Any) -> dict[str, Any]:
    return {"seeds": more}


def _variables(**more: str) -> dict[str, Any]:
    return _process(variables={"PYTHONHASHSEED": "0", **more})


def _input(data: bytes, path: str = "data.csv", **more: Any) -> dict[str, Any]:
    return {"lines": [entry(path, data, kind="input", **more)]}


def _why(
    name: str,
    facts: dict[str, Any],
    now: dict[str, Any],
    cause: str,
    tree: Tree = _FAR,
    was: Tree = _WAS,
    **more: Any,
) -> Case:
    verdict = TOLERANCE if tree is _ROUNDED else DIFFERS
    return case("causes", name, verdict, cause, was=was, now=tree, facts=facts or {"record": {}}, now_facts=now, **more)


def _numeric() -> list[Case]:
    threads = _numerics(threads={"openblas": 2}), _numerics(threads={"openblas": 1})
    words = "another number of threads, which add in another order: openblas 2, now 1"
    kernels = [_numerics(blas=[{"kind": "openblas", "core": core}]) for core in ("SkylakeX", "Haswell")]
    switches = [_numerics(deterministic={"torch": {"algorithms": each}}) for each in (True, False)]
    return [
        _why("another number of threads", *threads, words, _ROUNDED),
        _why("two threads, both times", threads[0], threads[0], "2 threads may add in another order", _ROUNDED),
        _why("other instructions", _numerics(isa={"numpy": ["AVX2", "AVX512F"]}), _numerics(isa={"numpy": ["AVX2"]}),
             "other instructions, which round otherwise: numpy now without AVX512F", _ROUNDED),
        _why("a variable that caps instructions", {}, _variables(ONEDNN_MAX_CPU_ISA="SSE41"),
             "ONEDNN_MAX_CPU_ISA was not set, now SSE41", _ROUNDED),
        _why("other BLAS kernels", *kernels, "openblas kernels for SkylakeX, now for Haswell", _ROUNDED),
        _why("deterministic algorithms are off", *switches, "other settings for deterministic algorithms", _ROUNDED),
        _why("another machine", _machine(cpu={"model": "Xeon"}), _machine(cpu={"model": "EPYC"}),
             "another machine: cpu.model Xeon, now EPYC", _ROUNDED),
        _why("another graphics processor", _machine(gpus=[{"name": "H100"}]), _machine(gpus=[{"name": "A100"}]),
             "another graphics processor or driver", _ROUNDED),
        _why("a thread less, and values that have nothing in common", *threads, "another number of threads"),
    ]  # fmt: skip


def _surroundings() -> list[Case]:
    pythons = [{"environment": {"python": {"version": each, "build": {"id": each}}}} for each in ("3.11.7", "3.12.1")]
    unset = {**_variables(), "seeds": {"random": {"calls": 1, "unseeded": 0, "last": 0}, "PYTHONHASHSEED": None}}
    unset["record"]["process"]["variables"] = {}
    unseeded = _seeds(**{"numpy.random.default_rng": {"calls": 0, "unseeded": 1, "last": None}})
    other = [_seeds(random={"calls": 1, "unseeded": 0, "last": each}) for each in (1, 2)]
    return [
        _why("a wheel one version off", _packages("2.4.6"), _packages("2.4.5"), "numpy 2.4.6, now 2.4.5"),
        _why("a wheel of the same version with other files", _packages("2.4.6"), _packages("2.4.6", "bb"),
             "numpy 2.4.6 has other files"),
        _why("another Python", *pythons, "Python 3.11.7, now 3.12.1"),
        _why("an installed file was edited", {}, _process(installed={"edited": [{"path": "x.py", "sha256": "0"}]}),
             "installed files were edited in one of the two environments: x.py"),
        _why("other arguments", {"config": {"values": {"lr": 0.1}}}, {"config": {"values": {"lr": 0.2}}},
             "other configuration: lr 0.1, now 0.2"),
        _why("another variable", _variables(DATA="/a"), _variables(DATA="/b"), "DATA /a, now /b"),
        _why("another locale", _process(locale="C.UTF-8"), _process(locale="de_DE.UTF-8"),
             "another locale: C.UTF-8, now de_DE.UTF-8"),
        _why("another time zone", _variables(TZ="UTC"), _variables(TZ="Asia/Tokyo"), "TZ UTC, now Asia/Tokyo"),
        _why("another umask, and so another mode", _process(umask="0022"), _process(umask="0077"),
             "another umask: 0022, now 0077", {"a": File(b"x", 0o600)}, {"a": File(b"x")}),
        _why("another seed", *other, "other seeds: random got 1, now 2"),
        _why("a generator without a seed", unseeded, unseeded,
             "random numbers without a seed: numpy.random.default_rng was called without a seed"),
        _why("PYTHONHASHSEED was not set", unset, unset, "the same words in another order", *reversed(_ORDERED)),
        _why("the content of an input", _input(b"1"), _input(b"2"), "inputs had another content: data.csv"),
        _why("an input that was written to meanwhile", _input(b"1", overwritten=True), _input(b"1"),
             "inputs were written to while the run went on"),
        _why("a file outside the tree that only the replay read", {}, _input(b"1", "/scratch/cache/x"),
             "state outside the tree: only the replay read /scratch/cache/x"),
        _why("the source was edited while the run started",
             {"record": {"source": {"changed_during_run": ["a.py"]}}}, {},
             "the source was edited while the run started"),
        _why("an output of an earlier run lay in the tree", {"record": {"source": {"excluded": [
             {"path": "old.npy", "reason": "output"}]}}}, {}, "outputs of earlier runs lay in the run's tree"),
    ]  # fmt: skip


def _known(name: str, verdict: str, was: list[Any], now: list[Any], cause: str | None = None, **more: Any) -> Case:
    """Lines of entries on both sides, beside one file that is the same."""
    same: Tree = {"same": b"same"}
    return case(
        "knowledge", name, verdict, cause, was=same, now=same, facts={"lines": was}, now_facts={"lines": now}, **more
    )


def _entries() -> list[Case]:
    left, other = entry("big.bin", b"1"), entry("big.bin", b"2")
    doubtful, outside = entry("a", b"1", evidence="ambiguous"), entry("/scratch/a", b"1", kind="artifact")
    unknown = {reason: entry("a", None, reason=reason) for reason in ("secret", "deferred", "unreadable")}
    return [
        _known("an output that was not kept, the same digest", BIT, [left], [left]),
        _known("an output that was not kept, another digest", DIFFERS, [left], [other], told="not at hand"),
        _known("an output that was not kept is missing", DIFFERS, [left], []),
        _known("an output that was not kept has another mode", DIFFERS, [left], [{**left, "mode": "0755"}]),
        _known("an output outside the tree, the same", BIT, [outside], [outside]),
        _known("an output outside the tree, another digest", DIFFERS, [outside],
               [entry("/scratch/a", b"2", kind="artifact")]),
        _known("an output outside the tree is missing", DIFFERS, [outside], []),
        _known("an output that may be another run's, the same bytes", UNVERIFIABLE, [doubtful], [entry("a", b"1")],
               told="another run or a late change may have written it; its bytes are the same"),
        _known("an output that may be another run's, other bytes", UNVERIFIABLE, [entry("a", b"2")], [doubtful]),
        _known("an output that may be another run's is missing", UNVERIFIABLE, [doubtful], []),
        _known("an output that may hold secrets", UNVERIFIABLE, [unknown["secret"]], [unknown["secret"]],
               told="it may hold secrets"),
        _known("an output that nobody had time to read", UNVERIFIABLE, [unknown["deferred"]], [entry("a", b"1")]),
        _known("an output that could not be read", UNVERIFIABLE, [entry("a", b"1")], [unknown["unreadable"]]),
        _known("an output that could not be read has another mode", UNVERIFIABLE, [unknown["unreadable"]],
               [{**unknown["unreadable"], "mode": "0755"}]),
        _known("an output that could not be read is missing", DIFFERS, [unknown["unreadable"]], []),
        _known("an output of no known mode", UNVERIFIABLE, [{**left, "mode": None}], [left]),
        _known("handed over and left behind, one of them spoiled", DIFFERS,
               [entry("a", b"1"), entry("a", b"1", kind="artifact")],
               [entry("a", b"1"), entry("a", b"2", kind="artifact")]),
    ]  # fmt: skip


def _gaps() -> list[Case]:
    tree: Tree = {"same": b"same"}

    def gap(
        name: str,
        now: dict[str, Any],
        cause: str,
        was: dict[str, Any] | None = None,
        *,
        verdict: str = UNVERIFIABLE,
        left: Tree = tree,
    ) -> Case:
        facts, now_facts = {"record": was or {}}, {"record": now}
        return case("knowledge", name, verdict, cause, was=tree, now=left, facts=facts, now_facts=now_facts)

    cut = "the scan was ended after 20 s: at least 9 directories"
    lost = {"exit": {"code": None, "signal": None}, "status": "lost"}
    spoken = {"summary": {"best": 0.5}}
    return [
        gap("not all was looked through", {"coverage": {"outputs": [cut]}}, f"the replay: {cut}"),
        gap("not all was looked through, of the run", {}, f"the run: {cut}", {"coverage": {"outputs": [cut]}}),
        gap("not all was looked through, and a file differs", {"coverage": {"outputs": [cut]}},
            "nothing that was recorded differs", verdict=DIFFERS, left={"same": b"other"}),
        gap("points are missing", {"coverage": {"metrics": ["3 points are missing: disk full"]}},
            "3 points are missing"),
        gap("a member less", {}, "the run had 2 members, the replay 1", {"members": [{}, {}]}),
        gap("nobody saw how the run ended", {}, "nobody saw how the run ended", lost),
        gap("nobody saw how the replay ended", lost, "nobody saw how the replay ended"),
        gap("the replay was interrupted", {"status": "interrupted", "exit": {"code": None, "signal": 2}},
            "the replay was interrupted"),
        case("knowledge", "nothing to compare", UNVERIFIABLE, "there is nothing to compare", facts={"record": {}}),
        gap("a word of the summary", {"summary": {"best": 0.6}}, "nothing that was recorded differs", spoken,
            verdict=DIFFERS),
        gap("the summary is missing", {}, "nothing that was recorded differs", spoken, verdict=DIFFERS),
        gap("a true of the summary is 1", {"summary": {"ok": 1}}, "nothing that was recorded differs",
            {"summary": {"ok": True}}, verdict=DIFFERS),
    ]  # fmt: skip


def _claims() -> list[Case]:
    far: Tree = {"a.npy": _FAR["a.npy"]}

    def claim(name: str, now: float | None, exit: int, **more: Any) -> Case:
        metrics = {} if now is None else {"loss": {"last": now}}
        facts = {"record": {"claims": ["loss within 10%"], "metrics": {"loss": {"last": 0.5}}}}
        cause = more.pop("cause", "nothing that was recorded differs")
        return case("claims", name, DIFFERS, cause, exit=exit, was=_WAS, now=far, facts=facts,
                    now_facts={"record": {"metrics": metrics, **more.pop("record", {})}}, **more)  # fmt: skip

    return [
        claim("held, and files differ", 0.52, 0),
        claim("not held", 0.6, 3),
        claim("not held: it is NaN", math.nan, 3),
        claim("not held: the metric is missing", None, 3),
        claim("held, and another exit code", 0.5, 3, cause="the run ended with exit 0, the replay with exit 1",
              record={"exit": {"code": 1, "signal": None}, "status": "failed"}),
        claim("held, and --accept bit", 0.5, 3, options=("--accept", "bit")),
    ]  # fmt: skip


CASES = [*_numeric(), *_surroundings(), *_entries(), *_gaps(), *_claims()]
