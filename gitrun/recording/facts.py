"""The facts of a run, captured while its command already runs, each on disk as soon as it is known.

Facts are worth having and never worth a run: whatever goes wrong in a capture, expected or not, becomes a
sentence under `coverage`, and the others go on.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.capture.secrets import Redactor
from gitrun.model.canonical import encode, encode_line, path_text
from gitrun.recording.live import LiveDirectory

if TYPE_CHECKING:
    from gitrun.capture.environment import Environment
    from gitrun.capture.gpu_question import Question
    from gitrun.capture.program import Program
    from gitrun.recording.locking import Locker
    from gitrun.recording.surveying import Survey


class Subject(NamedTuple):
    """The command that facts are captured about, and what they may rest on.

    `add_roots` has directories outside the worktree captured as roots of the source, and says what is missing;
    `setting` gives the value of a setting, without it the environment is not locked.
    """

    command: list[bytes]
    environ: Mapping[str, str]
    cwd: bytes
    worktree: bytes | None
    config_files: tuple[bytes, ...]
    inputs: tuple[bytes, ...]
    more_variables: tuple[str, ...]
    gitrun_dir: str
    redactor: Redactor
    add_roots: Callable[[Iterable[bytes]], list[str]] = lambda paths: []
    setting: Callable[[str], Any] | None = None


class FactFinder:
    """Captures facts into a live directory and a draft of the record."""

    def __init__(self, subject: Subject, live: LiveDirectory, draft: dict[str, Any]) -> None:
        self._subject = subject
        self._live = live
        self._draft = draft
        self._coverage: dict[str, Any] = draft["coverage"]
        self._question: Question | None = None
        self._locker: Locker | None = None
        self._survey: Survey | None = None
        self._given: int | None = None  # the file that standard input is
        self._is_told = False  # which Python it is, by a process of the run

    def before_the_start(self) -> None:
        """What has to be seen before the command can change it: the user's streams, the named inputs."""
        from gitrun.capture.process import stdin_file, terminal

        self._draft["process"]["terminal"] = terminal((0, 1, 2))
        if (given := stdin_file(self._subject.worktree)) is not None:
            self._draft["process"]["stdin"] = given
            self._given = os.dup(0)  # the recorder gives its own up once the command runs
        if self._subject.inputs:
            self._guard("inputs", self._inputs)

    def while_it_runs(self) -> None:
        """Everything else."""
        self._guard("gpus", self._ask_for_gpus)
        for name, capture in (
            ("process", self._process),
            ("variables", self._variables),
            ("environment", self._environment),
            ("hardware", self._hardware),
            ("origin", self._origin),
            ("secrets", self._exposed),
        ):
            self._guard(name, capture)
        for name in ("origin", "gpus", *(("secrets",) if self._coverage["secrets"] == "complete" else ())):
            self._coverage.pop(name, None)

    def while_it_runs_on(self) -> None:
        """What is worth it for a command that takes its time; goes on beside everything else.

        Called again and again, because a script may start its Python late.
        """
        self._look_again(has_ended=False)
        if self._survey is not None:
            self._survey.start()

    def settle(self) -> None:
        """Waits for what goes on beside the command, two seconds at most; called when the command has ended."""
        self._look_again(has_ended=True)
        if self._survey is not None:
            self._survey.settle()
        if self._locker is not None:
            self._locker.settle()

    def _guard(self, name: str, capture: Callable[[], list[str]]) -> None:
        from gitrun.capture.facts import clean_text

        try:
            # a sentence may name a file whose name is no text
            self._coverage[name] = list(map(clean_text, capture())) or "complete"
        except Exception as problem:  # a bug in one capture must not cost the run the others
            # an exception may quote the very line that it could not read
            told = self._subject.redactor.text(f"{type(problem).__name__}: {problem}")
            self._coverage[name] = [f"not captured: {told}"]

    def _exposed(self) -> list[str]:
        source = self._draft["source"]
        paths = [path for kind in ("modified", "index_tracked_new", "untracked") for path in source.get(kind) or []]
        if not paths or self._subject.worktree is None:
            return []
        from gitrun.capture.exposed import find_exposed, in_worktree

        found = find_exposed(in_worktree(self._subject.worktree, dict.fromkeys(paths)), self._subject.environ)
        if found.files:
            source["secrets"] = found.files
        return [f"{found.unseen} changed or new file(s) were not looked through for secrets"] if found.unseen else []

    def _inputs(self) -> list[str]:
        from gitrun.capture.digests import Digests, user_cache  # only for `--input`
        from gitrun.capture.inputs import Allowance, capture_inputs
        from gitrun.settings import KEYS

        subject, key = self._subject, "record.input_bytes"
        limit = KEYS[key].default if subject.setting is None else subject.setting(key)
        allowance = Allowance(limit)
        digests = Digests(user_cache(subject.environ, subject.worktree))
        found = capture_inputs(
            subject.inputs, cwd=subject.cwd, worktree=subject.worktree, digests=digests, allowance=allowance
        )
        facts = self._draft.setdefault("live", {})
        facts.update(inputs_read=limit - allowance.left_bytes, input_directories=list(found.directories))
        self._live.write_part("artifacts.jsonl", b"".join(map(encode_line, found.entries)))
        return found.problems

    def _process(self) -> list[str]:
        from gitrun.capture.process import capture_process, stdin_digest

        if self._given is not None:
            self._draft["process"]["stdin"]["sha256"] = stdin_digest(self._given)
            os.close(self._given)
            self._given = None
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
        program = find_program(*self._as_here(), subject.cwd)
        self._guard("config", lambda: self._config(program))
        found = capture_environment(program, subject.cwd, os.path.join(subject.gitrun_dir, "cache"))
        self._take(found)
        return found.problems

    def _as_here(self) -> tuple[list[bytes], Mapping[str, str]]:
        """The command and its variables with paths as they are here, where its processes see other names."""
        from gitrun.capture.places import read_places

        subject, places = self._subject, read_places(self._live.member)
        path = subject.environ.get("PATH", "")
        here = path and places.real_list(path)
        environ = subject.environ if here == path else {**subject.environ, "PATH": here}
        words = list(map(places.real_word, subject.command))
        for at, word in enumerate(words):
            # `.venv/bin/python` is seen in the checkout, and lies elsewhere
            if b"/" in word and not os.path.lexists(os.path.join(subject.cwd, word)):
                there = places.real_from(subject.cwd, word)
                words[at] = there if os.path.lexists(there) else word
        return words, environ

    def _look_again(self, *, has_ended: bool) -> None:
        if not self._is_told:
            self._guard("environment", lambda: self._actual_environment(has_ended))

    def _actual_environment(self, has_ended: bool) -> list[str]:
        """Once a process has said which Python it is: that one's environment, where another was expected."""
        from gitrun.capture.observed import read_observed
        from gitrun.files.write import remove_quietly
        from gitrun.recording.actual_environment import find_actual, has_spoken
        from gitrun.recording.locking import STATE

        known = self._coverage.get("environment")
        problems = known if isinstance(known, list) else []
        observed = read_observed(self._live.member, starts_only=True)
        if not has_ended and not has_spoken(observed):
            return problems
        self._is_told = True
        actual = find_actual(self._draft, observed, self._subject.gitrun_dir)
        if actual is None:
            return problems
        if self._survey is not None:
            self._survey.settle()
            self._survey = None
        if self._locker is not None:
            self._locker.settle(0.0)
            self._locker = None
            remove_quietly(os.path.join(self._live.home, STATE))  # what was locked is the one that was expected
        self._take(actual)
        self._live.write_draft(self._draft)
        return actual.problems

    def _take(self, found: "Environment") -> None:
        """Keeps an environment, and begins what follows from it."""
        subject = self._subject
        environment = encode(found.value)
        self._live.write_part("environment.json", environment)
        self._draft["interpreter"] = found.interpreter
        self._draft.setdefault("live", {})["sites"] = [path_text(site) for site in found.sites]
        if found.sites:
            from gitrun.recording.surveying import Survey

            cache = os.path.join(subject.gitrun_dir, "cache")
            self._survey = Survey(self._live, found.sites, cache, subject.redactor)
        if found.local:
            self._guard("roots", lambda: subject.add_roots(found.local))
        self._guard("lock", lambda: self._lock(found, hashlib.sha256(environment).hexdigest()))
        if self._coverage["lock"] == "complete":
            del self._coverage["lock"]  # its state says more

    def _lock(self, found: "Environment", digest: str) -> list[str]:
        """Begins to lock the environment, which goes on beside everything else."""
        from gitrun.recording.locking import UNFINISHED, Locked, Locker

        subject, environment, place = self._subject, found.value, found.interpreter or {}
        if subject.setting is None:
            return []
        if environment.get("python") is None:
            self._draft["lock"] = {
                **UNFINISHED,
                "reason": "the command is no Python program, so there is nothing to lock",
            }
            return []
        self._draft["lock"] = {**UNFINISHED}
        what = Locked(
            environment, digest, place.get("executable"), place.get("prefix"), subject.environ, subject.cwd,
            subject.worktree, subject.gitrun_dir, subject.setting,
        )  # fmt: skip
        self._locker = Locker(self._live, what)
        self._locker.start()
        return []

    def _config(self, program: "Program") -> list[str]:
        from gitrun.capture.config import capture_config
        from gitrun.capture.places import read_places

        subject = self._subject
        found = capture_config(
            subject.command,
            subject.config_files,
            subject.redactor,
            cwd=subject.cwd,
            worktree=subject.worktree,
            program=program,
            places=read_places(self._live.member),
        )
        self._live.write_part("config.json", encode(found.value))
        return found.problems

    def _ask_for_gpus(self) -> list[str]:
        """Asked first: the answer may take a second, and comes while the rest is found out."""
        from gitrun.capture.gpu import ask

        self._question = ask(self._subject.environ)
        return []

    def _hardware(self) -> list[str]:
        from gitrun.capture.hardware import capture_hardware

        variables = self._draft["process"]["variables"]
        found = capture_hardware(environ=self._subject.environ, variables=variables, question=self._question)
        self._live.write_part("hardware.json", encode(found.value))
        self._draft["members"][0].update(found.member)
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
