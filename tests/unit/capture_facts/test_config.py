"""What a command line and its configuration files say, read without knowing the program."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from gitrun.capture import configfile
from gitrun.capture.config import capture_config
from gitrun.capture.configfile import Unreadable, read_values
from gitrun.capture.facts import Facts
from gitrun.capture.program import Program
from gitrun.capture.secrets import Redactor
from gitrun.capture.words import arguments_start, read_words, scalar
from gitrun.model.canonical import decode, encode
from tests.conftest import write_files


def program(at: int = 0, script_follows: bool = True) -> Program:
    return Program(at, b"/bin/python", b"/bin/python", True, script_follows, {}, [])


def capture(command: str, cwd: Path, *files: str, environ: dict[str, str] | None = None, **more: Any) -> Facts:
    argv = [word.encode() for word in shlex.split(command)]
    facts = capture_config(
        argv, [os.fsencode(file) for file in files], Redactor(environ or {}),
        cwd=os.fsencode(cwd), worktree=os.fsencode(cwd), program=program(**more),
    )  # fmt: skip
    decode(encode(facts.value))  # whatever was read can be stored
    return facts


COMMANDS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("--lr 0.1 --epochs=3 --name bert", {"lr": 0.1, "epochs": 3, "name": "bert"}, []),
    ("--flag --lr 1e-3", {"flag": True, "lr": 0.001}, []),
    ("--no-cuda --no-", {"cuda": False, "no_": True}, []),
    ("--no-color=always", {"no_color": "always"}, []),
    ("--learning-rate -0.5 --offset -3", {"learning_rate": -0.5, "offset": -3}, []),
    ("-x 3 -v -j4 -n=7", {"x": 3, "v": True, "j": 4, "n": 7}, []),
    ("-lr 0.1 -verbose", {"lr": 0.1, "verbose": True}, []),
    (
        "model.lr=0.1 +model.depth=2 ++seed=1 db/engine@x=y",
        {"model.lr": 0.1, "model.depth": 2, "seed": 1, "db/engine@x": "y"},
        [],
    ),
    ("--use-amp seed=3", {"use_amp": True, "seed": 3}, []),
    ("--tag a --tag b --tag 3", {"tag": ["a", "b", 3]}, []),
    ("in.csv out.csv -", {}, ["in.csv", "out.csv", "-"]),
    ("--lr 0.1 -- --not-an-option x=1", {"lr": 0.1}, ["--not-an-option", "x=1"]),
    ("--a=b=c --empty= url=http://h/?a=b", {"a": "b=c", "empty": "", "url": "http://h/?a=b"}, []),
    ("--yes True --no false", {"yes": True, "no": False}, []),
    ("--text 'two words' --json '{\"a\": 1}'", {"text": "two words", "json": '{"a": 1}'}, []),
    ("--out -", {"out": "-"}, []),
]


@pytest.mark.parametrize(("arguments", "values", "positional"), COMMANDS, ids=[row[0] for row in COMMANDS])
def test_words(arguments: str, values: dict[str, Any], positional: list[str]) -> None:
    words = read_words([b"train.py", *(word.encode() for word in shlex.split(arguments))], 1)
    assert (words.values, words.positional) == (values, positional)
    assert set(words.positions) == set(values)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3), ("-3", -3), ("+3", 3), ("0", 0), ("3.0", 3.0), (".5", 0.5), ("5.", 5.0), ("1e5", 1e5),
        ("-1E-5", -1e-5),
        ("inf", math.inf), ("-inf", -math.inf), ("true", True), ("False", False), ("007", "007"), ("1_000", "1_000"),
        ("0x10", "0x10"), ("None", "None"), ("1.2.3", "1.2.3"), ("", ""), ("tRUE", "tRUE"), ("1e", "1e"), (" 3", " 3"),
        ("12345678901234567890", 12345678901234567890), ("9" * 5000, "9" * 5000), ("３", "３"),
    ],
)  # fmt: skip
def test_scalars(text: str, value: Any) -> None:
    assert scalar(text) == value and type(scalar(text)) is type(value)


def test_nan_is_kept() -> None:
    assert math.isnan(scalar("nan"))


@pytest.mark.parametrize(
    ("command", "start"),
    [
        ("python train.py --lr 1", 2), ("python -u -W ignore -X dev train.py a", 7), ("python -m pkg.train a", 3),
        ("python -mpkg a", 2), ("python -c pass a", 3), ("python -uc pass", 3), ("python -Bm pkg x", 3), ("python", 1),
        ("python -", 2),
    ],
)  # fmt: skip
def test_where_arguments_start_behind_an_interpreter(command: str, start: int) -> None:
    assert arguments_start([word.encode() for word in command.split()], 0, True) == start


def test_provenance_counts_from_the_first_word_of_the_command(tmp_path: Path) -> None:
    value = capture("timeout 5 python train.py --lr 0.1 seed=3", tmp_path, at=2).value
    assert value["values"] == {"lr": 0.1, "seed": 3}
    assert value["provenance"]["lr"] == {"source": "argv", "position": 4, "default": None}
    assert value["provenance"]["seed"]["position"] == 6


CONTENT = {
    "a.json": '{"model": {"lr": 0.5, "layers": [1, 2], "heads": [{"n": 1}, {"n": 2}]}, "x": null, "nan": NaN, "e": {}}',
    "a.toml": 'x = 1\nwhen = 2026-11-24\n[model]\nlr = 0.5\nname = "ä"\ninf = -inf\n',
    "a.ini": "[DEFAULT]\nbase = 1\n[model]\nlr = 0.5\nName = x y\nflag\n[empty]\n",
    "a.yaml": "model:\n  lr: 0.5\n  sizes: [1, 2]\nwhen: 2026-11-24\nanchor: &a {k: 1}\nalso: *a\n3: three\n",
}
VALUES: dict[str, dict[str, Any]] = {
    "a.json": {"model.lr": 0.5, "model.layers": [1, 2], "model.heads.0.n": 1, "model.heads.1.n": 2, "x": None, "e": {}},
    "a.toml": {"x": 1, "when": "2026-11-24", "model.lr": 0.5, "model.name": "ä", "model.inf": -math.inf},
    "a.ini": {
        "DEFAULT.base": 1,
        "model.base": 1,
        "model.lr": 0.5,
        "model.Name": "x y",
        "model.flag": None,
        "empty.base": 1,
    },
    "a.yaml": {"model.lr": 0.5, "model.sizes": [1, 2], "when": "2026-11-24", "anchor.k": 1, "also.k": 1, "3": "three"},
}


@pytest.mark.parametrize("name", sorted(CONTENT))
def test_files_of_every_format(tmp_path: Path, name: str) -> None:
    write_files(tmp_path, {name: CONTENT[name]})
    facts = capture(f"python train.py --config {name}", tmp_path)
    values = dict(facts.value["values"])
    assert values.pop("config") == name
    if name == "a.json":
        assert math.isnan(values.pop("nan"))
    assert values == VALUES[name]
    assert facts.value["provenance"][next(iter(values))] == {"source": "file", "file": name, "default": None}
    data = CONTENT[name].encode()
    assert facts.value["files"] == [
        {
            "path": name, "format": {"yml": "yaml"}.get(name[2:], name[2:]), "given_by": "argv", "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(), "note": None,
        }
    ]  # fmt: skip
    assert facts.problems == []


def test_the_command_line_wins_over_files(tmp_path: Path) -> None:
    write_files(tmp_path, {"c.json": '{"lr": 1, "seed": 2}'})
    value = capture("python train.py c.json --lr 0.1", tmp_path).value
    assert value["values"] == {"lr": 0.1, "seed": 2}
    assert [value["provenance"][key]["source"] for key in ("lr", "seed")] == ["argv", "file"]
    assert value["positional"] == ["c.json"]


def test_files_given_to_gitrun_and_each_file_once(tmp_path: Path) -> None:
    write_files(tmp_path, {"sub/c.json": '{"a": 1}', "plain.txt": "x"})
    facts = capture("python train.py ./sub/../sub/c.json", tmp_path, "sub/c.json", "plain.txt", "absent.json")
    assert [(file["path"], file["given_by"]) for file in facts.value["files"]] == [
        ("sub/c.json", "gitrun"), ("plain.txt", "gitrun"), ("absent.json", "gitrun"),
    ]  # fmt: skip
    assert len(facts.problems) == 2 and "absent.json: No such file" in facts.problems[1]


def test_secrets_are_replaced_in_words_and_files_and_the_file_has_no_hash(tmp_path: Path) -> None:
    write_files(
        tmp_path, {"c.json": '{"db": {"password": "hunter2"}, "lr": 1}', "d.toml": 'note = "correct-horse-9"\n'}
    )
    facts = capture("python train.py c.json --api-key abc123 d.toml", tmp_path, environ={"HF_TOKEN": "correct-horse-9"})
    assert facts.value["values"] == {
        "db.password": "<secret:db.password>", "lr": 1, "note": "<secret:HF_TOKEN>", "api_key": "<secret:api-key>",
    }  # fmt: skip
    assert [file["sha256"] for file in facts.value["files"]] == [None, None]
    assert b"hunter2" not in encode(facts.value) and b"abc123" not in encode(facts.value)


def test_a_broken_file_does_not_leak_through_its_message(tmp_path: Path) -> None:
    write_files(tmp_path, {"c.ini": "password=hunter2\n", "credentials.json": '{"a": "hunter2"}'})
    facts = capture("python train.py c.ini credentials.json", tmp_path)
    assert b"hunter2" not in encode(facts.value) and "hunter2" not in "".join(facts.problems)
    assert [file["sha256"] for file in facts.value["files"]] == [None, None]


HOSTILE: list[tuple[str, bytes, str]] = [
    ("json", b"{", "not JSON"),
    ("json", b"\xff\xfe", "not JSON"),
    ("json", b"[1, 2]", "no named values"),
    ("json", b'{"a": ' + b"[" * 100_000, "nested too deeply"),
    ("json", b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", "nested too deeply"),
    ("json", b'{"a":' * 40 + b"1" + b"}" * 40, "nested too deeply"),
    ("json", json.dumps({f"k{n}": n for n in range(6000)}).encode(), "more than 5000 values"),
    ("json", json.dumps({"a": list(range(6000))}).encode(), "data rather"),
    ("json", b'{"a": ' + b"9" * 10_000 + b"}", "not JSON"),
    ("json", b" " * ((1 << 20) + 1), "too large"),
    ("toml", b"a = " + b"[" * 5000, "nested too deeply"),
    ("toml", b"a = ", "not TOML"),
    ("ini", b"no section = 1\n", "not INI"),
    ("yaml", b"a: [" * 10_000, "nested too deeply"),
    ("yaml", b"- " * 50_000, "nested too deeply"),
    ("yaml", b"a: &a [*a]", "deeply"),
    ("yaml", b"a: !!python/object/apply:os.system [x]", "not YAML"),
    ("yaml", b"a: *nobody", "not YAML"),
    ("yaml", b"a: &a [x,x]\n" + b"".join(b"b%d: [*a,*a,*a,*a]\n" % n for n in range(50)), "aliases"),
    ("yaml", b"a0: &a0 {k: 1}\n" + b"".join(
        b"a%d: &a%d {<<: [*a%d,*a%d,*a%d,*a%d,*a%d]}\n" % (n, n, *([n - 1] * 5)) for n in range(1, 12)), "aliases"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "data", "words"), HOSTILE, ids=[f"{row[0]} {row[2]}" for row in HOSTILE])
def test_hostile_files_are_refused_in_words(kind: str, data: bytes, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        read_values(data, kind)


def test_a_bomb_of_aliases_is_counted_not_unfolded() -> None:
    bomb = b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    bomb += b"".join(b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 9)) for n in range(9))
    with pytest.raises(Unreadable):
        read_values(bomb, "yaml")


def test_lone_surrogates_in_json_can_be_stored() -> None:
    assert encode(read_values(b'{"a": "\\ud800", "\\udfff": 1}', "json"))


def test_yaml_without_pyyaml_names_the_file_and_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    write_files(tmp_path, {"c.yml": "lr: 1\n"})
    facts = capture("python train.py c.yml", tmp_path)
    assert facts.value["values"] == {} and "gitrun[yaml]" in facts.problems[0]
    assert facts.value["files"][0]["sha256"] == hashlib.sha256(b"lr: 1\n").hexdigest()


def test_odd_files_in_the_place_of_configuration(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "dir.json").mkdir()
    (tmp_path / "huge.json").write_bytes(b"{}" + b" " * configfile.MAX_BYTES)
    (tmp_path / b"\xff.json".decode("utf-8", "surrogateescape")).write_text('{"a": 1}')
    facts = capture_config(
        [b"python", b"t.py", b"--c=\xff.json", b"huge.json"], [b"pipe.json", b"dir.json", b"\0.json"], Redactor({}),
        cwd=os.fsencode(tmp_path), worktree=None, program=program(),
    )  # fmt: skip
    assert facts.value["values"]["a"] == 1 and len(facts.problems) == 4
    encode(facts.value)


def test_more_files_than_anybody_has(tmp_path: Path) -> None:
    write_files(tmp_path, {f"{n}.json": "{}" for n in range(60)})
    facts = capture("python t.py " + " ".join(f"{n}.json" for n in range(60)), tmp_path)
    assert len(facts.value["files"]) == 50 and "60 files named" in facts.problems[0]


def test_ten_megabytes_of_argv(tmp_path: Path) -> None:
    argv = [b"python", b"t.py", *[b"--k%d=%s" % (n, b"v" * 100) for n in range(10_000)], b"x" * (9 << 20)]
    facts = capture_config(argv, [], Redactor({}), cwd=os.fsencode(tmp_path), worktree=None, program=program())
    assert len(facts.value["values"]) == 10_000
