"""What docs/python.md shows is true: its blocks are run in their order, and `# -> VALUE` is what the line gives."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Result

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "python.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r"^(.+?)\s+# -> (.+)$", re.MULTILINE)


def program(block: str) -> str:
    """The block as a program that fails where a line gives something else than is shown."""
    return SHOWN.sub(lambda match: f"assert repr({match[1]}) == {match[2]!r}, repr({match[1]})", block)


def test_a_shown_value_is_compared() -> None:
    with pytest.raises(AssertionError):
        exec(program("1 + 1   # -> 3\n"))


def test_the_examples_run(make_repo: Callable[..., Path], gitrun: Callable[..., Result]) -> None:
    blocks = [program(block) for block in BLOCK.findall(DOCUMENT.read_text())]
    assert len(blocks) == 4
    repo = make_repo({"train.py": blocks[0], "inside.py": blocks[1], ".gitignore": "__pycache__\n"})
    recorded = gitrun("record", "--", sys.executable, "train.py", cwd=repo)
    assert recorded.code == 0, recorded.stderr
    for name, block in enumerate(blocks[1:]):
        if "to_pandas" in block and importlib.util.find_spec("pandas") is None:
            continue
        (repo.parent / f"{name}.py").write_text(block)
        done = gitrun_python(repo, repo.parent / f"{name}.py")
        assert done.code == 0, done.stderr


def gitrun_python(repo: Path, script: Path) -> Result:
    import subprocess

    done = subprocess.run([sys.executable, str(script)], cwd=repo, capture_output=True, timeout=120)
    return Result(done.returncode, done.stdout, done.stderr, (str(script),))
