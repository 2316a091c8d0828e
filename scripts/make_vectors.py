#!/usr/bin/env python3
"""Write the golden vectors under spec/vectors, or with --check say where they differ from what the code makes.

Each module in scripts/vectors_lib is one kind of vector and has `vectors() -> dict[path, bytes]`. A vector
never changes once a version is released: bytes that are out there have to stay readable, so a difference that
--check finds is either a bug or a new format with a new number.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VECTORS = ROOT / "spec" / "vectors"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where something differs")
    check = parser.parse_args().check
    sys.path.insert(0, str(ROOT))
    problems = 0
    for kind, vectors in all_vectors().items():
        folder = VECTORS / kind
        for name, data in vectors.items():
            path = folder / name
            if path.is_file() and path.read_bytes() == data:
                continue
            problems += 1
            print(f"{path.relative_to(ROOT)}: {'differs' if path.exists() else 'missing'}")
            if not check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.relative_to(folder).as_posix() not in vectors:
                problems += 1
                print(f"{path.relative_to(ROOT)}: nothing makes it")
    return 1 if check and problems else 0


def all_vectors() -> dict[str, dict[str, bytes]]:
    """The vectors of every kind, by the name of the module that makes them."""
    found = {}
    for path in sorted((ROOT / "scripts" / "vectors_lib").glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"vectors_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found[path.stem] = module.vectors()
    return found


if __name__ == "__main__":
    sys.exit(main())
