"""Git's configuration files, read without git: grammar, includes, and the order of the files.

The grammar is that of git-config(1); `includeIf` knows gitdir, gitdir/i and onbranch. Any other
condition is git's to judge: with `strict` it is refused, so that git is asked, else it counts as not met.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

from gitrun.errors import UnsupportedRepository
from gitrun.git.config import Config
from gitrun.git.wildmatch import compile_pattern

Pair = tuple[str, str | None]

_MAX_DEPTH = 10
_HEADER = re.compile(r'\s*\[\s*([-.0-9A-Za-z]+)\s*(?:"((?:[^"\\\n]|\\.)*)")?\s*\]')
_NAME = re.compile(r"\s*([A-Za-z][-0-9A-Za-z]*)[ \t]*(=?)")
_CONDITIONS = ("gitdir", "gitdir/i", "onbranch")
_ESCAPES = {"n": "\n", "t": "\t", "b": "\b", '"': '"', "\\": "\\"}


def read_protected(environ: Mapping[str, str], git_dir: str = "") -> list[Pair]:
    """What only the user and the machine's owner can set: system, global, and the environment."""
    return [*_read_files(_outer_files(environ), git_dir, environ), *_from_environment(environ)]


def read_config(git_dir: str, common_dir: str, environ: Mapping[str, str], *, strict: bool = False) -> Config:
    """The whole configuration of a repository; raises UnsupportedRepository for a file that is not a config."""
    local = list(_read_files([os.path.join(common_dir, "config")], git_dir, environ))
    if Config(local).get_bool("extensions.worktreeconfig"):
        local += _read_files([os.path.join(git_dir, "config.worktree")], git_dir, environ)
    outer = _read_files(_outer_files(environ), git_dir, environ)
    pairs = [*outer, *local, *_from_environment(environ)]
    if strict and (unknown := next((key for key, _ in pairs if _is_unknown_condition(key)), None)):
        raise UnsupportedRepository(f"{unknown}: a condition that only git can judge", next="install git")
    return Config(pairs)


def _is_unknown_condition(key: str) -> bool:
    return key.startswith("includeif.") and key[len("includeif.") :].partition(":")[0] not in _CONDITIONS


def _outer_files(environ: Mapping[str, str]) -> list[str]:
    files = []
    if not Config([("no", environ.get("GIT_CONFIG_NOSYSTEM", ""))]).get_bool("no"):
        files.append(environ.get("GIT_CONFIG_SYSTEM", "/etc/gitconfig"))
    if "GIT_CONFIG_GLOBAL" in environ:
        return [*files, environ["GIT_CONFIG_GLOBAL"]]
    home = environ.get("HOME", "")
    if xdg := environ.get("XDG_CONFIG_HOME") or (home and os.path.join(home, ".config")):
        files.append(os.path.join(xdg, "git", "config"))
    if home:
        files.append(os.path.join(home, ".gitconfig"))
    return files


def _from_environment(environ: Mapping[str, str]) -> list[Pair]:
    count = environ.get("GIT_CONFIG_COUNT", "")
    numbers = range(int(count)) if count.isdigit() else range(0)
    pairs: list[Pair] = []
    for n in numbers:
        key = environ.get(f"GIT_CONFIG_KEY_{n}", "")
        section, _, rest = key.partition(".")
        subsection, dot, name = rest.rpartition(".")
        pairs.append((f"{section.lower()}.{subsection}{dot}{name.lower()}", environ.get(f"GIT_CONFIG_VALUE_{n}")))
    return pairs


def _read_files(paths: list[str], git_dir: str, environ: Mapping[str, str]) -> Iterator[Pair]:
    for path in paths:
        yield from _read_file(path, git_dir, environ, 0)


def _read_file(path: str, git_dir: str, environ: Mapping[str, str], depth: int) -> Iterator[Pair]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            text = file.read()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
        return  # as git: a file that is not there or not ours to read says nothing
    if depth > _MAX_DEPTH:
        raise UnsupportedRepository(f"{path}: included more than {_MAX_DEPTH} levels deep")
    for key, value in parse(text, path):
        yield key, value
        if value and _includes(key, path, git_dir, environ):
            target = _expand(value, environ)
            target = os.path.join(os.path.dirname(path), target)
            yield from _read_file(target, git_dir, environ, depth + 1)


