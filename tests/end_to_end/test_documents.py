"""What the documents show is true: commands in `console` blocks are run, in order, in a scratch repository.

A line that starts with `$ ` is a command and must succeed, unless it ends in `# exit N`. A line below
it is output that must appear; `…` in it stands for anything, and ids and times for any id and time.
Everything that cannot run here (an installation, a scheduler) is fenced as `sh`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")] if "```console" in path.read_text()
)
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXIT = re.compile(r"\s+# exit (\d+)$")

TRAIN = """\
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
args = parser.parse_args()
for step in range(3):
    print(f"step {step} loss {1 / (1 + step * args.lr):.3f}")
"""


class Command(NamedTuple):
    """A command of a document, the exit status it announces, and the output shown below it."""

    words: str
    code: int
    shown: list[str]


def commands(text: str) -> Iterator[Command]:
    for block in BLOCK.findall(text):
        command: Command | None = None
        for line in block.splitlines():
            if line.startswith("$ "):
                if command:
                    yield command
                announced = EXIT.search(line)
                command = Command(EXIT.sub("", line[2:]), int(announced[1]) if announced else 0, [])
            elif line.strip():
                assert command, f"output before any command: {line!r}"
                command.shown.append(line)
        if command:
            yield command


def pattern(shown: str) -> re.Pattern[str]:
    """A regular expression for a shown line."""
    escaped = re.escape(shown.strip()).replace("…", ".*")
    escaped = re.sub(r"\d{8}\\-\d{6}\\-[0-9a-z]{6}", r"\\d{8}-\\d{6}-[0-9a-z]{6}", escaped)
    return re.compile(r"\s*" + re.sub(r"(\\ )+", r"\\s+", escaped) + r"\s*")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_documents_work(document: Path, make_repo: Callable[..., Path]) -> None:
    repo = make_repo({"train.py": TRAIN})
    bin_dir = os.path.dirname(sys.executable)
    environ = {**os.environ, "PATH": bin_dir + os.pathsep + os.environ["PATH"]}
    for command in commands(document.read_text()):
        done = subprocess.run(
            ["bash", "-c", command.words],
            cwd=repo,
            env=environ,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        said = f"$ {command.words}\n{done.stdout}{done.stderr}"
        assert done.returncode == command.code, said
        lines = (done.stdout + done.stderr).splitlines()
        for shown in command.shown:
            assert any(pattern(shown).fullmatch(line) for line in lines), f"not shown: {shown!r}\n{said}"


def test_every_document_is_found() -> None:
    assert ROOT / "README.md" in DOCUMENTS
