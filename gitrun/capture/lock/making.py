"""Making the lockfile of an environment, in steps that each leave something worth having.

    the project's own files -> what an index says of the rest -> wheels of what no index has

Every step may be the last one: the index may not answer, the run may end. So what is known so far is published
before anything slow begins, and published again when it is over. A package that no step could lock is named.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.capture.lock.answers import Answers, Resolution
from gitrun.capture.lock.pins import ARCHIVE, EDITABLE, FILES, INDEX, VCS, Pin, read_pins
from gitrun.capture.lock.pylock import VENDOR, NotValid, encode_pylock, is_same_build, valid_package
from gitrun.capture.lock.sources import Source, ask_sources
from gitrun.model.listing import listed

if TYPE_CHECKING:
    from gitrun.capture.lock.vendor import Bundle
    from gitrun.store.ingest import Session

SEEDS = frozenset({"pip", "setuptools", "wheel"})  # put into an environment by what makes it, and in few lockfiles
RESOLVED, PINNED, NONE = "resolved", "pinned", "none"


class Options(NamedTuple):
    """The settings `lock.*`: which resolver, where labels have their indexes, what is vendored and up to where."""

    resolver: str = "auto"
    labels: str = "https://download.pytorch.org/whl"
    vendor: str = "missing"
    vendor_bytes: int = 256 << 20


class Subject(NamedTuple):
    """An environment to lock: the content of environment.json and its digest, where it lies, the project's files.

    `python` is None where the interpreter is not there any more; `scratch` is a directory for temporary files.
    """

    environment: Mapping[str, Any]
    digest: str
    python: str | None
    prefix: str | None
    environ: Mapping[str, str]
    cwd: bytes
    sources: list[Source]
    scratch: str


class Made(NamedTuple):
    """A lockfile, or why there is none: `lock` as run.json has it, the file, the lines of `vendored.jsonl`, gaps."""

    lock: dict[str, Any]
    pylock: bytes | None = None
    vendored: tuple[dict[str, Any], ...] = ()
    problems: tuple[str, ...] = ()


class _Draft:
    """What is locked so far."""

    def __init__(self, pins: list[Pin], problems: list[str]) -> None:
        self.pins = {pin.name: pin for pin in pins}
        self.packages: dict[str, dict[str, Any]] = {}
        self.elsewhere: set[str] = set()
        self.sources: list[str] = []
        self.files: set[str] = set()  # names of packages that the project's files have
        self.answered = False  # by an index
        self.resolver: str | None = None  # which has given a package
        self.vendored: list[dict[str, Any]] = []
        self.problems = problems
        self.remarks: list[str] = []

    def open(self) -> list[Pin]:
        """What is not locked and could be."""
        done = self.packages.keys() | self.elsewhere
        return [pin for name, pin in self.pins.items() if name not in done and pin.origin != EDITABLE]

    def made(self, python: Any, waiting: str | None = None) -> Made:
        """The lockfile as it is now; `waiting` says why it is not finished."""
        left = [pin.name for pin in self.open()]
        missing = [name for name in left if name not in SEEDS] if not self.answered else left
        seeds = [name for name in left if name not in missing]
        problems = [*self.problems]
        if missing:
            problems.append(f"{waiting or 'not locked'}: {listed(missing)}")
        remarks = [*self.remarks]
        if seeds and len(seeds) < len(self.pins):
            remarks.append(f"the installer itself is not locked ({listed(seeds)})")
        pylock = None
        if self.packages or not self.pins:
            try:
                pylock = encode_pylock(self.packages.values(), python)
            except NotValid as problem:
                problems.append(f"no valid lockfile: {problem}")
        if pylock is None and not self.elsewhere:
            return no_lock("; ".join([*(problems or ["nothing that is installed can be locked"]), *remarks]))
        state = PINNED if self.sources and self.packages.keys() <= self.files else RESOLVED
        if not self.pins:
            remarks = ["nothing is installed"]
        source = ", ".join([*self.sources, *([self.resolver] if self.resolver else [])]) or None
        lock = {
            "state": state,
            "reason": "; ".join([*problems, *remarks]) or None,
            "source": source,
            "missing": missing,
            "vendored": [line["name"] for line in self.vendored],
        }
        return Made(lock, pylock, tuple(self.vendored), tuple(problems))


def no_lock(reason: str) -> Made:
    """There is no lockfile, for this reason."""
    return Made({"state": NONE, "reason": reason, "source": None, "missing": [], "vendored": []})


def make_lock(
    subject: Subject,
    options: Options,
    answers: Answers,
    session: Callable[[], Session],
    stop: Callable[[], bool],
    publish: Callable[[Made], None],
    *,
    again: bool = False,
) -> Made:
    """Makes the lockfile, publishing what there is before each slow step; raises GivenUp when `stop` says so.

    `again` asks an index although one could not be reached a moment ago.
    """
    python = subject.environment.get("python")
    if not isinstance(python, dict):
        return no_lock("the command is no Python program, so there is no environment to lock")
    key = _key(subject, options)
    if not again and (known := answers.outcome(key)) and (made := _once_more(known, subject, session, stop)):
        return made
    pins, problems = read_pins(subject.environment.get("distributions") or [])
    draft = _Draft(pins, problems)
    version = python.get("version")
    _from_origins(draft)
    _from_sources(draft, subject.sources)
    asked = [pin for pin in draft.open() if pin.origin == INDEX]
    done = Resolution({}, [], None)
    if any(pin.name not in SEEDS for pin in asked):
        publish(draft.made(version, "not resolved when the run had ended"))
        done = _ask(subject, options, answers, asked, version, stop, again=again)
        draft.packages.update(done.packages)
        draft.answered = bool(done.packages or done.missing)
        draft.resolver = done.tool if done.packages else None
        if done.problem:
            draft.problems.append(done.problem)
    waiting = "not vendored when the run had ended"
    _vendor(draft, done, subject, options, session, stop, lambda: publish(draft.made(version, waiting)))
    made = draft.made(version)
    if done.problem is None:
        kept = made.pylock.decode() if made.pylock is not None else None
        answers.keep_outcome(
            key, {"lock": made.lock, "pylock": kept, "problems": made.problems, "vendored": made.vendored}
        )
    return made


def _key(subject: Subject, options: Options) -> str:
    files = [f"{source.path} {hashlib.sha256(source.data).hexdigest()}" for source in subject.sources]
    return "\n".join([subject.digest, *map(str, options), *files])


def _once_more(
    known: dict[str, Any], subject: Subject, session: Callable[[], Session], stop: Callable[[], bool]
) -> Made | None:
    """An outcome that was kept, its wheels stored again; None where they are not what they were."""
    lines: list[dict[str, Any]] = []
    if names := {line["name"] for line in known["vendored"]}:
        pins = [pin for pin in read_pins(subject.environment.get("distributions") or [])[0] if pin.name in names]
        bundles, failed = _plan(subject, pins)
        lines, unstored = _store(bundles, subject.scratch, session(), stop)
        if failed or unstored or lines != known["vendored"]:
            return None
    text = known["pylock"]
    return Made(known["lock"], None if text is None else text.encode(), tuple(lines), tuple(known["problems"]))


def _from_origins(draft: _Draft) -> None:
    """What its own origin identifies: a commit, or an archive with a hash."""
    edited = [name for name, pin in draft.pins.items() if pin.origin == EDITABLE]
    if edited:
        draft.remarks.append(f"edited in place, so kept as source: {listed(edited)}")
    for name, pin in draft.pins.items():
        if pin.direct is None or pin.origin not in (VCS, ARCHIVE):
            continue
        if package := valid_package(_direct(pin.direct, pin.origin), pin):
            draft.packages[name] = package


def _direct(direct: dict[str, Any], origin: str) -> dict[str, Any]:
    """The package of PEP 751 for PEP 610's account of an origin."""
    url, below = direct.get("url"), direct.get("subdirectory")
    if origin == ARCHIVE:
        info = direct.get("archive_info")
        hashes = info.get("hashes") if isinstance(info, dict) else None
        return {"archive": {"url": url, "hashes": hashes or {}}}
    info = direct["vcs_info"]
    table = {
        "type": info.get("vcs"),
        "url": url,
        "commit-id": info.get("commit_id"),
        "requested-revision": info.get("requested_revision"),
        "subdirectory": below,
    }
    return {"vcs": {key: value for key, value in table.items() if value is not None}}


