"""The options of `gitrun record`, as data: the fast path parses by this table, typer makes its help from it.

`record` cannot afford typer (60 ms to import, 150 more to run a command), and two definitions would drift apart.
"""

from typing import NamedTuple

from gitrun.errors import UsageError


class Option(NamedTuple):
    """One option: where its value goes, how it is spelled, the name of its value (None for a flag), and its help.

    A name with bars (`missing|all|none`) lists the values that there are.
    """

    field: str
    flags: tuple[str, ...]
    metavar: str | None
    help: str
    multiple: bool = False


RECORD_OPTIONS = (
    Option("name", ("-n", "--name"), "NAME", "A name for the run."),
    Option("tags", ("-t", "--tag"), "TAG", "A tag; may be given more than once.", multiple=True),
    Option("note", ("-m", "--note"), "NOTE", "A note in your own words."),
    Option(
        "claims",
        ("--claim",),
        "EXPR",
        "What is reproducible of its metrics, such as 'max:val_acc within 0.5%'; replays are judged by it.",
        multiple=True,
    ),
    Option("group", ("-g", "--group"), "GROUP", "The group this run belongs to (a sweep, a study)."),
    Option("config_files", ("--config",), "FILE", "A configuration file that the command reads.", multiple=True),
    Option("inputs", ("--input",), "GLOB", "Files the command reads, hashed before it starts.", multiple=True),
    Option(
        "outputs",
        ("--output",),
        "GLOB",
        "Files the command writes that would not be looked for: elsewhere, caches.",
        multiple=True,
    ),
    Option("keep", ("--keep",), "GLOB", "Outputs to store, whatever they weigh.", multiple=True),
    Option("no_keep", ("--no-keep",), "GLOB", "Outputs to name with their digest, and not to store.", multiple=True),
    Option("metrics", ("--metrics",), "FILE", "Metrics as CSV or JSON lines that the command writes.", multiple=True),
    Option(
        "vendor_env",
        ("--vendor-env",),
        "missing|all|none",
        "Keep installed packages as wheels: those missing from every index (the default), all, or none.",
    ),
    Option(
        "resume",
        ("--resume",),
        "RUN",
        "Go on from an earlier run; `auto` finds the latest unfinished one of that name or Slurm job, if any.",
    ),
    Option("join", ("--join",), "KEY", "Be a member of the run that others with this key are in; `--join=`: of none."),
    Option("members", ("--members",), "N", "How many members that run will have; one that never comes is told."),
    Option("seed", ("--seed",), "N", "Seed random, numpy, torch and others as they are imported, and Python's hashes."),
    Option("deterministic", ("--deterministic",), None, "Have libraries use deterministic algorithms."),
    Option("portable", ("--portable",), None, "One thread, and instructions that every machine of this kind has."),
    Option("probe", ("--probe",), None, "Replay the run when it has ended, and say what is not deterministic."),
    Option("at", ("--at",), "SNAPSHOT", "Run the code that `gitrun snapshot` froze, in a directory of its own."),
    Option("isolate", ("--isolate",), None, "Run in a fresh copy of the source, out of the way of other runs."),
    Option("archive", ("--archive",), "DIR", "The repository that keeps the run (default: the one around you)."),
    Option("id_file", ("--id-file",), "FILE", "Write the run's id to FILE before the command starts."),
    Option("quiet", ("-q", "--quiet"), None, "Print nothing but what went wrong."),
    Option("help", ("-h", "--help"), None, "Show this message and exit."),
)

RECORD_USAGE = "gitrun record [OPTIONS] [--] COMMAND [ARGUMENTS]..."
RECORD_SUMMARY = "Run a command and record it: the exact source, what it ran on, what it wrote, how it ended."
RECORD_DETAILS = (
    "The command behaves as if gitrun were not there: same output, same signals, same exit status. Options end at"
    " the first word that is not one. Exit status: the command's own (128+signal); 127 when it was not found, 126"
    " when it cannot be executed, 125 when gitrun could not start it."
)


def parse_record(words: list[bytes]) -> tuple[dict[str, bytes | bool | list[bytes]], list[bytes]]:
    """The options by field (only those given) and the command; raises UsageError."""
    known = {flag: option for option in RECORD_OPTIONS for flag in option.flags}
    values: dict[str, bytes | bool | list[bytes]] = {}
    at = 0
    while at < len(words):
        word = words[at]
        if word == b"--":
            return values, words[at + 1 :]
        if not word.startswith(b"-") or word == b"-":
            return values, words[at:]
        at += 1
        flag, value = _split(word)
        option = known.get(flag)
        if option is None:
            raise UsageError(f"record has no option {flag}", next="gitrun record --help")
        if option.metavar is None:
            if value is not None:
                raise UsageError(f"option {flag} takes no value", next="gitrun record --help")
            values[option.field] = True
            continue
        if value is None:
            if at == len(words):
                raise UsageError(f"option {flag} needs a {option.metavar}", next="gitrun record --help")
            value, at = words[at], at + 1
        if "|" in option.metavar and value.decode("utf-8", "replace") not in option.metavar.split("|"):
            raise UsageError(f"option {flag} is one of {option.metavar}", next="gitrun record --help")
        earlier = values.get(option.field)
        values[option.field] = [*(earlier if isinstance(earlier, list) else []), value] if option.multiple else value
    return values, []


def _split(word: bytes) -> tuple[str, bytes | None]:
    """`--flag=value` and `-fvalue` in two."""
    if word.startswith(b"--"):
        flag, equals, value = word.partition(b"=")
        return flag.decode("utf-8", "backslashreplace"), value if equals else None
    return word[:2].decode("utf-8", "backslashreplace"), word[2:] or None


def record_help() -> str:
    """The help text of `gitrun record`."""
    lines = help_lines(RECORD_OPTIONS)
    return f"Usage: {RECORD_USAGE}\n\n{RECORD_SUMMARY}\n\n{wrapped(RECORD_DETAILS)}\n\nOptions:\n{lines}\n"


def help_lines(options: tuple[Option, ...]) -> str:
    """The options as lines of a help text."""
    rows = [
        (", ".join(option.flags) + (f" {option.metavar}" if option.metavar else ""), option.help) for option in options
    ]
    width = max(len(left) for left, _ in rows)
    return "\n".join(f"  {left:<{width}}  {text}" for left, text in rows)


def wrapped(text: str, width: int = 100) -> str:
    """The text in lines."""
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return "\n".join(lines)
