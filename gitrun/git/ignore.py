"""Which untracked paths Git would not add: .gitignore files, info/exclude and core.excludesFile, exactly.

The rules of one file are kept in order and asked from the last to the first; the files are asked
from the deepest directory up, then info/exclude, then the user's own. Nothing below an ignored
directory is ever asked about, which is also why a negation cannot reach into one.

Most rules are plain names, and compiling an expression costs more than a small snapshot may: names
are looked up, and each wildcard rule first asks for the longest text it cannot do without.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from gitrun.git.repository import Repository
from gitrun.git.wildmatch import WILD, compile_pattern

_LONGEST_FILE = 100 << 20
_SPLIT = re.compile(rb"[*?/]")
_BOM = b"\xef\xbb\xbf"


class Rule:
    """One line of an ignore (or attributes) file; patterns are relative to the file's directory."""

    __slots__ = ("_expression", "_ignore_case", "directories_only", "is_path", "literal", "needle", "negated", "text")

    def __init__(self, text: bytes, negated: bool, directories_only: bool, is_path: bool, ignore_case: bool) -> None:
        self.negated = negated
        self.directories_only = directories_only
        self.is_path = is_path
        self.text = text
        self._ignore_case = ignore_case
        self.literal = WILD.search(text) is None
        self.needle = b"" if self.literal else _needle(text.lower() if ignore_case else text)
        self._expression: re.Pattern[bytes] | bool | None = False

    def matches(self, path: bytes, name: bytes) -> bool:
        """Whether the rule matches `path` (relative to its directory), whose last component is `name`."""
        subject = path if self.is_path else name
        if self._ignore_case:
            subject = subject.lower()
        if self.literal:
            return subject == (self.text.lower() if self._ignore_case else self.text)
        if self.needle and self.needle not in subject:
            return False
        if self._expression is False:
            self._expression = compile_pattern(self.text, is_path=self.is_path, ignore_case=self._ignore_case)
        return bool(self._expression and self._expression.fullmatch(subject))  # type: ignore[union-attr]  # not True


def _needle(text: bytes) -> bytes:
    """The longest text without which the pattern matches nothing; the slash of `**/` is no such text."""
    if b"[" in text or b"\\" in text:
        return b""
    return max(_SPLIT.split(text), key=len)


class _File:
    """The rules of one file, for paths that begin with `prefix`."""

    __slots__ = ("_literal", "_prefix", "_rules", "_wild")

    def __init__(self, prefix: bytes, rules: list[Rule], ignore_case: bool) -> None:
        self._prefix = len(prefix)
        self._rules = rules
        self._literal: dict[bytes, int] | None = None if ignore_case else {}
        self._wild: list[int] = []
        for number, rule in enumerate(rules):
            if self._literal is not None and rule.literal and not rule.directories_only:
                self._literal[b"/" + rule.text if rule.is_path else rule.text] = number
            else:
                self._wild.append(number)
        self._wild.reverse()

    def verdict(self, path: bytes, name: bytes, is_dir: bool) -> bool | None:
        """True: ignored, False: kept by a negation, None: no rule matches."""
        path = path[self._prefix :]
        found = -1
        if self._literal:
            found = max(self._literal.get(name, -1), self._literal.get(b"/" + path, -1))
        for number in self._wild:
            if number < found:
                break
            rule = self._rules[number]
            if (is_dir or not rule.directories_only) and rule.matches(path, name):
                found = number
                break
        return None if found < 0 else not self._rules[found].negated


class _Scope(NamedTuple):
    """What holds inside one directory: whether all of it is ignored, and the files to ask, deepest first."""

    ignored: bool
    files: tuple[_File, ...]


