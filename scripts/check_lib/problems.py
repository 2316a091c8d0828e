"""Hold the problem codes of the spec and of the code together.

`spec/problems.md` is the one table of codes: E for what is refused, W for what is warned about.
A code that the table lists twice, that code or another spec file uses and the table lacks, or
that the table has and no code mentions (unless its row says "reserved") is a failure.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "spec" / "problems.md"
CODE = re.compile(r"\b[EW]\d{3}\b")
ROW = re.compile(r"^\|\s*`?([EW]\d{3})`?\s*\|(.*)$", re.MULTILINE)


def main() -> int:
    rows = ROW.findall(TABLE.read_text())
    listed = Counter(code for code, _ in rows)
    reserved = {code for code, words in rows if "reserved" in words}
    in_code = set(codes_in_code())
    in_spec = set(codes_in_spec())
    problems = [f"{code}: listed {count} times" for code, count in sorted(listed.items()) if count > 1]
    problems += [f"{code}: used in gitrun/, not in the table" for code in sorted(in_code - listed.keys())]
    problems += [f"{code}: used in spec/, not in the table" for code in sorted(in_spec - listed.keys())]
    problems += [f"{code}: in the table, used nowhere" for code in sorted(listed.keys() - in_code - reserved)]
    problems += [f"{code}: reserved in the table, yet used" for code in sorted(reserved & in_code)]
    for problem in problems:
        print(f"{TABLE.relative_to(ROOT)}: {problem}")
    return 1 if problems else 0


def codes_in_code() -> Iterator[str]:
    """Codes in string constants of the program; comments such as a linter's do not count."""
    for path in (ROOT / "gitrun").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from CODE.findall(node.value)


def codes_in_spec() -> Iterator[str]:
    for path in (ROOT / "spec").rglob("*.md"):
        if path != TABLE:
            yield from CODE.findall(path.read_text())


if __name__ == "__main__":
    sys.exit(main())
