"""Ignore rules are git's, on generated patterns and names."""

from __future__ import annotations

import os
import subprocess
import tempfile

from hypothesis import given, settings
from hypothesis import strategies as st

from gitrun.git.ignore import IgnoreRules

PIECES = [
    b"a", b"b", b"A", b"ab", b"*", b"**", b"?", b"/", b"/", b"[a-b]", b"[!a]", b"[^b]", b"[[:alpha:]]", b"[A-B]",
    b"[B]", b"\\a", b"\\A", b"\\*", b"\\", b"[", b"]", b" ", b".", b"!", b"#", b"[]-]", b"[a\\]]", b"**/", b"/**",
    b"\\ ", b"-",
]  # fmt: skip
NAMES = [
    b"a",
    b"b",
    b"ab",
    b"ba",
    b"A",
    b"B",
    b"aB",
    b"a.b",
    b"c",
    b"]",
    b"-",
    b"a ",
    b"*",
    b"\\a",
    b"!a",
    b"#a",
    b"[a",
]

patterns = st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map(b"".join), max_size=5).map(b"\n".join)
paths = st.lists(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(b"/".join), min_size=5, max_size=40)


@settings(max_examples=60, deadline=None)
@given(outer=patterns, inner=patterns, exclude=patterns, names=paths, ignore_case=st.booleans())
def test_ignored_is_what_git_ignores(
    outer: bytes, inner: bytes, exclude: bytes, names: list[bytes], ignore_case: bool
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        top = os.fsencode(directory) + b"/"
        subprocess.run(["git", "init", "-q", directory], check=True)
        subprocess.run(["git", "-C", directory, "config", "core.ignoreCase", str(ignore_case)], check=True)
        os.mkdir(top + b"a")
        for name, rules in ((b".gitignore", outer), (b"a/.gitignore", inner), (b".git/info/exclude", exclude)):
            with open(top + name, "wb") as file:
                file.write(rules)
        found = make_files(top, names)
        answer = subprocess.run(
            ["git", "-C", directory, "check-ignore", "-z", "--stdin", "--no-index"],
            input=b"".join(path + b"\0" for path in found),
            capture_output=True,
        )
        ignored = set(answer.stdout.split(b"\0"))
        rules_of = IgnoreRules(top, [exclude], ignore_case)
        for path, is_dir in found.items():
            cut = path.rfind(b"/") + 1
            assert rules_of.is_ignored(path[:cut], path[cut:], is_dir) == (path in ignored), path


def make_files(top: bytes, names: list[bytes]) -> dict[bytes, bool]:
    """Create what can be created of these paths; every path there is, with whether it is a directory."""
    for path in names:
        try:
            os.makedirs(os.path.dirname(top + path), exist_ok=True)
            open(top + path, "wb").close()
        except OSError:
            continue  # a file is where this needs a directory
    found = {}
    for here, below, files in os.walk(top):
        below[:] = [name for name in below if name != b".git"]
        prefix = here[len(top) :] + b"/" if len(here) > len(top) else b""
        found.update({prefix + name: True for name in below})
        found.update({prefix + name: False for name in files})
    return found
