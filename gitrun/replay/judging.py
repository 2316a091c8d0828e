"""Judging a replay that has ended: everything two runs left behind is compared, before the replay is sealed.

The recorded run is read from the archive, before the replay starts: a record that is damaged ends it there. The
replay's own record is still in its live directory: facts as parts, its console in the member's files, its files in the
store or where the program left them. Here they are brought together; what each comparison means is said by those who
make it, what all of them mean together by `verdict`, and why by `causes`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.archive.archive import Archive
from gitrun.archive.run import Run
from gitrun.archive.seal import Part
from gitrun.capture.secrets import Redactor
from gitrun.model.artifacts import PART as ARTIFACTS
from gitrun.model.canonical import decode, path_text
from gitrun.model.claims import judge_claims
from gitrun.model.metrics import PART as METRICS
from gitrun.model.patterns import means
from gitrun.recording.console import collect, read_stream
from gitrun.recording.live import LiveDirectory
from gitrun.recording.recover import redactor
from gitrun.recording.request import Finished
from gitrun.replay.cause_facts import Facts
from gitrun.replay.causes import Symptoms, causes
from gitrun.replay.compare import Tolerance
from gitrun.replay.consoles import (
    STREAMS,
    Console,
    Pieces,
    compare_consoles,
    console_of_run,
    first_difference,
    is_merged,
    last_line,
)
from gitrun.replay.difference import differences
from gitrun.replay.entry_side import Side, side_of_replay, side_of_run
from gitrun.replay.gaps import gaps, passed_over
from gitrun.replay.levels import Level
from gitrun.replay.output_match import Output, match_output
from gitrun.replay.pairing import pair
from gitrun.replay.verdict import Compared, Options, ending_of, level_of, make_verdict

if TYPE_CHECKING:
    import pyarrow as pa

    from gitrun.replay.metric_match import Metric
    from gitrun.replay.prefix import PrefixWatch

TOPICS = ("environment", "hardware")
_DEFAULT = Options()


class _Found(NamedTuple):
    """The consoles and facts of both runs, and what was compared of them."""

    compared: Compared
    consoles: tuple[Console, Console]
    facts: tuple[Facts, Facts]
    differences: dict[str, dict[str, Any]]


class Judge:
    """Compares one recorded run, which is read at once, with what repeats it.

    Raises DamagedRecord or DamagedStore, and UsageError for options by which nothing can be judged.
    """

    def __init__(
        self, archive: Archive, run: Run, read_console: Callable[[Run], Pieces], options: Options = _DEFAULT
    ) -> None:
        self._archive = archive
        self._run = run
        self._options = options.checked()
        self._tolerance = Tolerance(options.rtol, options.atol)
        self._console = console_of_run(read_console(run), run.record)
        self._side = side_of_run(archive, run)
        self._metrics = _recorded_metrics(run)
        self._claims = run.claims
        values = {name: _object(run.value(f"{name}.json")) for name in (*TOPICS, "config")}
        self._facts = Facts(run.record, inputs=tuple(self._side.inputs), **values)

    def judged(
        self,
        finished: Finished,
        notes: Iterable[str],
        environ: Mapping[str, str],
        directory: str | None = None,
        *,
        watch: PrefixWatch | None = None,
        elsewhere: str | None = None,
    ) -> dict[str, Any]:
        """The verdict on a replay that has ended.

        `notes` are things to be told about how it was run, `directory` is the checkout it ran in, `watch` has followed
        a replay that may have been stopped on purpose, `elsewhere` is where it ran, if that is not the run's own place.
        """
        live = LiveDirectory(os.path.dirname(os.path.dirname(finished.member)))
        parts = {name: Part(path=path) for name, path in live.part_paths().items()}
        found = self._found(finished, parts, environ, directory, watch)
        symptoms = self._symptoms(found, elsewhere)
        notes = list(notes)
        told = causes(*found.facts, symptoms, notes)
        if watch is not None and found.compared.prefix is not None:
            told.append(f"the replay was stopped on purpose: {watch.stopped}")
        elif symptoms.level == Level.UNVERIFIABLE:
            told.insert(0, self._why_not(found.compared))
        verdict = make_verdict(
            self._run.id, finished.record["id"], found.compared, self._options, found.differences, told
        )
        # It quotes lines of outputs and of the console, and travels with the record.
        redacted: dict[str, Any] = _redacted({**verdict, "notes": notes}, Redactor(environ).text)
        return redacted

    def _why_not(self, compared: Compared) -> str:
        """Why nobody can tell whether two runs are the same, the first reason of all."""
        if compared.was_interrupted:
            return "the replay was interrupted"
        if not ending_of(self._run.record).was_seen:
            return "nobody saw how the run ended, so there is no exit status to compare with"
        if compared.exit_match is None:
            return "nobody saw how the replay ended, so there is no exit status to compare with"
        if compared.not_compared:
            return f"not compared: {compared.not_compared[0]}"
        if self._options.strict_console and None in compared.console.values():
            return "what they wrote to the console was not kept whole, or not apart"
        return "there is nothing to compare: no files, no metrics; --strict-console compares what was printed"

    def _found(
        self,
        finished: Finished,
        parts: Mapping[str, Part],
        environ: Mapping[str, str],
        directory: str | None,
        watch: PrefixWatch | None,
    ) -> _Found:
        record = finished.record
        lines = parts[ARTIFACTS].read() if ARTIFACTS in parts else None
        side = side_of_replay(self._archive, record, lines, directory, self._run.record)
        # As it will be sealed: secrets replaced, as they are in the recorded one.
        console = console_of_run(read_stream(b"".join(collect(finished.member, redactor(environ)))), record)
        table = _table(parts.get(METRICS))
        if watch is not None and watch.stopped is not None:
            compared = self._prefix(watch, table)
        else:
            compared = self._whole(side, record, table)
        compared = self._with_consoles(compared, record, console)
        values = {name: _value(parts.get(f"{name}.json")) for name in (*TOPICS, "config")}
        facts = Facts(record, inputs=tuple(side.inputs), **values)
        apart = {
            topic: {key: [a, b] for key, a, b in differences(getattr(self._facts, topic), values[topic])}
            for topic in TOPICS
        }
        return _Found(compared, (self._console, console), (self._facts, facts), apart)

    def _prefix(self, watch: PrefixWatch, table: pa.Table) -> Compared:
        """What was compared of a replay that was stopped on purpose: what it had logged by then."""
        prefix = watch.compare(table, self._tolerance)
        metrics, ignored = self._without_ignored(prefix.metrics)
        left = ["the exit status: the replay was stopped on purpose", "outputs: the replay was stopped on purpose"]
        return Compared(None, metrics=metrics, not_compared=[*left, *ignored], prefix=prefix.to_json())

    def _whole(self, side: Side, record: Mapping[str, Any], table: pa.Table | None) -> Compared:
        was, now = ending_of(self._run.record), ending_of(record)
        interrupted = now.status == "interrupted"
        seen = was.was_seen and now.was_seen and not interrupted
        unseen = gaps(self._side, side, lambda path: self._is_ignored(path) is not None)
        outputs, left = self._outputs(side)
        metrics, ignored = self._without_ignored(self._logged(record, table))
        return Compared(
            (was.code, was.signal) == (now.code, now.signal) if seen else None,
            interrupted,
            outputs,
            metrics,
            not_compared=[*unseen, *left, *ignored, *passed_over(side)],
            gaps=bool(unseen),
            claims=judge_claims(self._run.record.get("metrics") or {}, record.get("metrics") or {}, self._claims),
        )

    def _outputs(self, side: Side) -> tuple[list[Output], list[str]]:
        """What every file has in common with the one it stands for, and what was not compared."""
        found, left = [], []
        for each in pair(self._side.entries, side.entries, [*self._side.hosts, *side.hosts]):
            ignored = next((word for word in map(self._is_ignored, _names(each)) if word), None)
            if ignored is not None:
                left.append(f"{path_text(each.path)}: ignored by {ignored!r}")
                continue
            output = match_output(each, self._side, side, self._tolerance)
            if self._options.strict_console:
                output = output._replace(decides=True)
            found.append(output)
            if output.level == Level.UNVERIFIABLE:
                left.append(f"{path_text(output.path)}: {output.detail}")
            elif not output.decides:
                left.append(f"{path_text(output.path)}: the text of a log, which differs: {output.detail}")
        return found, left

    def _logged(self, record: Mapping[str, Any], table: pa.Table | None) -> list[Metric]:
        """What the metrics have in common, and what the programs said in summary."""
        was, now = (each.get("summary") or {} for each in (self._run.record, record))
        if self._metrics is None and table is None and not was and not now:
            return []  # Arrow takes a tenth of a second to load
        from gitrun.model.metric_tables import SCHEMA
        from gitrun.replay.metric_match import match_metrics, match_summaries

        empty = SCHEMA.empty_table()
        a, b = (empty if each is None else each for each in (self._metrics, table))
        return [*match_metrics(a, b, self._tolerance), *match_summaries(was, now, self._tolerance)]

    def _without_ignored(self, metrics: Iterable[Metric]) -> tuple[list[Metric], list[str]]:
        found, left = [], []
        for each in metrics:
            word = next((glob for glob in self._options.ignore if fnmatchcase(each.name, glob)), None)
            if word is None:
                found.append(each)
                if each.level == Level.UNVERIFIABLE:
                    left.append(f"{each.name}: {each.detail}")
            else:
                left.append(f"{each.name}: ignored by {word!r}")
        return found, left

    def _is_ignored(self, path: bytes) -> str | None:
        """The pattern that says a path decides nothing."""
        return next((glob for glob in self._options.ignore if means(glob, path_text(path))), None)

    def _with_consoles(self, compared: Compared, record: Mapping[str, Any], console: Console) -> Compared:
        apart = is_merged(self._run.record) == is_merged(record)
        agreement = compare_consoles(self._console, console) if apart else compare_consoles(None, None)
        first = {
            name: first_difference(self._console, console, stream)
            for stream, name in STREAMS.items()
            if agreement[name] is False
        }
        return compared._replace(console=agreement, console_first=first)

    def _symptoms(self, found: _Found, elsewhere: str | None) -> Symptoms:
        compared, (_, console) = found.compared, found.consoles
        endings = None
        if compared.exit_match is False:
            was, now = (ending_of(facts.record) for facts in found.facts)
            endings = was.words, now.words
        level = level_of(compared, self._options)
        return Symptoms(level, endings, compared.outputs, compared.metrics, last_line(console), elsewhere)


def _names(pair: Any) -> list[bytes]:
    return [entry.path for entry in (pair.recorded, pair.replayed) if entry is not None]


def _recorded_metrics(run: Run) -> pa.Table | None:
    if METRICS not in (run.record.get("parts") or {}):
        return None
    from gitrun.archive.metrics import read_metrics  # Arrow, only for a run that logged

    return read_metrics(run)


def _table(part: Part | None) -> pa.Table | None:
    if part is None:
        return None
    from gitrun.archive.metrics import decode_metrics

    return decode_metrics(part.read())


def _value(part: Part | None) -> dict[str, Any]:
    return {} if part is None else _object(decode(part.read()))


def _redacted(value: Any, text: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {key: _redacted(each, text) for key, each in value.items()}
    if isinstance(value, list):
        return [_redacted(each, text) for each in value]
    return text(value) if isinstance(value, str) else value


def _object(value: Any) -> dict[str, Any]:
    return value if type(value) is dict else {}
