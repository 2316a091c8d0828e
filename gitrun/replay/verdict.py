"""The verdict on a replay: how much of a run came out again, said with its extent and with nothing claimed beyond it.

The level of the whole is the weakest of its parts: exit status, files and metrics, on both sides. A part that could
not be compared weakens it to `unverifiable`, because "the same, as far as was looked" reads as "the same". What the
user has excluded weakens nothing, and is counted all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.errors import UsageError
from gitrun.model.canonical import encode, path_text
from gitrun.model.listing import plural
from gitrun.replay.levels import Level

if TYPE_CHECKING:
    from gitrun.replay.metric_match import Metric
    from gitrun.replay.output_match import Output

FORMAT = 1
ACCEPTABLE = ("bit", "semantic", "tolerance")
RTOL, ATOL = 1e-5, 1e-8
DIFFERS, UNVERIFIABLE = Level.DIFFERS.word, Level.UNVERIFIABLE.word
FALLS_SHORT, NOT_VERIFIED, INTERRUPTED = 3, 4, 130
MOST_TOLD = 2000  # of outputs, of metrics, and of what was not compared
NO_PREFIX = {"points_compared": 0, "of": 0, "level": None}
STREAMS = ("stdout", "stderr")


class Options(NamedTuple):
    """How a replay is judged.

    `accept` is the level that is good enough; None: the run's claims where it has any, else `bit`. `ignore` are
    patterns for paths and names of metrics that decide nothing.
    """

    accept: str | None = None
    rtol: float = RTOL
    atol: float = ATOL
    strict_console: bool = False
    ignore: tuple[str, ...] = ()

    def checked(self) -> Options:
        """These options; raises UsageError for what no verdict could be judged by."""
        if self.accept is not None and self.accept not in ACCEPTABLE:
            raise UsageError(f"--accept {self.accept}: one of {', '.join(ACCEPTABLE)}", next="gitrun replay --help")
        for name, value in (("rtol", self.rtol), ("atol", self.atol)):
            if not 0 <= value < float("inf"):
                raise UsageError(f"--{name} {value}: a number from 0 on", next="gitrun replay --help")
        return self


class Ending(NamedTuple):
    """How a run ended: its exit code or signal (both None where nobody saw it), and its status."""

    code: int | None
    signal: int | None
    status: str

    @property
    def was_seen(self) -> bool:
        """Whether there is an exit status to compare with."""
        return self.code is not None or self.signal is not None

    @property
    def words(self) -> str:
        """`exit 3` or `signal 9`."""
        return f"exit {self.code}" if self.signal is None else f"signal {self.signal}"


def ending_of(record: Mapping[str, Any]) -> Ending:
    """The ending in a run's record."""
    exit = record.get("exit") or {}
    return Ending(exit.get("code"), exit.get("signal"), str(record.get("status")))


class Compared(NamedTuple):
    """What was compared of two runs, and what was found.

    `exit_match` is None where there are not two exits to compare; `not_compared` are sentences. `gaps` is whether
    something of the results is not known on one side. `prefix` (`points_compared`, `of`, `level`) is given where the
    replay was stopped on purpose: the metrics up to there are all that counts. `console_first` is the first difference
    of a stream, by its name.
    """

    exit_match: bool | None
    was_interrupted: bool = False
    outputs: Sequence[Output] = ()
    metrics: Sequence[Metric] = ()
    console: Mapping[str, bool | None] = {}
    console_first: Mapping[str, str] = {}
    not_compared: Sequence[str] = ()
    gaps: bool = False
    claims: Sequence[Mapping[str, Any]] = ()
    prefix: Mapping[str, Any] | None = None


def level_of(compared: Compared, options: Options) -> Level:
    """The weakest of all that was compared; `unverifiable` where that is nothing, or not all there was."""
    results = [each.level for each in compared.outputs if each.decides]
    results += [each.level for each in compared.metrics]
    if options.strict_console:
        results += [_of_stream(compared.console.get(stream)) for stream in STREAMS]
    if not results:
        results = [Level.UNVERIFIABLE]
    if compared.gaps:
        results.append(Level.UNVERIFIABLE)
    if compared.prefix is None:
        results.append(Level.UNVERIFIABLE if compared.exit_match is None else _of_stream(compared.exit_match))
    return Level.UNVERIFIABLE if compared.was_interrupted and compared.prefix is None else min(results)


def is_accepted(level: Level, compared: Compared, options: Options) -> bool:
    """Whether a verdict is good enough: it reaches the level that was asked for, or all claims held."""
    if options.accept is None and compared.claims:
        ended = compared.exit_match is True and not compared.was_interrupted
        return ended and all(claim.get("held") is True for claim in compared.claims)
    return level >= Level[(options.accept or "bit").upper()]


