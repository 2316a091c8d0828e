"""Spoiled trees: files that are missing, extra, renamed, of another type or mode, and names that vary."""

from __future__ import annotations

from scripts.spoil_lib.case import DIFFERS, NAMES, SEMANTIC, Case, File, Link, Tree, case

_RENAMED = "a name holds something that varies from run to run"
_HYDRA, _HYDRA_LATER = "outputs/2026-11-24/06-12-46", "outputs/2026-11-25/07-00-00"
_EVENTS, _EVENTS_LATER = "events.out.tfevents.1764000000.host.11.0", "events.out.tfevents.1764000099.other.12.0"


def _tree(name: str, was: Tree, now: Tree, verdict: str = DIFFERS, cause: str | None = None, **more: object) -> Case:
    return case("trees", name, verdict, cause, was=was, now=now, **more)


def _plain() -> list[Case]:
    return [
        _tree("a file is missing", {"a": b"gone", "b": b"b"}, {"b": b"b"}, told="the replay did not write it"),
        _tree("an empty file is missing", {"a": b"", "b": b"b"}, {"b": b"b"}, told="the replay did not write it"),
        _tree("an extra file", {"b": b"b"}, {"a": b"more", "b": b"b"}, told="only the replay wrote it"),
        _tree("an extra empty file", {"b": b"b"}, {"a": b"", "b": b"b"}, told="only the replay wrote it"),
        _tree("everything is missing but one", {"a": b"1", "b": b"2", "c": b"3"}, {"c": b"3"}),
        _tree("another name", {"old-name": b"kept content"}, {"new-name": b"kept content"}, cause=_RENAMED,
              told="the same content has another name"),
        _tree("another directory", {"x/best": b"moved content"}, {"y/best": b"moved content"}, cause=_RENAMED),
        _tree("a name in capitals", {"best": b"one content"}, {"Best": b"one content"}, cause=_RENAMED),
        _tree("a name of other bytes (U+00E9, U+0065 U+0301)", {"é": b"composed"}, {"e\u0301": b"composed"},
              cause=_RENAMED),
        _tree("a name that is no UTF-8", {"\udcff": b"not text"}, {"\udcfe": b"not text"}, cause=_RENAMED),
        _tree("a number in a name", {"epoch=3.ckpt": b"weights 3"}, {"epoch=4.ckpt": b"weights 4"}, cause=_RENAMED,
              told="it has another name"),
        _tree("a date in a name that no rule explains", {"r-20261124.txt": b"0.5"}, {"r-20261125.txt": b"0.5"},
              cause=_RENAMED),
        _tree("two files swapped", {"a": b"first", "b": b"second"}, {"a": b"second", "b": b"first"}),
        _tree("it is executable", {"a.sh": File(b"x")}, {"a.sh": File(b"x", 0o755)}, told="0644, now 0755"),
        _tree("it is read-only", {"a": File(b"x")}, {"a": File(b"x", 0o444)}, told="0644, now 0444"),
        _tree("its mode, and its content is near", {"a.csv": File(b"x\n0.25\n")},
              {"a.csv": File(b"x\n0.2500001\n", 0o600)}, told="0644, now 0600"),
        _tree("the mode of a log", {"a.log": File(b"x")}, {"a.log": File(b"y", 0o600)}, told="0644, now 0600"),
        _tree("a log is missing", {"a.log": b"x", "b": b"b"}, {"b": b"b"}),
        _tree("a log of another name", {"a.log": b"the same log"}, {"b.log": b"the same log"}, cause=_RENAMED),
        _tree("a file became a directory", {"a": b"a file"}, {"a/b": b"another file"}),
        _tree("a file was moved into a directory of its name", {"a": b"one file"}, {"a/b": b"one file"},
              cause=_RENAMED),
        _tree("a directory became a file", {"a/b": b"the old one"}, {"a": b"the new one"}),
        _tree("a file became a link", {"a": b"b", "b": b"b"}, {"a": Link("b"), "b": b"b"}, told="it was a file"),
        _tree("a link became a file", {"a": Link("b"), "b": b"b"}, {"a": b"b", "b": b"b"}, told="it was a link"),
        _tree("a link to another file", {"a": Link("b"), "b": b"x", "c": b"x"}, {"a": Link("c"), "b": b"x", "c": b"x"},
              told="it led to 'b', now to 'c'"),
        _tree("a link that leads nowhere", {"a": Link("b"), "b": b"x"}, {"a": Link("gone"), "b": b"x"}),
        _tree("a link with the same target written otherwise", {"a": Link("b"), "b": b"x"},
              {"a": Link("./b"), "b": b"x"}),
        _tree("a link is missing", {"a": Link("b"), "b": b"x"}, {"b": b"x"}),
    ]  # fmt: skip


