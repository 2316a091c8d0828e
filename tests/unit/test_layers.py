"""Rules of the house that import-linter has no words for; the layers themselves are its contracts in pyproject.toml."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gitrun

PACKAGE = Path(gitrun.__file__).parent
CHILD = sorted((PACKAGE / "child").rglob("*.py"))

# What the path to the spawn of a recorded command must not load, not even through another module.
HEAVY = {
    "argparse", "asyncio", "concurrent", "ctypes", "dataclasses", "email", "http", "importlib.metadata", "inspect",
    "logging", "multiprocessing", "pathlib", "shutil", "subprocess", "tempfile", "unittest", "urllib",
    "dulwich", "msgpack", "pyarrow", "pyfastcdc", "rich", "typer", "zstandard",
}  # fmt: skip


# Modules that load Arrow themselves, and are loaded by a function alone: where a run has points.
OF_POINTS = {"gitrun.capture.parquet", "gitrun.model.metric_tables"}


def module_level_imports(path: Path) -> Iterator[str]:
    """Names imported when the module is, those for type checkers left out."""
    pending: list[ast.stmt] = list(ast.parse(path.read_text()).body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            for _, value in ast.iter_fields(node):
                pending.extend(
                    item for item in (value if isinstance(value, list) else []) if isinstance(item, ast.stmt)
                )


def on_the_record_path() -> list[Path]:
    folders = ("git", "capture", "files", "recording", "model", "child")
    found = [path for folder in folders for path in (PACKAGE / folder).rglob("*.py")]
    found += [PACKAGE / name for name in ("__init__.py", "__main__.py", "errors.py", "monitor.py", "settings.py")]
    found += [PACKAGE / "cli" / name for name in ("__init__.py", "options.py", "fast.py")]
    return sorted(path for path in found if path.exists())


@pytest.mark.parametrize("path", on_the_record_path(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_on_the_record_path_import_nothing_heavy(path: Path) -> None:
    if ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) in OF_POINTS:
        return
    names = set(module_level_imports(path))
    assert not {name for name in names if name in HEAVY | OF_POINTS or name.split(".")[0] in HEAVY}


@pytest.mark.parametrize("path", CHILD, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_child_imports_the_standard_library_alone(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
        for name in names:
            top = name.split(".")[0]
            assert top in sys.stdlib_module_names or name.startswith("gitrun.child"), name


@pytest.mark.parametrize("path", CHILD, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_child_is_written_for_python_3_8(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 8))


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []
