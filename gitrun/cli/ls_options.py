"""The options of `gitrun ls`, as data, and what was typed after it: a list comes before typer could be loaded."""

from __future__ import annotations

from typing import NamedTuple

from gitrun.archive.listing import AGGREGATES, Query
from gitrun.cli.options import Option, help_lines, wrapped
from gitrun.errors import UsageError

FORMATS = ("json", "csv", "md", "latex")
LS_OPTIONS = (
    Option("sort", ("--sort",), "KEY", "In the order of a key instead of newest first; -KEY: greatest first."),
    Option("best", ("--best",), "max:KEY|min:KEY", "Only the run with the greatest or least number (of each group)."),
    Option("columns", ("--columns",), "KEY,...", "These columns, in this order."),
    Option("by", ("--by",), "KEY,...", "Put runs with equal values together, one line a group."),
    Option("agg", ("--agg",), "NAME,...", f"What is said of a group's metrics: {', '.join(AGGREGATES)}."),
    Option("legs", ("--legs",), None, "Every leg of a resumed run, not the last alone (--json always has all)."),
    Option("remote", ("--remote",), "REMOTE", "What a Git remote has, by what its commits say; nothing is fetched."),
    Option("limit", ("-n", "--limit"), "N", "At most N lines (a terminal shows 50; 0: all)."),
    Option("json", ("--json",), None, "Print JSON, for programs."),
    Option("csv", ("--csv",), None, "Print CSV with a header line."),
    Option("md", ("--md",), None, "Print a Markdown table."),
    Option("latex", ("--latex",), None, "Print a LaTeX table (booktabs)."),
    Option("help", ("-h", "--help"), None, "Show this message and exit."),
)
SUMMARY = "List runs, newest first, all or those that meet an expression."
_DETAILS = (
    "EXPRESSION: 'metrics.loss < 0.1 and config.lr == 0.01', 'not tag == best', 'started > -7d', 'name ~ \"sweep*\"'."
    " Keys: config.NAME, metrics.NAME (its last value; min:, max:, first: before it), summary.NAME, and"
    " id name status exit command started ended duration changes group tag note branch dirty host parent replay_of"
    " resumed_from problem. A key with other characters is quoted: metrics.'val loss'.",
    "A table on a terminal, with the config keys in which the runs differ and up to three metrics; lines with tabs"
    " between fields in a pipe: id, name, status, exit, start (UTC), seconds, changed files, group, tags, parent,"
    " command. Runs that cannot be read are listed too, marked damaged.",
)


class Asked(NamedTuple):
    """What was typed: the query, the form of the answer ("" for the screen's own), the aggregates of groups."""

    query: Query
    form: str
    agg: str
    help: bool
    remote: str = ""


def parse_ls(words: list[str]) -> Asked:
    """What the words after `ls` ask for; raises UsageError."""
    flags, values, where = {flag: option for option in LS_OPTIONS for flag in option.flags}, {}, []
    pending = iter(words)
    for word in pending:
        if word == "--":
            where += list(pending)
        elif not word.startswith("-") or word == "-":
            where.append(word)
        else:
            name, equals, given = word.partition("=") if word.startswith("--") else (word[:2], word[2:], word[2:])
            option = flags.get(name)
            if option is None:
                raise UsageError(f"ls has no option {name}", next="gitrun ls --help")
            if option.metavar is None:
                if equals:
                    raise UsageError(f"option {name} takes no value", next="gitrun ls --help")
                values[option.field] = "yes"
                continue
            value = given if equals else next(pending, None)
            if value is None:
                raise UsageError(f"option {name} needs a {option.metavar}", next="gitrun ls --help")
            values[option.field] = value
    return _asked(values, " ".join(where))


def _asked(values: dict[str, str], where: str) -> Asked:
    forms = [form for form in FORMATS if form in values]
    if len(forms) > 1:
        raise UsageError(f"--{forms[0]} and --{forms[1]} exclude each other", next="gitrun ls --help")
    limit = values.get("limit")
    if limit is not None and not limit.isdecimal():
        raise UsageError(f"--limit takes a number, not {limit!r}", next="gitrun ls --help")
    if "agg" in values and ("by" not in values or "best" in values):
        raise UsageError("--agg is about the groups of --by", next="gitrun ls --help")
    chosen = {name: values.get(name, "") for name in ("sort", "best", "by", "columns")}
    query = Query(where, **chosen, limit=None if limit is None else int(limit), legs="legs" in values)
    return Asked(
        query, forms[0] if forms else "", values.get("agg", "mean,std,n"), "help" in values, _remote(values, where)
    )


def _remote(values: dict[str, str], where: str) -> str:
    """The remote to be listed; raises UsageError for what can be asked only of runs that are here."""
    if "remote" not in values:
        return ""
    other = sorted(values.keys() - {"remote", "limit", "json", "csv", "help"})
    if other or where:
        what = f"--{other[0]}" if other else "an expression"
        raise UsageError(f"{what} is about runs that are here: fetch them first", next="gitrun fetch --help")
    return values["remote"]


def ls_help() -> str:
    """The help text of `gitrun ls`."""
    details = "\n\n".join(map(wrapped, _DETAILS))
    lines = help_lines(LS_OPTIONS)
    return f"Usage: gitrun ls [OPTIONS] [EXPRESSION]\n\n{SUMMARY}\n\n{details}\n\nOptions:\n{lines}\n"
