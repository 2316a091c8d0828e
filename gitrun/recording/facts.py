"""The facts of a run, captured while its command already runs, each on disk as soon as it is known.

Facts are worth having and never worth a run: whatever goes wrong in a capture, expected or not, becomes a
sentence under `coverage`, and the others go on.
"""

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.capture.secrets import Redactor
from gitrun.model.canonical import encode, encode_line, path_text
from gitrun.recording.live import LiveDirectory

if TYPE_CHECKING:
    from gitrun.capture.program import Program


class Subject(NamedTuple):
    """The command that facts are captured about, and what they may rest on."""

    command: list[bytes]
    environ: Mapping[str, str]
    cwd: bytes
    worktree: bytes | None
    config_files: tuple[bytes, ...]
    inputs: tuple[bytes, ...]
    more_variables: tuple[str, ...]
    gitrun_dir: str
    redactor: Redactor


class FactFinder:
    """Captures facts into a live directory and a draft of the record."""

    def __init__(self, subject: Subject, live: LiveDirectory, draft: dict[str, Any]) -> None:
        self._subject = subject
        self._live = live
        self._draft = draft
        self._coverage: dict[str, Any] = draft["coverage"]

    def before_the_start(self) -> None:
        """What has to be seen before the command can change it: the user's streams, the named inputs."""
        from gitrun.capture.process import terminal

        self._draft["process"]["terminal"] = terminal((0, 1, 2))
        if self._subject.inputs:
            self._guard("inputs", self._inputs)

    def while_it_runs(self) -> None:
        """Everything else."""
        for name, capture in (
            ("process", self._process),
            ("variables", self._variables),
            ("environment", self._environment),
            ("hardware", self._hardware),
            ("origin", self._origin),
        ):
            self._guard(name, capture)
        self._coverage.pop("origin", None)

    def _guard(self, name: str, capture: Callable[[], list[str]]) -> None:
        try:
            self._coverage[name] = capture() or "complete"
        except Exception as problem:  # a bug in one capture must not cost the run the others
            # an exception may quote the very line that it could not read
            told = self._subject.redactor.text(f"{type(problem).__name__}: {problem}")
            self._coverage[name] = [f"not captured: {told}"]

    def _inputs(self) -> list[str]:
        from gitrun.capture.inputs import capture_inputs  # only for `--input`

        subject = self._subject
        found = capture_inputs(subject.inputs, cwd=subject.cwd, worktree=subject.worktree)
        self._live.write_part("artifacts.jsonl", b"".join(map(encode_line, found.entries)))
        return found.problems

    def _process(self) -> list[str]:
        from gitrun.capture.process import capture_process

        found = capture_process(self._subject.environ, self._subject.worktree, cwd=self._subject.cwd)
        self._draft["process"].update({**found.value, "terminal": self._draft["process"]["terminal"]})
        return found.problems

    def _variables(self) -> list[str]:
        from gitrun.capture.variables import capture_variables

        subject = self._subject
        found = capture_variables(subject.environ, subject.redactor, subject.more_variables)
        self._draft["process"]["variables"] = found.value
        return found.problems

    def _environment(self) -> list[str]:
        from gitrun.capture.environment import capture_environment
        from gitrun.capture.program import find_program

        subject = self._subject
        program = find_program(subject.command, subject.environ, subject.cwd)
        self._guard("config", lambda: self._config(program))
        found = capture_environment(program, subject.cwd, os.path.join(subject.gitrun_dir, "cache"))
        self._live.write_part("environment.json", encode(found.value))
        self._draft["interpreter"] = found.interpreter
        return found.problems

    def _config(self, program: "Program") -> list[str]:
        from gitrun.capture.config import capture_config

        subject = self._subject
        found = capture_config(
            subject.command,
            subject.config_files,
            subject.redactor,
            cwd=subject.cwd,
            worktree=subject.worktree,
            program=program,
        )
        self._live.write_part("config.json", encode(found.value))
        return found.problems

    def _hardware(self) -> list[str]:
        from gitrun.capture.hardware import capture_hardware

        found = capture_hardware()
        self._live.write_part("hardware.json", encode(found.value))
        return found.problems

    def _origin(self) -> list[str]:
        from gitrun.store.config import load_or_create

        if not os.path.isdir(self._subject.gitrun_dir):
            return []  # the archive was moved away meanwhile: nothing is made anew in its place
        self._draft["origin"] = load_or_create(self._subject.gitrun_dir).writer
        return []


def redacted_command(command: list[bytes], redactor: Redactor) -> list[str]:
    """The command as the record holds it."""
    return [path_text(word) for word in redactor.argv(command)]
