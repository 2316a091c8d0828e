"""Whatever is done to the files of a run, only the same files are the same."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gitrun.replay.levels import Level
from tests.two_sides import AtHand, compared, entry

NAMES = st.sampled_from(
    ["a.txt", "b.txt", "out/a.txt", "out/b.txt", "run-1.txt", "run-2.txt", "version_0/a.txt", "version_1/a.txt",
     "version_0/b.txt", "version_2/b.txt", "outputs/2026-11-24/06-12-46/x.txt", "outputs/2026-11-25/06-12-46/x.txt"]
)  # fmt: skip
FILES = st.dictionaries(
    NAMES, st.tuples(st.sampled_from([b"", b"one\n", b"two\n", b"three\n"]), st.sampled_from(["0644", "0755"]))
)
Files = dict[str, tuple[bytes, str]]


def side(files: Files) -> AtHand:
    entries = [entry(path, data, mode=mode) for path, (data, mode) in files.items()]
    return AtHand(entries, {path.encode(): data for path, (data, _) in files.items()}, None)


@settings(max_examples=300, deadline=None)
@given(FILES, FILES)
def test_two_sides_are_the_same_only_where_their_files_are(a: Files, b: Files) -> None:
    found = compared(side(a), side(b))
    level = min((each.level for each in found), default=Level.BIT)
    assert (level == Level.BIT) == (a == b)
    assert level in (Level.BIT, Level.SEMANTIC, Level.DIFFERS)
    if level == Level.SEMANTIC:  # another name that a rule explains: nothing is missing, and each content has its own
        assert sorted(a.values()) == sorted(b.values())
        assert sum(each.renamed_from is not None for each in found) >= 1
        there = {each.renamed_from or each.path: each.path for each in found}
        assert len(set(there.values())) == len(there) == len(a)
        assert all(a[was.decode()] == b[now.decode()] for was, now in there.items())
        names = {(was.split(b"/")[0], now.split(b"/")[0]) for was, now in there.items() if was.startswith(b"version_")}
        assert len({was for was, _ in names}) == len(names) == len({now for _, now in names})
    assert level == min((each.level for each in compared(side(b), side(a))), default=Level.BIT)


@settings(max_examples=100, deadline=None)
@given(FILES)
def test_every_file_is_in_exactly_one_pair(a: Files) -> None:
    for files in (a, {}, dict(list(a.items())[1:])):
        found = compared(side(a), side(files))
        paths = [each.renamed_from or each.path for each in found]
        assert {path.decode() for path in paths} >= a.keys()
        assert len(found) <= len(a) + len(files)