class IgnoreRules:
    """The ignore rules of one worktree; each .gitignore is read when something beside it is asked about."""

    def __init__(self, top: bytes, outer: list[bytes], ignore_case: bool = False, below: bytes = b"") -> None:
        self._top = top
        self._below = below
        self._ignore_case = ignore_case
        always = [_File(b"", rules, ignore_case) for data in outer if (rules := parse_rules(data, ignore_case))]
        self._scopes = {b"": _Scope(False, (*self._own(b""), *always))}

    @classmethod
    def for_repository(cls, repo: Repository, below: bytes = b"") -> IgnoreRules:
        """The rules of a repository's worktree, for questions about its directory `below` (b"" or b"a/b/")."""
        assert repo.worktree is not None
        paths = [os.path.join(repo.common_dir, "info", "exclude")]
        if user := user_file(repo, "core.excludesfile", "ignore"):
            paths.append(user)
        outer = [read_rules(os.fsencode(path)) for path in paths]
        return cls(os.fsencode(repo.worktree) + b"/", outer, repo.config.get_bool("core.ignorecase"), below)

    def is_ignored(self, directory: bytes, name: bytes, is_dir: bool) -> bool:
        """Whether the untracked `name` in `directory` (b"" or b"a/b/") is ignored, itself or with a directory above."""
        directory = self._below + directory
        scope = self._scopes.get(directory) or self._enter(directory)
        return scope.ignored or self._asked(scope, directory + name, name, is_dir)

    def is_inside_ignored(self, directory: bytes) -> bool:
        """Whether `directory` lies in an ignored directory or is one."""
        directory = self._below + directory
        return (self._scopes.get(directory) or self._enter(directory)).ignored

    def _enter(self, directory: bytes) -> _Scope:
        missing = []
        at = directory
        while at not in self._scopes:
            missing.append(at)
            at = at[: at.rfind(b"/", 0, -1) + 1]
        scope = self._scopes[at]
        for below in reversed(missing):
            name = below[len(at) : -1]
            if scope.ignored or self._asked(scope, below[:-1], name, True):
                scope = _Scope(True, ())
            else:
                scope = _Scope(False, (*self._own(below), *scope.files))
            self._scopes[below] = scope
            at = below
        return scope

    def _own(self, directory: bytes) -> tuple[_File, ...]:
        data = read_rules(self._top + directory + b".gitignore", os.O_NOFOLLOW)
        rules = parse_rules(data, self._ignore_case)
        return (_File(directory, rules, self._ignore_case),) if rules else ()

    @staticmethod
    def _asked(scope: _Scope, path: bytes, name: bytes, is_dir: bool) -> bool:
        for file in scope.files:
            if (verdict := file.verdict(path, name, is_dir)) is not None:
                return verdict
        return False


def user_file(repo: Repository, key: str, default: str) -> str | None:
    """The path a Git setting names (`~` is the user's home), else `default` in the user's Git directory."""
    if named := repo.config.get(key):
        path = _home(repo) + named[1:] if named.startswith("~/") else os.path.expanduser(named)
        return os.path.join(repo.worktree or "", path)
    base = repo.environ.get("XDG_CONFIG_HOME") or (_home(repo) and os.path.join(_home(repo), ".config"))
    return os.path.join(base, "git", default) if base else None


def _home(repo: Repository) -> str:
    return repo.environ.get("HOME", "")


def read_rules(path: bytes, flags: int = 0) -> bytes:
    """The bytes of a file of rules; empty where there is none that can be read, as for git."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | flags)
    except OSError:
        return b""  # absent, a symbolic link in the worktree, or not ours to read: git goes on too
    try:
        with open(fd, "rb") as file:
            return file.read(min(os.fstat(fd).st_size, _LONGEST_FILE))
    except OSError:
        return b""  # a directory of that name


def parse_rules(data: bytes, ignore_case: bool = False) -> list[Rule]:
    """The rules in the text of an ignore file (dir.c, parse_path_pattern)."""
    rules = []
    for line in data.removeprefix(_BOM).split(b"\n"):
        if not line or line.startswith(b"#"):
            continue
        text = trim(line.removesuffix(b"\r"))
        negated = text.startswith(b"!")
        if rule := make_rule(text[1:] if negated else text, negated, ignore_case):
            rules.append(rule)
    return rules


def make_rule(text: bytes, negated: bool, ignore_case: bool) -> Rule | None:
    """The rule of one pattern; None for an empty one."""
    directories_only = text.endswith(b"/")
    if directories_only:
        text = text[:-1]
    is_path = b"/" in text
    if not text:
        return None
    return Rule(text.removeprefix(b"/"), negated, directories_only, is_path, ignore_case)


def trim(line: bytes) -> bytes:
    """A line without trailing spaces, except one that a backslash protects (dir.c, trim_trailing_spaces)."""
    keep = len(line)
    at = 0
    last_space = None
    while at < keep:
        byte = line[at : at + 1]
        if byte == b" ":
            last_space = at if last_space is None else last_space
        elif byte == b"\\":
            at += 1
            if at >= keep:
                return line
            last_space = None
        else:
            last_space = None
        at += 1
    return line if last_space is None else line[:last_space]
