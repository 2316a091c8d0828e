"""The options of `gitrun push` and `gitrun fetch`, as data: one small run is sent before typer could be loaded."""

from __future__ import annotations

from typing import NamedTuple

from gitrun.cli.options import Option, help_lines, wrapped
from gitrun.errors import UsageError

_HELP = Option("help", ("-h", "--help"), None, "Show this message and exit.")
_JSON = Option("json", ("--json",), None, "Print JSON, for programs.")
PUSH_OPTIONS = (
    Option("yes", ("-y", "--yes"), None, "Answer yes to what would be asked."),
    Option("dry_run", ("--dry-run",), None, "Say what would be sent, and send nothing."),
    Option("with_commits", ("--with-commits",), None, "Send the commits a run stands on, where the remote has not."),
    Option("quiet", ("-q", "--quiet"), None, "Print nothing but what went wrong."),
    _JSON,
    _HELP,
)
FETCH_OPTIONS = (
    Option("artifacts", ("--artifacts",), None, "Bring the files that runs read and wrote as well."),
    Option("quiet", ("-q", "--quiet"), None, "Print nothing but what went wrong."),
    _JSON,
    _HELP,
)
PUSH_SUMMARY = "Send runs to a Git remote: one, those that meet an expression, or all that it has not."
FETCH_SUMMARY = "Bring runs from a Git remote, with their metrics and consoles."
_PUSH_DETAILS = (
    "REMOTE is a remote's name or the address of a repository; without one it is the remote that git would push to."
    " RUN is written as everywhere.",
    "A run that is there is left alone, and nothing is ever overwritten. A run travels with its source; commits under"
    " it that the remote has not stay here, unless --with-commits sends them. They are named, as is what looks like"
    " a secret, and nothing is sent before somebody says yes: at the terminal, or with --yes. Notes and tags travel"
    " along, all of this clone. Exit status 1 where a run could not be sent; what was sent stays there.",
)
_FETCH_DETAILS = (
    "REMOTE is a remote's name or the address of a repository; without one it is the remote that git would ask."
    " RUN is an id, a part of one, a name, tag:NAME, @best:min:KEY, or an expression, of what the remote has.",
    "Runs that are here stay as they are, and so do branches, tags and FETCH_HEAD. Runs that were removed here, or that"
    " somebody removed, come only when they are named by their id.",
)


class Asked(NamedTuple):
    """What was typed: the options that were given, by field, and the other words."""

    options: frozenset[str]
    words: list[str]


def parse(verb: str, options: tuple[Option, ...], words: list[str]) -> Asked:
    """What the words after a verb ask for; raises UsageError."""
    flags = {flag: option for option in options for flag in option.flags}
    given, rest = set[str](), list[str]()
    pending = iter(words)
    for word in pending:
        if word == "--":
            rest += list(pending)
        elif not word.startswith("-") or word == "-":
            rest.append(word)
        elif word in flags:
            given.add(flags[word].field)
        else:
            raise UsageError(f"{verb} has no option {word}", next=f"gitrun {verb} --help")
    return Asked(frozenset(given), rest)


def push_help() -> str:
    """The help text of `gitrun push`."""
    return _help("push", PUSH_SUMMARY, _PUSH_DETAILS, PUSH_OPTIONS)


def fetch_help() -> str:
    """The help text of `gitrun fetch`."""
    return _help("fetch", FETCH_SUMMARY, _FETCH_DETAILS, FETCH_OPTIONS)


def _help(verb: str, summary: str, details: tuple[str, ...], options: tuple[Option, ...]) -> str:
    text = "\n\n".join(map(wrapped, details))
    usage = f"Usage: gitrun {verb} [OPTIONS] [REMOTE] [RUN...]"
    return f"{usage}\n\n{summary}\n\n{text}\n\nOptions:\n{help_lines(options)}\n"
