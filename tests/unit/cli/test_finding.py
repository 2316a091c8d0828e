"""`ls` with expressions and forms, and every verb that takes an expression where it takes a run."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Result
from tests.unit.archive.test_index_db import A, B, C, config, metric
from tests.unit.cli.test_ls import as_terminal


@pytest.fixture
def two(hand: Any) -> Any:
    hand.seal(A, config(lr=0.1, data="a|b_c"), metrics={"loss": metric(0.5), "val/acc": metric(0.25)}, name="first")
    hand.seal(B, config(lr=0.01, data="a|b_c"), metrics={"loss": metric(0.125)})
    return hand


def test_an_expression_in_one_word_or_many(two: Any, call: Callable[..., Result]) -> None:
    for words in (["metrics.loss < 0.2"], ["metrics.loss", "<", "0.2"], ["-n", "1", "metrics.loss < 0.2", "--sort=id"]):
        assert [line.split("\t")[0] for line in call("ls", *words).stdout.splitlines()] == [B]
    assert [run["id"] for run in call("ls", "config.lr == 0.1", "--json").json()] == [A]


def test_an_error_shows_the_place(two: Any, call: Callable[..., Result]) -> None:
    done = call("ls", "status == completed and metrics.los < 1")
    assert done.code == 2
    assert done.stderr.splitlines()[:3] == [
        "gitrun: no run has metrics.los; there is metrics.loss",
        "  status == completed and metrics.los < 1",
        "                          ^",
    ]
    done = call("ls", "x" * 100 + "\x1b == 'é" + "y" * 100)
    assert "\x1b" not in done.stderr
    assert max(map(len, done.stderr.splitlines())) < 200


def test_a_table_shows_what_differs(two: Any, call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    as_terminal(monkeypatch, 160)
    monkeypatch.setenv("NO_COLOR", "1")
    header, newer, older = call("ls").stdout.splitlines()
    assert header.split() == ["RUN", "NAME", "STATUS", "STARTED", "TOOK", "DIRTY", "lr", "loss", "val/acc", "COMMAND"]
    assert newer.split() == ["bbbbbb", "completed", "2026-11-24", "06:12", "0.50", "s", "0.01", "0.125", "true"]
    assert older.split()[-4:] == ["0.1", "0.5", "0.25", "true"]


def test_columns(two: Any, call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("--columns", "id,config.lr,min:metrics.loss,metrics.'val/acc'", "--sort", "id")
    assert call("ls", *words).stdout == f"{A}\t0.1\t0.5\t0.25\n{B}\t0.01\t0.125\t\n"
    rows = list(csv.DictReader(io.StringIO(call("ls", "--csv", *words).stdout)))
    assert rows[0] == {"id": A, "config.lr": "0.1", "min:metrics.loss": "0.5", "metrics.val/acc": "0.25"}
    as_terminal(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    assert call("ls", *words).stdout.splitlines()[1].split() == ["aaaaaa", "0.1", "0.5", "0.25"]


def test_csv_has_what_differs_behind_the_fixed_columns(two: Any, call: Callable[..., Result]) -> None:
    rows = list(csv.DictReader(io.StringIO(call("ls", "--csv").stdout)))
    assert list(rows[0])[:3] == ["id", "name", "status"]
    assert list(rows[0])[-3:] == ["config.lr", "metrics.loss", "metrics.val/acc"]
    assert rows[1]["started_at"] == "2026-11-24T06:12:46.000000Z"


def test_markdown_and_latex(two: Any, call: Callable[..., Result]) -> None:
    words = ("--columns", "name,config.data,metrics.loss", "--sort", "-name")
    assert call("ls", "--md", *words).stdout == (
        "| NAME  | config.data | metrics.loss |\n"
        "| ----- | ----------- | ------------ |\n"
        "| first | a\\|b\\_c     | 0.5          |\n"
        "|       | a\\|b\\_c     | 0.125        |\n"
    )
    assert call("ls", "--latex", *words).stdout.splitlines() == [
        r"\begin{tabular}{lll}",
        r"\toprule",
        r"NAME & config.data & metrics.loss \\",
        r"\midrule",
        r"first & a|b\_c & 0.5 \\",
        r" & a|b\_c & 0.125 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_groups(two: Any, call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    two.seal(C, config(lr=0.1), metrics={"loss": metric(0.25)})
    words = ("ls", "--by", "lr", "--columns", "loss")
    assert call(*words).stdout == "0.01\t1\t0.125\t\n0.1\t2\t0.375\t0.1767766952966369\n"
    assert call(*words, "--csv", "--agg", "max,n").stdout.splitlines()[0] == "config.lr,n,metrics.loss max"
    found = call(*words, "--json", "--agg", "mean,n").json()
    assert found[1] == {
        "by": {"config.lr": 0.1},
        "n": 2,
        "metrics": {"metrics.loss": {"mean": 0.375, "n": 2}},
        "runs": [C, A],
    }
    as_terminal(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    assert call(*words).stdout.splitlines()[2].split() == ["0.1", "2", "0.375", "0.1768"]
    assert call(*words, "--md").stdout.startswith("| lr ")


def test_best(two: Any, call: Callable[..., Result]) -> None:
    assert call("ls", "--best", "min:loss").stdout.startswith(B)
    assert len(call("ls", "--best", "max:loss").stdout.splitlines()) == 1
    assert call("ls", "--best", "loss").code == 2
    assert call("show", "@best:max:metrics.loss").stdout.startswith(f"run {A}")
    assert call("show", "@best:min:val/acc").stdout.startswith(f"run {A}")


@pytest.mark.parametrize(
    "words",
    [
        ("--nonsense",),
        ("--json", "--csv"),
        ("--limit", "x"),
        ("--sort",),
        ("--json=1",),
        ("--agg", "mean"),
        ("--by", "id", "--agg", "sum"),
        ("--by", "id", "--best", "max:loss", "--agg", "mean"),
    ],
)
def test_words_that_mean_nothing(two: Any, call: Callable[..., Result], words: tuple[str, ...]) -> None:
    done = call("ls", *words)
    assert done.code == 2
    assert "next: gitrun ls --help" in done.stderr


def test_help_names_every_option(two: Any, call: Callable[..., Result]) -> None:
    text = call("ls", "--help").stdout
    for word in ("--sort", "--best", "--columns", "--by", "--agg", "--limit", "--json", "--csv", "--md", "--latex"):
        assert word in text


def test_a_key_that_no_run_has_in_an_empty_archive(hand: Any, call: Callable[..., Result]) -> None:
    assert call("ls", "metrics.loss < 1").code == 2
    assert call("ls", "status == failed").code == 0


def test_verbs_take_an_expression(two: Any, call: Callable[..., Result]) -> None:
    assert call("show", "metrics.loss < 0.2").stdout.startswith(f"run {B}")
    assert [run["id"] for run in call("show", "metrics.loss > 0", "--json").json()] == [B, A]
    assert call("tag", "metrics.loss > 0", "good").stdout == f"{B}\tgood\n{A}\tgood\n"
    assert call("tag", "tag == good and config.lr == 0.1").stdout == "good\n"
    assert call("note", "tag == good", "both").code == 0
    assert [run["notes"] for run in call("ls", "--json").json()] == [["both"], ["both"]]
    assert call("rm", "status == lost").code == 1
    assert call("rm", "config.lr == 0.1 and tag == good").code == 0
    assert [run["id"] for run in call("ls", "--json").json()] == [B]


def test_a_name_that_looks_like_an_expression_is_a_name(two: Any, call: Callable[..., Result]) -> None:
    two.seal(C, name="status == completed")
    assert call("show", "status == completed").stdout.startswith(f"run {C}")
    two.seal("20261124-061249-dddddd", name="status == completed")
    done = call("rm", "status == completed")
    assert done.code == 1
    assert "could be 2 runs" in done.stderr
    assert len(call("ls").stdout.splitlines()) == 4


def test_rename(two: Any, call: Callable[..., Result]) -> None:
    assert call("rename", "first", "second").code == 0
    assert call("show", "first").code == 1
    assert call("show", "second", "--json").json()["name"] == "second"
    assert call("ls", "name == second").stdout.startswith(A)
    assert call("rename", "second", "").code == 0
    assert call("show", A, "--json").json()["name"] is None
    assert call("rename", A, "a\nb").code == 2


def test_the_process_goes_without_typer(two: Any, gitrun: Callable[..., Result], world: Path) -> None:
    hook = world / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        "import sys, os\nreal = os._exit\n"
        "def leave(code):\n    os.write(2, repr([m for m in ('typer', 'rich', 'pyarrow', 'zstandard', 'msgpack')"
        " if m in sys.modules]).encode())\n    real(code)\nos._exit = leave\n"
    )
    done = gitrun("ls", "metrics.loss < 0.2", cwd=two.root, env={"PYTHONPATH": str(hook)})
    assert done.stdout.startswith(B)
    assert done.stderr == "[]"


def test_runs_of_one_second_are_in_the_order_of_their_starts(hand: Any, call: Callable[..., Result]) -> None:
    early, late, between = (f"20261124-061250-{letter * 6}" for letter in "zab")
    for run_id, second in ((early, "50.100000"), (late, "50.300000"), (between, "50.200000")):
        hand.seal(run_id, started_at=f"2026-11-24T06:12:{second}Z", name="x")
    hand.seal("20261124-061249-cccccc", started_at="2026-11-24T06:12:49.900000Z", name="x")
    order = [late, between, early, "20261124-061249-cccccc"]
    assert [line.split("\t")[0] for line in call("ls").stdout.splitlines()] == order
    assert [call("show", f"@~{n}", "--json").json()["id"] for n in range(4)] == order
    assert [run["id"] for run in call("show", "name ~ x", "--json").json()] == order
