"""`gitrun record` without typer: from the command line to the recorder in as few milliseconds as possible.

Everything that is imported here delays the user's command, so messages are written by hand and the rest of the
command line is loaded only to report a bug. gitrun's own lines go to stderr: one when the command starts, one
when it has ended.
"""

import os
import signal
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gitrun.cli.options import parse_record, record_help
from gitrun.errors import GitrunError, UsageError
from gitrun.monitor import NOTICES, Monitor, Task
from gitrun.recording.signals import Inherited, hear_of_children, inherited

if TYPE_CHECKING:
    from gitrun.recording.request import Join, Recorded, RecordRequest, Started

NOT_STARTED, INTERRUPTED, BUG = 125, 130, 70


class Stopped(BaseException):
    """A signal that ends the process, before the command was started: what was prepared is removed on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _stop(number: int, _: object) -> None:
    raise Stopped(number)


def main(words: list[str]) -> int:
    """Runs `gitrun record WORDS`; the exit status for the shell."""
    found = inherited()
    hear_of_children(found)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if number not in found.ignored:
            signal.signal(number, _stop)
    try:
        return _main([os.fsencode(word) for word in words], found)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Stopped as stopped:
        signal.signal(stopped.number, signal.SIG_DFL)
        os.kill(os.getpid(), stopped.number)
        return 128 + stopped.number
    except GitrunError as problem:
        _say_harmlessly(f"gitrun: {problem}")
        if problem.kept:
            _say_harmlessly(f"  kept: {problem.kept}")
        if problem.next:
            _say_harmlessly(f"  next: {problem.next}")
        return NOT_STARTED  # whatever it was, the command was not started
    except Exception as bug:
        return _report(bug)


def _report(bug: Exception) -> int:
    try:
        from gitrun.cli.problems import report_bug  # brings the terminal along; a bug is worth it

        return report_bug(bug)
    except Exception:  # a bug so deep that it cannot even be logged
        import traceback

        say("".join(traceback.format_exception(bug)))
        return BUG


def _main(words: list[bytes], found: Inherited) -> int:
    options, command = parse_record(words)
    if options.get("help"):
        print(record_help(), end="")
        return 0
    if not command:
        raise UsageError("record needs a command", next="gitrun record -- COMMAND")
    if os.environ.get("GITRUN_DISABLE", "0") not in ("", "0"):
        return _unrecorded(command, found)
    environ = dict(os.environ)
    if "archive" in options:
        environ["GITRUN_ARCHIVE"] = os.path.abspath(os.fsdecode(_bytes(options["archive"])))
    quiet = bool(options.get("quiet")) or environ.get("GITRUN_QUIET", "0") not in ("", "0")
    return _record(options, command, environ, found, Lines(quiet))


def _unrecorded(command: list[bytes], found: Inherited) -> int:
    from gitrun.recording.unrecorded import cannot_start, run_unrecorded

    try:
        run_unrecorded(command, found)
    except OSError as problem:
        code, line = cannot_start(command, problem.errno or 0, problem.strerror or str(problem))
        say(f"gitrun: {line}")
        return code


def _record(
    options: Mapping[str, bytes | bool | list[bytes]],
    command: list[bytes],
    environ: dict[str, str],
    found: Inherited,
    lines: "Lines",
) -> int:
    from gitrun.recording.record import record
    from gitrun.recording.request import RecordRequest
    from gitrun.recording.unrecorded import NotExecuted, cannot_start

    if options.keys() & {"seed", "deterministic", "portable"}:
        environ = _steadied(options, environ, command)
    request = RecordRequest(
        command,
        name=_text(options.get("name")),
        tags=tuple(map(os.fsdecode, _list(options.get("tags")))),
        note=_text(options.get("note")),
        claims=_claims(_list(options.get("claims"))),
        group=_text(options.get("group")),
        config_files=tuple(_list(options.get("config_files"))),
        inputs=tuple(_list(options.get("inputs"))),
        outputs=tuple(_list(options.get("outputs"))),
        keep=tuple(_list(options.get("keep"))),
        no_keep=tuple(_list(options.get("no_keep"))),
        resume=_text(options.get("resume")),
        join=_join(_text(options.get("join")), _text(options.get("members")), environ),
        metrics=_metric_files(_list(options.get("metrics"))),
        id_file=_text(options.get("id_file")),
        settings={"lock.vendor": value} if (value := _text(options.get("vendor_env"))) is not None else {},
        owns_process=True,
        on_start=lines.started,
    )
    if options.get("probe") and request.join is not None:
        raise UsageError("--probe: one member cannot repeat a run of several", next="gitrun record --help")
    if options.get("isolate") or options.get("at"):
        request = _isolated(request, _text(options.get("at")), environ, lines)
    try:
        done = record(request, environ, lines, found)
    except NotExecuted as problem:
        code, line = cannot_start(command, problem.errno or 0, problem.strerror or str(problem))
        say(f"gitrun: {line}")
        return code
    lines.ended(done)
    if options.get("probe"):
        _probe(done, environ)
    return done.exit_code


def _steadied(
    options: Mapping[str, bytes | bool | list[bytes]], environ: dict[str, str], command: list[bytes]
) -> dict[str, str]:
    """The variables with those that make a command come out the same again."""
    from gitrun.recording.injection import without_child
    from gitrun.recording.steadying import Steady

    text = _text(options.get("seed"))
    if text is not None and not (text.isdecimal() and text.isascii() and int(text) < 1 << 63):
        raise UsageError(f"--seed {text}: a number from 0 up to 2^63", next="gitrun record --help")
    seed = None if text is None else int(text)
    steady = Steady(bool(options.get("deterministic")), bool(options.get("portable")), seed)
    environ = steady.variables(without_child(environ), command, os.getcwd())
    os.environ.update(environ)  # a command that cannot be recorded runs with them as well
    return environ


def _probe(done: "Recorded", environ: Mapping[str, str]) -> None:
    """Replays the run and tells what of it is not deterministic; the exit status stays that of the run."""
    if not done.sealed or done.failure is not None or done.status in ("interrupted", "lost"):
        say(f"gitrun: probe: {done.run_id} is not replayed, since it did not end as it should")
        return
    from gitrun.replay.probe import probe  # the command has ended

    try:
        for line in probe(done.run_id, environ):
            say(f"gitrun: {line}" if not line.startswith(" ") else line)
    except OSError as problem:
        say(f"gitrun: probe: no verdict: {problem}")


def _isolated(request: "RecordRequest", at: str | None, environ: dict[str, str], lines: "Lines") -> "RecordRequest":
    """The same request in a directory of its own; what it imports is not on the way of an ordinary run."""
    import time

    from gitrun.archive.archive import Archive
    from gitrun.git.discovery import current_directory
    from gitrun.model.ids import new_run_id
    from gitrun.replay.isolate import isolate

    run_id = new_run_id(time.time(), os.urandom(4))
    here = current_directory()
    with Archive.open(here, environ, lines) as archive:
        place = isolate(archive, run_id, here, at, lines)
    return request._replace(run_id=run_id, workdir=place.workdir, worktree=place.directory, source=place.snapshot)


class Lines(Monitor):
    """gitrun's own lines on stderr."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet

    def warn(self, code: str, message: str) -> None:
        """What costs the record something is said even when quiet: nobody may think that it is there."""
        if not self.quiet or code not in NOTICES:
            _say_harmlessly(f"gitrun: {message}")

    def task(self, name: str, total: int | None = None, unit: str = "") -> Task:
        """Progress on a terminal; only what comes after the command takes so long."""
        if self.quiet or not os.isatty(2):
            return Task()
        from gitrun.ui.monitor import TerminalMonitor  # the command has ended: nobody waits for its start
        from gitrun.ui.terminal import stderr

        return TerminalMonitor(stderr()).task(name, total, unit)

    def started(self, run: "Started") -> None:
        """The line before the command's own output."""
        if not self.quiet:
            changed = "no changes" if not run.changes else f"{run.changes} changed file{'s'[: run.changes != 1]}"
            member = f"member {run.member}, " if run.member else ""
            say(f"gitrun: recording {run.run_id} ({member}{changed}{_resumed(run)})")

    def ended(self, run: "Recorded") -> None:
        """The line after it."""
        if run.failure:
            say(f"gitrun: {run.failure}")
        if run.others:
            if not self.quiet:
                from gitrun.ui.words import leaving  # the command has ended

                say(f"gitrun: {leaving(run)}")
            return
        if not run.sealed:
            say(f"gitrun: {run.run_id} is not sealed: {run.problem}")
            return
        if self.quiet:
            return
        from gitrun.ui.words import ending  # the command has ended: nobody waits for its start

        say(f"gitrun: {ending(run)}")