def _names() -> list[Case]:
    """Names that a documented rule explains."""
    two = {f"{_HYDRA}/a.txt": b"1", f"{_HYDRA}/b.txt": b"2"}
    return [
        _tree("Hydra: the directory", {f"{_HYDRA}/a.txt": b"1"}, {f"{_HYDRA_LATER}/a.txt": b"1"}, SEMANTIC, NAMES),
        _tree("Hydra: the directory, and --accept semantic", {f"{_HYDRA}/a.txt": b"1"}, {f"{_HYDRA_LATER}/a.txt": b"1"},
              SEMANTIC, NAMES, exit=0, options=("--accept", "semantic")),
        _tree("Hydra: the directory and a value", {f"{_HYDRA}/a.txt": b"1"}, {f"{_HYDRA_LATER}/a.txt": b"2"}),
        _tree("Hydra: one of two files is elsewhere", two,
              {f"{_HYDRA_LATER}/a.txt": b"1", "outputs/2026-11-25/07-00-01/b.txt": b"2"}, cause=_RENAMED),
        _tree("Hydra: one of two files is missing", two, {f"{_HYDRA_LATER}/a.txt": b"1"}),
        _tree("Hydra: a link into the directory", {f"{_HYDRA}/a.txt": b"1", "last": Link(f"{_HYDRA}/a.txt")},
              {f"{_HYDRA_LATER}/a.txt": b"1", "last": Link(f"{_HYDRA_LATER}/a.txt")}, SEMANTIC),
        _tree("Hydra: its own directory in a text", {f"{_HYDRA}/h.yaml": f"dir: /w/{_HYDRA}\n".encode()},
              {f"{_HYDRA_LATER}/h.yaml": f"dir: /w/{_HYDRA_LATER}\n".encode()}, SEMANTIC, NAMES,
              told="only the name of its directory differs in it"),
        _tree("Hydra: its own directory in a text, and a value", {f"{_HYDRA}/h.yaml": f"{_HYDRA} 1\n".encode()},
              {f"{_HYDRA_LATER}/h.yaml": f"{_HYDRA_LATER} 2\n".encode()}),
        _tree("Hydra: another directory in a text", {f"{_HYDRA}/h.yaml": f"{_HYDRA}\n".encode()},
              {f"{_HYDRA_LATER}/h.yaml": b"outputs/2026-11-25/07-00-01\n"}),
        _tree("TensorBoard: the file", {_EVENTS: b"x"}, {_EVENTS_LATER: b"x"}, SEMANTIC, NAMES),
        _tree("TensorBoard: the file and its content", {_EVENTS: b"x"}, {_EVENTS_LATER: b"y"}),
        _tree("TensorBoard: its counter", {_EVENTS: b"one event"}, {_EVENTS[:-1] + "1": b"one event"}, cause=_RENAMED),
        _tree("Lightning: the version", {"version_0/a": b"x"}, {"version_3/a": b"x"}, SEMANTIC, NAMES),
        _tree("Lightning: two versions swapped", {"version_0/a": b"x", "version_1/a": b"y"},
              {"version_0/a": b"y", "version_1/a": b"x"}),
        _tree("Lightning: a version less", {"version_0/a": b"x", "version_1/a": b"y"}, {"version_0/a": b"x"}),
        _tree("wandb: the run", {"run-20261124_061246-abcd1234/a": b"x"}, {"run-20261125_070000-efgh5678/a": b"x"},
              SEMANTIC, NAMES),
    ]  # fmt: skip


CASES = [*_plain(), *_names()]
