"""What the records of two runs say that can explain different results, brought into one form.

A record holds thousands of values, most of which explain nothing: a pid, a time, a path of the checkout. Here the few
are taken out that do, each with what it was and what it is now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from gitrun.archive.entries import Entry
from gitrun.model.listing import listed
from gitrun.replay.difference import Difference, differences

# Variables that say where things lie; a replay has its own.
_PLACES = {"PATH", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "CONDA_PREFIX", "UV_PROJECT_ENVIRONMENT"}
_THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_DRAWN = 1 << 53  # what a person or a counter seeds with is smaller
_NOT_CONFIG = ("run.dir", "sweep.dir", "hydra.run.dir", "hydra.runtime.output_dir")


class Facts(NamedTuple):
    """What is known of one run: its run.json, and the values of its parts, empty where it has none."""

    record: Mapping[str, Any]
    environment: Mapping[str, Any] = {}
    hardware: Mapping[str, Any] = {}
    config: Mapping[str, Any] = {}
    inputs: tuple[Entry, ...] = ()

    @property
    def process(self) -> Mapping[str, Any]:
        """`process` of the record."""
        return self.record.get("process") or {}

    @property
    def observed(self) -> Mapping[str, Any] | None:
        """The primary Python process; None where none reported."""
        processes = (self.process.get("observed") or {}).get("processes") or []
        return processes[0] if processes and isinstance(processes[0], dict) else None

    @property
    def numerics(self) -> Mapping[str, Any]:
        """With how many threads, which BLAS and which instructions it computed."""
        found = (self.observed or {}).get("numerics")
        return found if isinstance(found, dict) else {}

    @property
    def seeds(self) -> Mapping[str, Any]:
        """What it seeded."""
        return self.record.get("seeds") or {}

    @property
    def source(self) -> Mapping[str, Any]:
        """`source` of the record."""
        return self.record.get("source") or {}


def distributions(a: Facts, b: Facts) -> list[str]:
    """The distributions that are others, in words: `numpy 2.1.0, now 2.1.1`."""
    left, right = (_versions(facts.environment.get("distributions")) for facts in (a, b))
    found = []
    for name in sorted(left.keys() | right.keys()):
        was, now = left.get(name), right.get(name)
        if was == now:
            continue
        if was is None or now is None:
            found.append(f"{name} {(now or was or ('?',))[0]} {'is new' if was is None else 'is gone'}")
        elif was[0] != now[0]:
            found.append(f"{name} {was[0]}, now {now[0]}")
        elif was[1] and now[1]:
            found.append(f"{name} {was[0]} has other files")
    return found


def _versions(value: Any) -> dict[str, tuple[str, str | None]]:
    items = value if isinstance(value, list) else []
    return {
        str(each.get("name")): (str(each.get("version")), each.get("record")) for each in items if type(each) is dict
    }


def interpreter(a: Facts, b: Facts) -> str | None:
    """How the interpreters differ, None where they do not."""
    was, now = a.environment.get("python") or {}, b.environment.get("python") or {}
    if was == now:
        return None
    if was.get("version") != now.get("version"):
        return f"Python {was.get('version')}, now {now.get('version')}"
    build, other = was.get("build") or {}, now.get("build") or {}
    return f"another build of Python {was.get('version')}" if build.get("id") != other.get("id") else None


def threads(a: Facts, b: Facts) -> list[str]:
    """Thread counts that are others: `openblas 2, now 8`."""
    return _named(differences(a.numerics.get("threads") or {}, b.numerics.get("threads") or {}))


def instructions(a: Facts, b: Facts) -> list[str]:
    """Kernels and instructions that a library chose otherwise."""
    found = []
    was, now = a.numerics.get("isa") or {}, b.numerics.get("isa") or {}
    for key, left, right in differences(was, now):
        if isinstance(left, list) and isinstance(right, list):
            gone, new = sorted({*left} - {*right}), sorted({*right} - {*left})
            words = [f"without {listed(gone, 3)}"] if gone else []
            words += [f"with {listed(new, 3)}"] if new else []
            found.append(f"{key} now {' and '.join(words)}")
        else:
            found.append(f"{key} {left}, now {right}")
    libraries = [
        {each["kind"]: each for each in facts.numerics.get("blas") or [] if "kind" in each} for facts in (a, b)
    ]
    for kind in sorted(libraries[0].keys() & libraries[1].keys()):
        one, other = (each[kind].get("core") for each in libraries)
        if one != other:
            found.append(f"{kind} kernels for {one}, now for {other}")
    return found


def determinism(a: Facts, b: Facts) -> list[str]:
    """Switches for deterministic algorithms that are set otherwise."""
    return _named(differences(a.numerics.get("deterministic") or {}, b.numerics.get("deterministic") or {}))


def variables(a: Facts, b: Facts) -> list[str]:
    """Recorded variables that are others, but for those that a replay sets to what was observed."""
    found = []
    was, now = a.process.get("variables") or {}, b.process.get("variables") or {}
    top, other = (str(facts.record.get("worktree") or "\0") for facts in (a, b))
    counts = {str(count) for count in (a.numerics.get("threads") or {}).values()}
    for name in sorted(was.keys() | now.keys()):
        left, right = was.get(name), now.get(name)
        if left == right or name in _PLACES or (left and right and left.replace(top, other) == right):
            continue
        if name in _THREADS and left is None and right in counts:
            continue  # the replay says what the run found by itself
        if name == "TZ" and left is None and right == a.process.get("timezone"):
            continue  # likewise
        found.append(f"{name} {'was not set' if left is None else left}, now {'not set' if right is None else right}")
    return found


def configuration(a: Facts, b: Facts) -> list[str]:
    """Values of the configuration that are others."""
    top, other = (str(facts.record.get("worktree") or "\0") for facts in (a, b))
    found = []
    for key, was, now in differences(a.config.get("values") or {}, b.config.get("values") or {}):
        if key.endswith(_NOT_CONFIG) or str(was).replace(top, other) == str(now):
            continue
        found.append(f"{key} {_short(was)}, now {_short(now)}")
    return found


def processor(a: Facts, b: Facts) -> list[str]:
    """How the processors and what lies around them differ."""
    was, now = (dict(facts.hardware.get("relevant") or {}) for facts in (a, b))
    for side in (was, now):
        side.pop("gpus", None), side.pop("gpu_driver", None), side.pop("modules", None)
    return _named(differences(was, now))


def devices(a: Facts, b: Facts) -> list[str]:
    """How the graphics processors and their driver differ."""
    was, now = (
        {key: (facts.hardware.get("relevant") or {}).get(key) for key in ("gpus", "gpu_driver")} for facts in (a, b)
    )
    return _named(differences(was, now))


def changed_inputs(a: Facts, b: Facts) -> list[str]:
    """Inputs that both read and that had another content for each."""
    was = {entry.path: entry for entry in a.inputs}
    found = []
    for entry in b.inputs:
        other = was.get(entry.path)
        if other is not None and entry.sha256 and other.sha256 and entry.sha256 != other.sha256:
            found.append(entry.facts["path"])
    return found


def other_inputs(a: Facts, b: Facts) -> tuple[list[str], list[str]]:
    """What only one of the two read outside of its tree: (only the run, only the replay)."""
    was, now = ({entry.path: entry for entry in facts.inputs if not entry.is_inside} for facts in (a, b))
    gone = [was[path].facts["path"] for path in sorted(was.keys() - now.keys())]
    return gone, [now[path].facts["path"] for path in sorted(now.keys() - was.keys())]


def unseeded(facts: Facts) -> list[str]:
    """Generators that the program certainly left without a seed."""
    found = []
    for name, value in facts.seeds.items():
        if type(value) is not dict:
            continue
        if value.get("unseeded"):
            found.append(f"{name} was called without a seed")
        elif name == "torch" and value.get("calls") == 0:
            found.append("torch was never seeded")
    return found


def drawn(a: Facts, b: Facts) -> bool:
    """Whether torch drew its own seed both times: a newer one does where nobody seeds it, and says a long number."""
    seeds = [(facts.seeds.get("torch") or {}).get("last") for facts in (a, b)]
    return all(type(seed) is int and seed >= _DRAWN for seed in seeds) and seeds[0] != seeds[1]


def seeded(facts: Facts) -> bool:
    """Whether the program set any seed."""
    return any(type(value) is dict and value.get("calls") != 0 for value in facts.seeds.values())


def other_seeds(a: Facts, b: Facts) -> list[str]:
    """Seeds that were set to other values."""
    found = []
    for name in sorted(a.seeds.keys() & b.seeds.keys()):
        was, now = a.seeds[name], b.seeds[name]
        if name == "torch" and drawn(a, b):
            continue
        if type(was) is dict and type(now) is dict and was.get("last") != now.get("last"):
            found.append(f"{name} got {_short(was.get('last'))}, now {_short(now.get('last'))}")
        elif type(was) is not dict and type(now) is not dict and was != now and name == "PYTHONHASHSEED":
            found.append(f"{name} was {_unset(was)}, now {_unset(now)}")
    return found


def hash_seed_is_free(facts: Facts) -> bool:
    """Whether a Python process ran without a fixed seed of its hashes."""
    value = facts.seeds.get("PYTHONHASHSEED") or (facts.process.get("variables") or {}).get("PYTHONHASHSEED")
    return facts.observed is not None and value in (None, "", "random")


def _named(found: Iterable[Difference]) -> list[str]:
    return [f"{key} {_short(was)}, now {_short(now)}" for key, was, now in found]


def _unset(value: Any) -> str:
    return "not set" if value is None else str(value)


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else text[:60] + "…"