def _from_sources(draft: _Draft, sources: list[Source]) -> None:
    answer = ask_sources(sources, [pin for pin in draft.open() if pin.origin == INDEX])
    draft.packages.update(answer.packages)
    draft.files |= answer.packages.keys()
    draft.elsewhere |= answer.elsewhere
    draft.sources = answer.used
    draft.remarks += answer.problems
    if answer.elsewhere:
        count = len(answer.elsewhere)
        draft.remarks.append(f"{count} conda package(s) are pinned by the project's file, in no form PEP 751 has")


def _ask(
    subject: Subject,
    options: Options,
    answers: Answers,
    asked: list[Pin],
    version: Any,
    stop: Callable[[], bool],
    *,
    again: bool,
) -> Resolution:
    if options.resolver == "none":
        return Resolution({}, [], None, "the setting lock.resolver is none")
    from gitrun.capture.lock.resolver import Question, resolve  # most runs find the answer of an earlier one

    question = Question(
        tuple(asked), subject.python, version if isinstance(version, str) else None, subject.prefix, subject.environ,
        subject.cwd.decode("utf-8", "surrogateescape"), options.resolver, options.labels,
    )  # fmt: skip
    names = [pin.name for pin in asked]
    done = answers.resolution(subject.digest, names, lambda: resolve(question, stop), stop, again=again)
    wanted = set(names)
    packages = {name: package for name, package in done.packages.items() if name in wanted}
    return done._replace(packages=packages, missing=[name for name in done.missing if name in wanted])