def _join(key: str | None, members: str | None, environ: dict[str, str]) -> "Join | None":
    """Which run to be a member of; a step of a Slurm job with several tasks is one run without asking."""
    if members is not None and not (members.isdecimal() and int(members) > 0 and key):
        raise UsageError(f"--members {members}: a number of members of --join KEY", next="gitrun record --help")
    if key is None and "SLURM_STEP_ID" not in environ:
        return None
    from gitrun.recording.joining import asked_to_join  # most runs have one member

    return asked_to_join(key, members, environ)


def _resumed(run: "Started") -> str:
    """Which run it goes on from, and where the code is not what that one had."""
    if run.resumes is None:
        return ""
    from gitrun.archive.harmless import harmless  # resuming has read the archive
    from gitrun.model.ids import short
    from gitrun.model.listing import listed

    if run.drift is None:
        drift = ", whose source cannot be compared"
    else:
        drift = f", whose source differs: {listed(list(map(harmless, run.drift)), 3)}" if run.drift else ""
    return f", resumes {short(run.resumes)}{drift}"


def say(line: str) -> None:
    """One line on stderr, whole; a closed stderr is no reason to fail a run."""
    try:
        os.write(2, (line + "\n").encode("utf-8", "backslashreplace"))
    except OSError:
        pass  # nobody listens


def _say_harmlessly(line: str) -> None:
    """The same of what may quote a record or the name of a file."""
    from gitrun.archive.harmless import harmless  # most recordings have nothing to say

    say(harmless(line))


def _bytes(value: bytes | bool | list[bytes] | None) -> bytes:
    assert isinstance(value, bytes)
    return value


def _text(value: bytes | bool | list[bytes] | None) -> str | None:
    return os.fsdecode(value) if isinstance(value, bytes) else None


def _metric_files(paths: list[bytes]) -> tuple[bytes, ...]:
    for path in paths:
        if not path.lower().endswith((b".csv", b".tsv", b".jsonl", b".ndjson")):
            name = os.fsdecode(path)
            raise UsageError(f"--metrics {name}: no .csv, .tsv, .jsonl or .ndjson", next="gitrun record --help")
    return tuple(paths)


def _claims(texts: list[bytes]) -> tuple[str, ...]:
    if not texts:
        return ()
    from gitrun.model.claims import parse_claim  # most runs claim nothing

    return tuple(parse_claim(os.fsdecode(text)).expr for text in texts)


def _list(value: bytes | bool | list[bytes] | None) -> list[bytes]:
    return value if isinstance(value, list) else []
