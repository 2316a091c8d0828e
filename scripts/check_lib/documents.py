"""Check the documents: links lead somewhere, indexes are complete, nothing names a machine or a missing command.

Commands shown in documents are run by tests/end_to_end/test_documents.py; this looks at the text.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
OUTSIDE = re.compile(r"^[a-z]+:")
ADVISED = re.compile(r"\bgitrun ([a-z]+)")
REGISTRY = re.compile(r"pypi\.org|pythonhosted|registry\.npmjs|deb\.debian")
MACHINE = re.compile(r"(?<![\w.])/(?:home|root|work|Users)/\w|" + REGISTRY.pattern)
# What a poetry.lock says of a file is its name on the public index, whose place is therefore a fact of that format.
PUBLIC_INDEX = ("gitrun/capture/lock/", "tests/unit/lock/")
DECISION = re.compile(r"\d{4}-[a-z0-9-]+\.md")
DECISION_PARTS = ("## Decision", "## Why", "## What it costs")
SKIP = {"build", "dist", "__pycache__"}
TEXT = {".md", ".py", ".toml", ".sh", ".json", ""}


def main() -> int:
    problems = [*broken_links(), *missing_from_index(), *decisions(), *machine_names(), *advice()]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


def files(suffixes: set[str]) -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        hidden = any(part in SKIP or (part.startswith(".") and part != ".ci") for part in parts)
        if not hidden and path.is_file() and path.suffix in suffixes:
            yield path


def broken_links() -> Iterator[str]:
    for path in files({".md"}):
        for target in LINK.findall(path.read_text()):
            if not OUTSIDE.match(target) and not (path.parent / target).exists():
                yield f"{path.relative_to(ROOT)}: the link to {target} leads nowhere"


def missing_from_index() -> Iterator[str]:
    """Every document of a folder is reachable from that folder's README."""
    for folder in ("spec", "docs"):
        index = ROOT / folder / "README.md"
        words = index.read_text()
        for path in sorted((ROOT / folder).rglob("*.md")):
            name = path.relative_to(index.parent).as_posix()
            if path != index and name not in words:
                yield f"{folder}/README.md: {name} is not in the index"


def decisions() -> Iterator[str]:
    seen: dict[str, str] = {}
    for path in sorted((ROOT / "spec" / "decisions").glob("*.md")):
        name = path.name
        if not DECISION.fullmatch(name):
            yield f"spec/decisions/{name}: is not named NNNN-title.md"
        elif seen.setdefault(name[:4], name) != name:
            yield f"spec/decisions/{name}: has the number of {seen[name[:4]]}"
        text = path.read_text()
        for part in DECISION_PARTS:
            if part not in text:
                yield f"spec/decisions/{name}: has no part {part!r}"


def machine_names() -> Iterator[str]:
    """Paths of one machine and names of registries have no place in a project that runs anywhere."""
    for path in files(TEXT):
        if path == Path(__file__).resolve():
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue  # a binary file, such as a test vector
        # tests move recorded paths about, and such a path has to look like one
        if str(path.relative_to(ROOT)).startswith(PUBLIC_INDEX):
            continue
        named = REGISTRY if path.relative_to(ROOT).parts[0] == "tests" else MACHINE
        for number, line in enumerate(text.splitlines(), 1):
            if named.search(line):
                yield f"{path.relative_to(ROOT)}:{number}: names a machine or a registry: {line.strip()[:80]}"


def advice() -> Iterator[str]:
    """What an error says to type next is a command there is; the words are those of every `next=` in gitrun/."""
    known = set(commands())
    for path in sorted((ROOT / "gitrun").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.keyword) or node.arg != "next":
                continue
            for part in ast.walk(node.value):
                words = part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else ""
                for name in ADVISED.findall(words):
                    if name not in known:
                        yield f"{path.relative_to(ROOT)}:{part.lineno}: advises gitrun {name}, which does not exist"


def commands() -> Iterator[str]:
    """The names in `FAMILIES` of the command line, each the module of one command."""
    for node in ast.walk(ast.parse((ROOT / "gitrun" / "cli" / "app.py").read_text())):
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "FAMILIES" for t in node.targets):
            yield from ast.literal_eval(node.value)


if __name__ == "__main__":
    sys.exit(main())
