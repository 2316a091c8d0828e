"""Why a replay came out otherwise: what differs between the two runs, the likeliest first.

Everything that differs is a suspect, and a list of twenty helps nobody. What kind of difference it is points to the
culprit: a last bit that differs comes from threads, instructions or libraries; values that have nothing in common
come from a seed, an input or a version; the same words in another order come from hashes; a date explains itself. So
each suspect has a weight for the kind of difference that was found. Weights are judgement, not probability, and the
text of a cause says what is known and no more.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from gitrun.model.canonical import path_text
from gitrun.model.listing import listed
from gitrun.replay import cause_facts as facts_of
from gitrun.replay.cause_facts import Facts
from gitrun.replay.levels import Level
from gitrun.replay.stamps import ORDER, PLACE, STAMPS

if TYPE_CHECKING:
    from gitrun.replay.metric_match import Metric
    from gitrun.replay.output_match import Output

_ROUNDING = 1e-3  # a first difference up to this, against the size of the values, is rounding
_RMS = re.compile(r"rms-relative (\d\S*?)[,;]?(?:\s|$)")
_SHOWN = 4
NOTHING_KNOWN = (
    "nothing that was recorded differs: the time, the network, the order of threads, or random numbers that"
    " nobody seeded are left"
)


class Symptoms(NamedTuple):
    """What differs: the level of the whole, both endings in words, files, metrics.

    `last_words` is the last line of the replay's stderr, `place` the directory of the replay where that is another.
    """

    level: Level
    endings: tuple[str, str] | None = None
    outputs: Sequence[Output] = ()
    metrics: Sequence[Metric] = ()
    last_words: str | None = None
    place: str | None = None

    @property
    def is_rounding(self) -> bool:
        """Whether values begin to differ in their last places."""
        if self.endings is not None or self._is_alone:
            return False
        apart = [each for each in self.metrics if each.level < Level.BIT]
        if apart:
            gaps = [each.first_gap for each in apart]
            return all(gap is not None and gap <= _ROUNDING for gap in gaps)
        sizes = [_RMS.search(each.detail) for each in self.outputs if each.level <= Level.TOLERANCE and each.decides]
        return bool(sizes) and all(size is not None and _number(size[1]) <= _ROUNDING for size in sizes)

    @property
    def _is_alone(self) -> bool:
        return any(each.is_alone for each in self.outputs) or any(each.is_alone for each in self.metrics)

    def texts(self, why: str) -> list[str]:
        """The files whose text itself says why they differ."""
        return [path_text(each.path) for each in self.outputs if each.why == why and each.decides]

    def is_all(self, why: str) -> bool:
        """Whether that is all that differs."""
        files = [each for each in self.outputs if each.level <= Level.TOLERANCE and each.decides]
        return all(each.why == why for each in files) and all(each.level == Level.BIT for each in self.metrics)

    @property
    def renamed(self) -> list[Output]:
        """The files that have another name, which no rule explains."""
        return [each for each in self.outputs if each.renamed_from is not None and each.rule is None]


class _Cause(NamedTuple):
    weight: int
    text: str


def causes(recorded: Facts, replayed: Facts, symptoms: Symptoms, notes: Iterable[str] = ()) -> list[str]:
    """The causes of what differs, the likeliest first, and then the notes; of nothing that differs, the notes alone."""
    if symptoms.level in (Level.BIT, Level.UNVERIFIABLE):
        return list(notes)
    found: list[_Cause] = []
    for ask in (_texts,) if symptoms.level == Level.SEMANTIC else _QUESTIONS:
        try:
            found += ask(recorded, replayed, symptoms)
        except Exception as problem:  # parts of records hold what somebody wrote: a verdict stands without a cause
            found.append(_Cause(-9, f"not all causes could be looked for: {type(problem).__name__}"))
    if not any(cause.weight >= _AT_LEAST for cause in found):
        found.append(_Cause(0, NOTHING_KNOWN))
    found.sort(key=lambda cause: -cause.weight)
    return [*(cause.text for cause in found), *notes]


_AT_LEAST = 45
_Question = Callable[[Facts, Facts, Symptoms], list[_Cause]]


def _ending(a: Facts, b: Facts, symptoms: Symptoms) -> list[_Cause]:
    if symptoms.endings is None:
        return []
    was, now = symptoms.endings
    found = [_Cause(100, f"the run ended with {was}, the replay with {now}")]
    if symptoms.last_words and now != "exit 0":
        found.append(_Cause(99, f"the replay's last words: {symptoms.last_words}"))
    return found


def _texts(a: Facts, b: Facts, symptoms: Symptoms) -> list[_Cause]:
    """What the files themselves say."""
    found = []
    semantic = [each for each in symptoms.outputs if each.level == Level.SEMANTIC and each.renamed_from is None]
    renamed = [each for each in symptoms.outputs if each.level == Level.SEMANTIC and each.renamed_from is not None]
    high = symptoms.level == Level.SEMANTIC
    if semantic:
        text = f"the values are the same, what is around them is not: {_paths(semantic)} ({semantic[0].detail})"
        found.append(_Cause(97 if high else -1, text))  # the same values explain no others
    if renamed:
        found.append(
            _Cause(96 if high else -2, f"names that vary from run to run: {_paths(renamed)} ({renamed[0].detail})")
        )
    if stamped := symptoms.texts(STAMPS):
        found.append(
            _Cause(
                94 if symptoms.is_all(STAMPS) else 42,
                f"only times, durations or ids differ in {listed(stamped, _SHOWN)}",
            )
        )
    if placed := symptoms.texts(PLACE):
        found.append(
            _Cause(
                93 if symptoms.is_all(PLACE) else 43,
                f"{listed(placed, _SHOWN)}: only the path of its own directory differs in it",
            )
        )
    return found


def _inputs(a: Facts, b: Facts, symptoms: Symptoms) -> list[_Cause]:
    found = []
    if changed := facts_of.changed_inputs(a, b):
        found.append(_Cause(95, f"inputs had another content: {listed(changed, _SHOWN)}"))
    overwritten = [entry.facts["path"] for entry in a.inputs if entry.facts.get("overwritten")]
    if overwritten:
        text = (
            f"inputs were written to while the run went on, so what it read is not known: {listed(overwritten, _SHOWN)}"
        )
        found.append(_Cause(84, text))
    gone, new = facts_of.other_inputs(a, b)
    broken = symptoms.endings is not None
    if new:
        found.append(_Cause(80, f"state outside the tree: only the replay read {listed(new, _SHOWN)}"))
    if gone:
        found.append(_Cause(35 if broken else 72, f"state outside the tree: only the run read {listed(gone, _SHOWN)}"))
    return found


def _source(a: Facts, b: Facts, symptoms: Symptoms) -> list[_Cause]:
    found = []
    if a.source.get("tree") != b.source.get("tree"):
        found.append(_Cause(98, "the replay did not run from the run's source"))
    if changed := a.source.get("changed_during_run"):
        text = "the source was edited while the run started, so what it loaded is not certain"
        found.append(_Cause(83, f"{text}: {listed([str(path) for path in changed], _SHOWN)}"))
    left = [str(entry.get("path")) for entry in a.source.get("excluded") or [] if entry.get("reason") in _LEFTOVERS]
    if left:
        found.append(_leftovers(left, symptoms))
    return found


_LEFTOVERS = ("output", "tracker")


def _leftovers(left: list[str], symptoms: Symptoms) -> _Cause:
    """What lay in the run's tree and in no replay's: a name it took, a file it was found in place of, or was needed."""
    written = [path_text(each.path) for each in symptoms.outputs if each.is_alone or each in symptoms.renamed]
    taken = [path for path in left if path in written or (path.endswith("/") and _any_below(path, written))]
    needed = [
        path for path in left if symptoms.last_words and os.path.basename(path.rstrip("/")) in symptoms.last_words
    ]
    if symptoms.endings and needed:
        return _Cause(
            98, f"outputs of earlier runs lay in the run's tree, and the replay misses them: {listed(needed)}"
        )
    weight = 93 if taken else 58 if written or symptoms.endings else 46
    return _Cause(
        weight, f"outputs of earlier runs lay in the run's tree, which a replay never has: {listed(taken or left)}"
    )


def _any_below(directory: str, paths: list[str]) -> bool:
    return any(path.startswith(directory) for path in paths)


def _names(a: Facts, b: Facts, symptoms: Symptoms) -> list[_Cause]:
    """Names that hold something which varies."""
    if not symptoms.renamed:
        return []
    first = symptoms.renamed[0]
    was, now = path_text(first.renamed_from or b""), path_text(first.path)
    pids = [(facts.observed or {}).get("pid") for facts in (a, b)]
    holds = pids[0] != pids[1] and all(
        re.search(rf"(?<!\d){pid}(?!\d)", path) for pid, path in zip(pids, (was, now), strict=True)
    )
    what = "the process's number" if holds else "something that varies from run to run"
    more = f", and {len(symptoms.renamed) - 1:,} more" if len(symptoms.renamed) > 1 else ""
    return [_Cause(90, f"a name holds {what}: {was} -> {now}{more}")]


def _environment(a: Facts, b: Facts, symptoms: Symptoms) -> list[_Cause]:
    found = []
    if other := facts_of.distributions(a, b):
        found.append(_Cause(86, f"other packages: {listed(other, _SHOWN)}"))
    if python := facts_of.interpreter(a, b):
        found.append(_Cause(60 if python.startswith("another") else 87, python))
    was, now = (_edited(facts) for facts in (a, b))
    if was != now:
        either = sorted({path for path, _ in was ^ now})
        found.append(
            _Cause(85, f"installed files were edited in one of the two environments: {listed(either, _SHOWN)}")
        )
    return found


def _edited(facts: Facts) -> set[tuple[str, str]]:
    installed = facts.process.get("installed") or {}
    return {
        (str(each.get("path")), str(each.get("sha256"))) for each in installed.get("edited") or [] if type(each) is dict
    }


def _settings(a: Facts, b: Facts, symptoms: Symptoms) -> list[_Cause]:
    found = []
    if config := facts_of.configuration(a, b):
        found.append(_Cause(88, f"other configuration: {listed(config, _SHOWN)}"))
    if variables := facts_of.variables(a, b):
        found.append(_Cause(82, f"other variables: {listed(variables, _SHOWN)}"))
    for name, weight in (("umask", 50), ("locale", 50), ("terminal_mode", 45), ("user", 30)):
        was, now = a.process.get(name), b.process.get(name)
        if was is not None and now is not None and was != now:
            modes = name == "umask" and any("its mode was" in each.detail for each in symptoms.outputs)
            found.append(_Cause(90 if modes else weight, f"another {name.replace('_', ' ')}: {was}, now {now}"))
    return found


def _numerics(a: Facts, b: Facts, symptoms: Symptoms) -> list[_Cause]:
    rounding = symptoms.is_rounding
    found = []
    for what, words, high, low in (
        (facts_of.threads(a, b), "another number of threads, which add in another order", 92, 70),
        (facts_of.instructions(a, b), "other instructions, which round otherwise", 91, 69),
        (facts_of.determinism(a, b), "other settings for deterministic algorithms", 90, 71),
        (facts_of.devices(a, b), "another graphics processor or driver", 89, 64),
        (facts_of.processor(a, b), "another machine", 80, 52),
    ):
        if what:
            found.append(_Cause(high if rounding else low, f"{words}: {listed(what, _SHOWN)}"))
    gpus = (a.hardware.get("relevant") or {}).get("gpus")
    torch = (a.numerics.get("deterministic") or {}).get("torch") or {}
    if gpus and torch.get("algorithms") is False:
        text = (
            "a graphics processor adds in no fixed order where deterministic algorithms are off: record --deterministic"
        )
        found.append(_Cause(78 if rounding else 48, text))
    counts = [count for count in (a.numerics.get("threads") or {}).values() if isinstance(count, int)]
    if rounding and max(counts, default=1) > 1:
        found.append(
            _Cause(47, f"{max(counts)} threads may add in another order each time; OMP_NUM_THREADS=1 does not")
        )
    return found


def _seeds(a: Facts, b: Facts, symptoms: Symptoms) -> list[_Cause]:
    found = []
    if other := facts_of.other_seeds(a, b):
        found.append(_Cause(92, f"other seeds: {listed(other, _SHOWN)}"))
    free = facts_of.hash_seed_is_free(a) and facts_of.hash_seed_is_free(b)
    without, any_seed = facts_of.unseeded(a), facts_of.seeded(a)
    if facts_of.drawn(a, b):
        without.append("torch was never seeded")
    ordered = symptoms.texts(ORDER)
    low = symptoms.is_rounding
    no_seed = f"; {without[0]}" if without else "" if any_seed else "; no seed was set either"
    if free and ordered:
        text = "PYTHONHASHSEED was not set, so sets come in another order each time"
        weight = 91 if symptoms.is_all(ORDER) else 56
        found.append(_Cause(weight, f"the same words in another order in {listed(ordered, _SHOWN)}: {text}{no_seed}"))
    elif free:
        found.append(_Cause(30 if low else 54, "PYTHONHASHSEED was not set, so sets come in another order each time"))
    if without:
        found.append(_Cause(40 if low else 85, f"random numbers without a seed: {listed(without, _SHOWN)}"))
    elif not any_seed and a.observed is not None:
        text = "no seed was set: where the program draws random numbers, they are others each time"
        found.append(_Cause(36 if low else 66, text))
    elif a.observed is None and (a.environment.get("python") or not a.environment):
        found.append(_Cause(46, "no Python process reported, so its seeds and threads are not known"))
    return found


def _place(a: Facts, b: Facts, symptoms: Symptoms) -> list[_Cause]:
    if symptoms.place is None:
        return []
    return [_Cause(38, f"the replay ran in another place: {symptoms.place}")]


_QUESTIONS: tuple[_Question, ...] = (
    _ending, _texts, _names, _inputs, _source, _environment, _settings, _numerics, _seeds, _place,
)  # fmt: skip


def _paths(outputs: Sequence[Output]) -> str:
    return listed([path_text(each.path) for each in outputs], _SHOWN)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("inf")
