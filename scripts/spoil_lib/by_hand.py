"""Judging a case without a process: one record sealed by hand, and what a replay would have left, written by hand.

What is asked is the very judge of `gitrun replay`, reading a real archive and a real live directory. So all cases can
be judged in seconds; that a recorder writes such records is shown by those that are run (`steered`).
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gitrun.archive.seal import Part
from gitrun.model.artifacts import PART
from gitrun.model.canonical import encode, encode_line, path_bytes
from gitrun.model.metric_tables import SCHEMA
from gitrun.recording.request import Finished
from gitrun.replay.judging import Judge
from gitrun.replay.verdict import Options, exit_status
from gitrun.store.blobs import BlobStore
from gitrun.store.chunk_lists import place
from scripts.spoil_lib.case import Case, File, Link, Tree
from scripts.spoil_lib.records import entry
from tests.hand import Hand

_SEEDS = {"random": {"calls": 1, "unseeded": 0, "last": 0}, "PYTHONHASHSEED": "0"}
_PROCESS = {"variables": {"PYTHONHASHSEED": "0"}, "umask": "0022"}
_TOPICS: dict[str, dict[str, Any]] = {
    "environment": {"python": {"version": "3.11.7", "build": {"id": "aa"}}, "distributions": []},
    "hardware": {"relevant": {}},
    "config": {"values": {}},
}
_EXIT = re.compile(r"exit (\d+)|kill -(\d+) ")


class Bench:
    """A repository in `root` with a run for each group of cases that has left all of what these say.

    Cases with facts of their own have a run of their own.
    """

    def __init__(self, root: Path, cases: Iterable[Case]) -> None:
        self._root = root
        (root / "repo").mkdir()
        subprocess.run(["git", "init", "-q", str(root / "repo")], check=True)
        self._hand = Hand(root / "repo")
        self._runs = 0
        self._groups: dict[str, tuple[str, list[Case]]] = {}
        shared = [case for case in cases if case.has_process]
        for group in {case.group: None for case in shared}:
            members = [case for case in shared if case.group == group]
            trees, points = [(case.slug, case.was) for case in members], [(case.slug, case.points) for case in members]
            self._groups[group] = self._seal(trees, points, {}), members

    def can_judge(self, case: Case) -> bool:
        """Whether what it spoils can be written by hand; a console cannot."""
        return not case.now_end or _EXIT.search(case.now_end) is not None

    def judge(self, case: Case) -> tuple[int, dict[str, Any]]:
        """The exit status and the verdict on a case."""
        if not case.has_process:
            run = self._seal([(case.slug, case.was)], [(case.slug, case.points)], case.facts)
            return self._judge(run, [(case.slug, case.now)], [(case.slug, case.now_points)], case)
        run, members = self._groups[case.group]
        trees = [(each.slug, each.now if each is case else each.was) for each in members]
        points = [(each.slug, each.now_points if each is case else each.points) for each in members]
        return self._judge(run, trees, points, case)

    def _seal(self, trees: list[tuple[str, Tree]], points: list[tuple[str, Any]], facts: Mapping[str, Any]) -> str:
        self._runs += 1
        run_id = f"20261124-0612{self._runs % 60:02d}-{self._runs:06d}"
        with BlobStore(self._hand.gitrun_dir).session() as session:
            lines = []
            for path, node in _nodes(trees):
                line = _line(path, node)
                if isinstance(node, File):
                    line.update(stored=True, reason=None, **place(session.put_bytes(node.data).chunks, session.put))
                lines.append(line)
            session.commit()
            parts = {name: Part(data) for name, data in _parts(lines, points, facts).items()}
            record = _record(facts, self._root / "repo")
            record["source"] = {"tree": None, "modified": [], **record.get("source", {})}
            self._hand.seal(run_id, parts, **record)
        return run_id

    def _judge(
        self, run_id: str, trees: list[tuple[str, Tree]], points: list[tuple[str, Any]], case: Case
    ) -> tuple[int, dict[str, Any]]:
        archive = self._hand.open()
        run = archive.run(run_id)
        assert run is not None
        judge = Judge(archive, run, lambda run: [], options_of(case.options))
        self._runs += 1
        live, checkout = (self._root / f"{name}{self._runs}" for name in ("live", "checkout"))
        (live / "members/0").mkdir(parents=True)
        (live / "parts").mkdir()
        lines = []
        for path, node in _nodes(trees):
            lines.append(_line(path, node))
            if isinstance(node, File) and path.startswith(f"out/{case.slug}/"):  # the others are not looked into
                target = os.path.join(os.fsencode(checkout), path_bytes(path))
                os.makedirs(os.path.dirname(target), exist_ok=True)
                Path(os.fsdecode(target)).write_bytes(node.data)
        for name, data in _parts(lines, points, case.now_facts).items():
            (live / "parts" / name).write_bytes(data)
        record = self._hand.record("20261125-061246-fedcba", **_record(case.now_facts, checkout))
        record["source"] = {**run.record["source"], "excluded": [], "changed_during_run": []}
        if found := _EXIT.search(case.now_end):
            code, signal = (int(each) if each else None for each in found.groups())
            record.update(exit={"code": code, "signal": signal}, status="failed")
        verdict = judge.judged(Finished(record, str(live / "members/0")), [], {}, str(checkout))
        return exit_status(verdict), verdict


def options_of(words: tuple[str, ...]) -> Options:
    """Options of the command line as the judge takes them."""
    found: dict[str, Any] = {}
    at = iter(words)
    for word in at:
        name = word.removeprefix("--").replace("-", "_")
        if name == "strict_console":
            found[name] = True
        elif name == "ignore":
            found[name] = (*found.get(name, ()), next(at))
        else:
            found[name] = next(at) if name == "accept" else float(next(at))
    return Options(**found)


def _nodes(trees: Iterable[tuple[str, Tree]]) -> list[tuple[str, File | Link]]:
    found = []
    for slug, tree in trees:
        for path, node in tree.items():
            found.append((f"out/{slug}/{path}", File(node) if isinstance(node, bytes) else node))
    return found


def _line(path: str, node: File | Link) -> dict[str, Any]:
    if isinstance(node, File):
        return entry(path, node.data, mode=f"{node.mode:04o}")
    target = os.fsencode(node.target)
    return entry(path, target, type="link", target=node.target, mode="0777")


def _parts(
    lines: list[dict[str, Any]], points: Iterable[tuple[str, Any]], facts: Mapping[str, Any]
) -> dict[str, bytes]:
    lines = sorted([*lines, *facts.get("lines", ())], key=lambda line: (path_bytes(line["path"]), line["kind"]))
    parts = {PART: b"".join(map(encode_line, lines))} if lines else {}
    parts.update({f"{name}.json": encode({**base, **facts.get(name, {})}) for name, base in _TOPICS.items()})
    rows = [(f"{slug}/{each.name}", each.step, each.bits) for slug, some in points for each in some]
    if rows:
        rows.sort(key=lambda row: row[:2])
        values = pa.Array.from_buffers(pa.float64(), len(rows), [None, pa.py_buffer(b"".join(row[2] for row in rows))])
        zero = pa.array([0] * len(rows), pa.int64())
        names, steps = pa.array([row[0] for row in rows]), pa.array([row[1] for row in rows], pa.int64())
        columns = [names, steps, zero.cast(SCHEMA.field("time").type), values, pa.nulls(len(rows), pa.int32())]
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(columns, schema=SCHEMA), sink)
        parts["metrics.parquet"] = sink.getvalue().to_pybytes()
    return parts


def _record(facts: Mapping[str, Any], worktree: Path) -> dict[str, Any]:
    more = dict(facts.get("record", {}))
    process: dict[str, Any] = {**_PROCESS, **more.pop("process", {})}
    process["observed"] = {"processes": [{"pid": 11, "numerics": facts.get("numerics", {})}]}
    seeds = {**_SEEDS, **facts.get("seeds", {})}
    coverage = {"outputs": "complete", "console": "complete", **more.pop("coverage", {})}
    return {"worktree": str(worktree), "process": process, "seeds": seeds, "coverage": coverage, **more}