def _expand(path: str, environ: Mapping[str, str]) -> str:
    if path == "~" or path.startswith("~/"):
        return environ.get("HOME", "~") + path[1:]
    return path


def _includes(key: str, path: str, git_dir: str, environ: Mapping[str, str]) -> bool:
    if key == "include.path":
        return True
    if not (key.startswith("includeif.") and key.endswith(".path")):
        return False
    kind, _, pattern = key[len("includeif.") : -len(".path")].partition(":")
    if kind == "onbranch":
        return _on_branch(git_dir, pattern)
    if kind not in _CONDITIONS:
        return False
    pattern = _expand(pattern, environ)
    if pattern.startswith("./"):
        pattern = os.path.join(os.path.realpath(os.path.dirname(path)), pattern[2:])
    elif not pattern.startswith("/"):
        pattern = "**/" + pattern
    return any(_wildmatch(pattern, place, kind == "gitdir/i") for place in (os.path.realpath(git_dir), git_dir))


def _on_branch(git_dir: str, pattern: str) -> bool:
    try:
        with open(os.path.join(git_dir, "HEAD"), encoding="utf-8", errors="surrogateescape") as file:
            head = file.read().strip()
    except OSError:
        return False  # no branch, as on a detached HEAD
    branch = head.removeprefix("ref: refs/heads/")
    return branch != head and _wildmatch(pattern, branch, False)


def _wildmatch(pattern: str, text: str, ignore_case: bool) -> bool:
    """Git's wildmatch with WM_PATHNAME; a trailing slash means everything below."""
    if pattern.endswith("/"):
        pattern += "**"
    found = compile_pattern(os.fsencode(pattern), is_path=True, ignore_case=ignore_case)
    subject = os.fsencode(text)
    return found is not None and found.fullmatch(subject.lower() if ignore_case else subject) is not None


def parse(text: str, where: str) -> Iterator[Pair]:
    """The (key, value) pairs of one file; a value is None for a variable without "="."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    section, at = "", 0
    while at < len(text):
        if (skipped := re.compile(r"[\s]+|[#;][^\n]*").match(text, at)) is not None:
            at = skipped.end()
        elif (header := _HEADER.match(text, at)) is not None:
            section, at = _section(header), header.end()
        elif (name := _NAME.match(text, at)) is not None:
            key = f"{section}.{name[1].lower()}" if section else name[1].lower()
            value, at = _value(text, name.end(), where) if name[2] else (None, _line_end(text, name.end(), where))
            yield key, value
        else:
            raise _bad(text, at, where)


def _section(header: re.Match[str]) -> str:
    if header[2] is None:
        return header[1].lower()
    return header[1].lower() + "." + re.sub(r"\\(.)", r"\1", header[2])


def _line_end(text: str, at: int, where: str) -> int:
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    if (rest := text[at:end].strip()) and rest[0] not in "#;":
        raise _bad(text, at, where)
    return end


def _value(text: str, at: int, where: str) -> tuple[str, int]:
    out, spaces, quoted = "", "", False
    while at < len(text):
        char = text[at]
        at += 1
        if char == "\n":
            break
        if not quoted and char in " \t":
            spaces += " " if out else ""
            continue
        if not quoted and char in "#;":
            end = text.find("\n", at)
            return out, len(text) if end < 0 else end
        out, spaces = out + spaces, ""
        if char == '"':
            quoted = not quoted
        elif char != "\\":
            out += char
        else:
            escaped = text[at : at + 1]
            at += 1
            if escaped == "\n":
                continue
            if escaped not in _ESCAPES:
                raise _bad(text, at, where)
            out += _ESCAPES[escaped]
    if quoted:
        raise _bad(text, at - 1, where)
    return out, at


def _bad(text: str, at: int, where: str) -> UnsupportedRepository:
    line = text.count("\n", 0, at) + 1
    message = f"{where}: line {line} is not Git configuration"
    return UnsupportedRepository(message, next=f"git config --file {where} --list")