def make_verdict(
    run: str,
    replay: str | None,
    compared: Compared,
    options: Options,
    differences: Mapping[str, Mapping[str, Any]],
    causes: Iterable[str],
) -> dict[str, Any]:
    """The verdict as `gitrun replay --json` prints it and `verdict.json` keeps it.

    `differences` holds `environment` and `hardware`, `causes` come in their order.
    """
    level = level_of(compared, options)
    by_claims = options.accept is None and bool(compared.claims)
    outputs, metrics = _told(compared.outputs), _told(compared.metrics)
    not_compared = [_sentence(text) for text in compared.not_compared]
    return {
        "format": FORMAT,
        "run": run,
        "replay": replay,
        "verdict": level.word,
        "accepted": is_accepted(level, compared, options),
        "accept": "claims" if by_claims else options.accept or "bit",
        "exit_match": compared.exit_match,
        "console": {stream: compared.console.get(stream) for stream in STREAMS},
        "console_first": dict(compared.console_first),
        "claims": [dict(claim) for claim in compared.claims],
        "prefix": dict(NO_PREFIX if compared.prefix is None else compared.prefix),
        "outputs": [_output(each) for each in outputs],
        "metrics": [_metric(each) for each in metrics],
        "compared": {
            "outputs": sum(each.level != Level.UNVERIFIABLE and each.decides for each in compared.outputs),
            "metrics": sum(each.level != Level.UNVERIFIABLE for each in compared.metrics),
            "not_compared": not_compared[:MOST_TOLD],
            "not_compared_count": len(not_compared),
        },
        "tolerance": {"rtol": options.rtol, "atol": options.atol},
        "environment": dict(differences.get("environment") or {}),
        "hardware": dict(differences.get("hardware") or {}),
        "causes": [_sentence(text) for text in causes],
        "notes": [],
    }


def not_judged(run: str, recorded: Ending, causes: Iterable[str]) -> dict[str, Any]:
    """The verdict where no program was started: `causes` say why."""
    compared = Compared(None, not_compared=["the program was not started"])
    return make_verdict(run, None, compared, Options(), {}, causes)


def exit_status(verdict: Mapping[str, Any]) -> int:
    """What the command line ends with: 0 where the verdict is good enough, 4 where nobody can tell, else 3."""
    if verdict["accepted"]:
        return 0
    if verdict.get("accept") == "claims":
        held = [claim.get("held") for claim in verdict["claims"]]
        earlier = (verdict.get("chain") or [])[:-1]  # legs of a chain that come before the one of these claims
        fell_short = any(not leg["accepted"] and leg["verdict"] != UNVERIFIABLE for leg in earlier)
        if verdict["exit_match"] is False or False in held or fell_short:
            return FALLS_SHORT
        return NOT_VERIFIED
    return NOT_VERIFIED if verdict["verdict"] == UNVERIFIABLE else FALLS_SHORT


def extent_of(verdict: Mapping[str, Any]) -> str:
    """`3 outputs, 2 metrics; 1 not compared`."""
    compared = verdict["compared"]
    parts = [plural(compared[name], name.removesuffix("s")) for name in ("outputs", "metrics")]
    left = compared.get("not_compared_count", len(compared["not_compared"]))
    return ", ".join(parts) + (f"; {left:,} not compared" if left else "")


def encode_verdict(verdict: Mapping[str, Any]) -> bytes:
    """The bytes of `verdict.json`."""
    return encode(dict(verdict))


def _of_stream(same: bool | None) -> Level:
    return Level.UNVERIFIABLE if same is None else Level.BIT if same else Level.DIFFERS


def _told(parts: Sequence[Any]) -> Sequence[Any]:
    """All of them in their order; where they are too many, the weakest ones."""
    if len(parts) <= MOST_TOLD:
        return parts
    chosen = sorted(range(len(parts)), key=lambda n: (parts[n].level, n))[:MOST_TOLD]
    return [parts[n] for n in sorted(chosen)]


def _output(each: Output) -> dict[str, Any]:
    return {
        "path": path_text(each.path),
        "level": each.level.word,
        "detail": each.detail,
        "renamed_from": None if each.renamed_from is None else path_text(each.renamed_from),
        "decides": each.decides,
    }


def _metric(each: Metric) -> dict[str, Any]:
    step = each.first_divergent_step
    return {"name": each.name, "level": each.level.word, "first_divergent_step": step, "detail": each.detail}


def _sentence(text: str) -> str:
    """Words for a person, also where they quote a name that is no text; only a path has to be exact."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
