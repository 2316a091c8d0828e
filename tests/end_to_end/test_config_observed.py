"""A recorded program's configuration is in its record as the program itself parsed it, also when it was killed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import Result

Gitrun = Callable[..., Result]
PROGRAMS = Path(__file__).parents[1] / "unit" / "child" / "programs"


def recorded(gitrun: Gitrun, repo: Path, *words: str, code: int = 0) -> dict[str, Any]:
    done = gitrun("record", "-q", "--", sys.executable, *words, cwd=repo)
    assert done.code == code, done.stderr
    shown: dict[str, Any] = gitrun("show", "@", "--json", cwd=repo).json()
    return shown


def test_what_the_parser_took(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    repo = make_repo({"train.py": (PROGRAMS / "with_argparse.py").read_text()})
    run = recorded(gitrun, repo, "train.py", "--verbose", "d.csv", "-l", "0.5", "fit")
    assert run["config"]["values"] == {
        "verbose": True, "data": "d.csv", "lr": 0.5, "tags": [], "layers": None, "seed": 7, "command": "fit",
        "epochs": 3,
    }  # fmt: skip
    assert run["config"]["provenance"]["lr"] == {
        "source": "argv", "position": 4, "default": "0.1", "framework": "argparse",
    }  # fmt: skip
    assert run["coverage"]["config"] == "complete"


def test_a_program_that_is_killed_has_told_already(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    text = "import os, click\n@click.command()\n@click.option('--lr', default=0.1)\n"
    repo = make_repo({"train.py": text + "def main(lr):\n    os.kill(os.getpid(), 9)\nmain()\n"})
    run = recorded(gitrun, repo, "train.py", code=137)
    assert run["config"]["values"] == {"lr": 0.1}
    assert run["config"]["provenance"]["lr"] == {"source": "default", "default": 0.1, "framework": "click"}


def test_a_secret_among_observed_defaults_is_replaced(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    text = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--api-key', default='correct-horse-9')\n"
    repo = make_repo({"train.py": text + "p.parse_args()\n"})
    config = recorded(gitrun, repo, "train.py")["config"]
    assert config["values"] == {"api_key": "<secret:api_key>"} and "correct-horse-9" not in str(config)


def test_what_could_not_be_observed_is_said(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    text = "import argparse\nclass P(argparse.ArgumentParser):\n    def parse_args(self):\n"
    text += "        return super().parse_args()\n"
    repo = make_repo({"train.py": text + "p = P()\np.add_argument('--lr', type=float)\np.parse_args()\n"})
    run = recorded(gitrun, repo, "train.py", "--lr", "2")
    assert run["config"]["values"] == {"lr": 2.0}
    assert run["coverage"]["config"] == [
        "config from argparse: the parser's class has a parse_args of its own; the values are from before it"
    ]