# -- what no index has


def _vendor(
    draft: _Draft,
    done: Resolution,
    subject: Subject,
    options: Options,
    session: Callable[[], Session],
    stop: Callable[[], bool],
    publish: Callable[[], None],
) -> None:
    """Puts wheels of what is missing, or of everything, into the store, and into the lockfile."""
    wanted = _wanted(draft, done, options.vendor)
    if not wanted or subject.python is None:
        return
    from gitrun.capture.lock.vendor import choose  # most environments have nothing to vendor

    bundles, failed = _plan(subject, wanted)
    fitting, beyond = choose(bundles, options.vendor_bytes)
    if fitting:
        publish()
        lines, unstored = _store(fitting, subject.scratch, session(), stop)
        failed += unstored
        for line in lines:
            _enter(draft, line)
    failed += [f"{bundle.pin.name} (more than lock.vendor_bytes)" for bundle in beyond]
    if failed:
        draft.problems.append(f"not vendored: {listed(failed)}")


def _wanted(draft: _Draft, done: Resolution, what: str) -> list[Pin]:
    if what == "none":
        return []
    if what == "all":
        return [pin for pin in draft.pins.values() if pin.origin != EDITABLE]
    missing = set(done.missing)
    return [
        pin
        for name, pin in draft.pins.items()
        if name in missing
        or (pin.origin in (FILES, ARCHIVE, VCS) and name not in draft.packages)
        or (name in draft.packages and not is_same_build(draft.packages[name], pin))
    ]


def _plan(subject: Subject, pins: Iterable[Pin]) -> tuple[list[Bundle], list[str]]:
    """The wheels that can be made of these, and why not of the others."""
    from gitrun.capture.lock import places, vendor

    assert subject.python is not None
    python = subject.python.encode("utf-8", "surrogateescape")
    found = places.find_distributions(places.site_directories(python, subject.environ, subject.cwd))
    bundles, failed = [], []
    for pin in pins:
        try:
            bundles.append(vendor.plan_wheel(pin, found.get(pin.name)))
        except vendor.NotVendored as problem:
            failed.append(f"{pin.name} ({problem})")
    return bundles, failed


def _store(
    bundles: Iterable[Bundle], scratch: str, session: Session, stop: Callable[[], bool]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Stores wheels durably: the lines of `vendored.jsonl` by name, and why some are not among them."""
    from gitrun.capture.lock.vendor import NotVendored, store_wheel

    lines, failed = [], []
    for bundle in bundles:
        try:
            lines.append(store_wheel(bundle, session, scratch, stop))
        except NotVendored as problem:
            failed.append(f"{bundle.pin.name} ({problem})")
    session.commit()
    return sorted(lines, key=lambda line: str(line["name"])), failed


def _enter(draft: _Draft, line: dict[str, Any]) -> None:
    """Has the lockfile name a stored wheel, beside the source that an index may have of it."""
    name, sdist = line["name"], draft.packages.get(line["name"], {}).get("sdist")
    wheel = {"path": f"{VENDOR}/{line['wheel']}", "size": line["bytes"], "hashes": {"sha256": line["sha256"]}}
    kept = {"sdist": sdist} if sdist else {}
    draft.vendored.append(line)
    draft.files.discard(name)
    draft.packages[name] = {"name": name, "version": line["version"], **kept, "wheels": [wheel]}
