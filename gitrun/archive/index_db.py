"""What all runs have, in a database beside the archive, so that a list does not open ten thousand records.

It is a cache: everything in it comes from the runs, keyed by their commits and by what was said of them since, and it
is brought up to date by reading the runs that it does not have. It may be deleted at any time. One that is damaged, or
of another version, is made again; where none can be written it is in memory, for this process alone.

    runs    one row a run: the fields that every run has
    keys    the numbers of `config.lr`, `metrics.loss` and the like
    facts   (key, run, value): the column of a key lies in one place

It belongs to one host and one user, `$XDG_CACHE_HOME/gitrun/index/<hash of the archive and the host>/`. Processes
share it through SQLite's locks: a log ahead of the file (WAL) on local file systems, where who writes one run need not
wait for the disk; a rollback journal elsewhere, since the log needs shared memory.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from gitrun.archive.archive import Archive
from gitrun.archive.columns import Facts, decoder, facts_of
from gitrun.archive.keys import DERIVED, FIELDS, Key
from gitrun.archive.objects import CHUNK
from gitrun.archive.verdicts import weakest
from gitrun.files.holder import LOCAL, filesystem_of, here
from gitrun.files.user_cache import user_cache

VERSION = 2
_PATIENCE_S = 10.0
_FILE = "index.db"
_AT_ONCE = 50_000  # runs named in one question
T = TypeVar("T")

_FIELDS = tuple(name for name in FIELDS if name not in DERIVED)
_COLUMNS = ", ".join(f'"{name}"' for name in _FIELDS)
_SCHEMA = f"""
    CREATE TABLE runs (run INTEGER PRIMARY KEY, oid TEXT, said TEXT, {_COLUMNS});
    CREATE UNIQUE INDEX runs_by_id ON runs (id);
    CREATE TABLE keys (key INTEGER PRIMARY KEY, name TEXT UNIQUE);
    CREATE TABLE facts (key INTEGER, run INTEGER, value, PRIMARY KEY (key, run)) WITHOUT ROWID;
    CREATE INDEX facts_by_run ON facts (run);
    CREATE TABLE state (name TEXT PRIMARY KEY, value TEXT);
    PRAGMA user_version = {VERSION};
"""
_PUT = f"""
    INSERT INTO runs (oid, said, {_COLUMNS}) VALUES ({", ".join("?" * (len(_FIELDS) + 2))})
    ON CONFLICT (id) DO UPDATE SET oid = excluded.oid, said = excluded.said,
    {", ".join(f'"{name}" = excluded."{name}"' for name in _FIELDS if name != "id")} RETURNING run
"""


class Index:
    """An open index; `update` it before it is asked."""

    def __init__(self, database: sqlite3.Connection, lock: int | None = None) -> None:
        self._db = database
        self._lock = lock
        self._keys: dict[str, int] = {}
        rows = database.execute("SELECT run, id, oid FROM runs").fetchall()
        self._ids = {run: run_id for run, run_id, _ in rows}
        self._oids = {run_id: oid for _, run_id, oid in rows}
        self._numbers: dict[str, int] = {}

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # -- bringing it up to date

    def update(self, archive: Archive) -> None:
        """Add the runs that it lacks, take out those that are gone, read those anew of which something was said."""
        sealed, annotations = archive.sealed(), archive.objects.annotations
        tips, seen = json.dumps(annotations.tips(), sort_keys=True), self._tips()
        if sealed == self._oids and tips == seen:
            return
        stale = {run_id for run_id, _ in sealed.items() - self._oids.items()}
        gone = self._oids.keys() - sealed.keys()
        if tips != seen:
            said = dict(self._db.execute("SELECT id, said FROM runs"))
            stale.update(run_id for run_id in sealed if annotations.mark(run_id) != said.get(run_id))
        self._read(archive, sorted(stale, reverse=True), gone, seen, tips)

    def _read(self, archive: Archive, stale: list[str], gone: set[str], seen: str, tips: str) -> None:
        """Read these runs, the latest first, and put each chunk in; `tips` are true when the last one is."""
        annotations = archive.objects.annotations
        with archive.monitor.task("reading runs", len(stale), "runs") as task:
            for at in range(0, len(stale) or 1, CHUNK):
                chunk = stale[at : at + CHUNK]
                rows = [
                    (run.commit or "", annotations.mark(run.id), facts_of(run))
                    for run in archive.with_records(archive.runs(chunk), ("config.json", "verdict.json"))
                ]
                with self._writing():
                    self._remove(gone)
                    self._put(rows)
                    is_last = at + CHUNK >= len(stale)
                    if self._tips() != seen:  # another process knew other things: whoever comes next looks again
                        self._set_tips("")
                    elif is_last:
                        self._set_tips(tips)
                gone = set()
                task.advance(len(chunk))

    def _tips(self) -> str:
        row = self._db.execute("SELECT value FROM state WHERE name = 'tips'").fetchone()
        return row[0] if row else "{}"

    def _set_tips(self, tips: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO state VALUES ('tips', ?)", (tips,))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.rollback()
            raise
        self._db.commit()

    def _remove(self, run_ids: Iterable[str]) -> None:
        for run_id in run_ids:
            run = self._number(run_id)
            self._db.execute("DELETE FROM facts WHERE run = ?", (run,))
            self._db.execute("DELETE FROM runs WHERE run = ?", (run,))
            del self._oids[run_id], self._ids[run]

    def _put(self, rows: list[tuple[str, str, Facts]]) -> None:
        facts: list[tuple[int, int, Any]] = []
        for oid, said, (fields, values) in rows:
            is_damaged = str(fields["problem"] or "").startswith("E")  # it may heal: it is read again each time
            row = ["" if is_damaged else oid, said, *(fields[name] for name in _FIELDS)]
            (run,) = self._db.execute(_PUT, row).fetchone()
            if fields["id"] in self._oids:
                self._db.execute("DELETE FROM facts WHERE run = ?", (run,))
            self._oids[fields["id"]], self._ids[run] = row[0], fields["id"]
            facts += [(self._key_number(name), run, value) for name, value in values.items()]
        self._numbers = {}  # made when runs were taken out, it lacks these
        self._db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", facts)

    def _key_number(self, name: str) -> int:
        if name not in self._keys:
            self._db.execute("INSERT OR IGNORE INTO keys (name) VALUES (?)", (name,))
            (self._keys[name],) = self._db.execute("SELECT key FROM keys WHERE name = ?", (name,)).fetchone()
        return self._keys[name]

    # -- asking it

    @property
    def ids(self) -> list[str]:
        """All runs, the one with the latest id first."""
        return sorted(self._oids, reverse=True)

    def keys(self) -> list[str]:
        """The keys that some run has, besides the fields that all have."""
        rows = self._db.execute("SELECT name FROM keys WHERE EXISTS (SELECT 1 FROM facts WHERE facts.key = keys.key)")
        return [name for (name,) in rows]

    def column(self, key: Key) -> dict[str, Any]:
        """The value of a key for each run that has one."""
        if key.name in DERIVED:
            return self._replayed()
        if key.name in FIELDS:
            rows = self._db.execute(f'SELECT run, "{key.name}" FROM runs WHERE "{key.name}" IS NOT NULL')
        else:
            rows = self._db.execute(
                "SELECT run, value FROM facts WHERE key = (SELECT key FROM keys WHERE name = ?)", (key.name,)
            )
        ids, decode = self._ids, decoder(key)
        return {ids[run]: decode(value) for run, value in rows if run in ids}

    def _replayed(self) -> dict[str, Any]:
        """What the replays of each run say together, for those that have any."""
        question = "SELECT replay_of, verdict FROM runs WHERE replay_of IS NOT NULL AND verdict IS NOT NULL"
        words: dict[str, list[str]] = {}
        for original, word in self._db.execute(question):
            words.setdefault(original, []).append(word)
        return {run: word for run in words if run in self._oids and (word := weakest(words[run])) is not None}

    def fields(self, run_ids: Iterable[str], names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The named fields of these runs."""
        decoders = [decoder(Key(name)) for name in names]
        columns = ", ".join(f'"{name}"' for name in ("run", *names))
        found: dict[str, dict[str, Any]] = {}
        for wanted in self._lists(run_ids):
            for run, *row in self._db.execute(f"SELECT {columns} FROM runs WHERE run IN ({wanted})"):
                values = [decode(value) for decode, value in zip(decoders, row, strict=True)]
                found[self._ids[run]] = dict(zip(names, values, strict=True))
        return found

    def values(self, run_ids: Iterable[str]) -> Iterator[tuple[str, str, Any]]:
        """Run, key and value of all that these runs have besides the fields, metrics by their last value."""
        keys = {key: (name, decoder(Key(name))) for key, name in self._db.execute("SELECT key, name FROM keys")}
        for wanted in self._lists(run_ids):
            for run, key, value in self._db.execute(f"SELECT run, key, value FROM facts WHERE run IN ({wanted})"):
                name, decode = keys[key]
                yield self._ids[run], name, decode(value)

    def _lists(self, run_ids: Iterable[str]) -> Iterator[str]:
        """The numbers of these runs, as lists for a question."""
        numbers = [str(self._number(run_id)) for run_id in run_ids if run_id in self._oids]
        for at in range(0, len(numbers), _AT_ONCE):
            yield ",".join(numbers[at : at + _AT_ONCE])

    def _number(self, run_id: str) -> int:
        if not self._numbers:
            self._numbers = {run_id: run for run, run_id in self._ids.items()}
        return self._numbers[run_id]


def with_index(archive: Archive, work: Callable[[Index], T]) -> T:
    """What `work` makes of the index of an archive, up to date; where its file fails, of a new one or one in memory."""
    directory = _directory(archive)
    for attempt in (_open, _open_anew, _open_in_memory):
        try:
            index = attempt(directory)
        except (OSError, sqlite3.Error):
            continue  # no place for it, or a damaged one: the next attempt
        try:
            index.update(archive)
            return work(index)
        except sqlite3.Error:
            if attempt is _open_in_memory:
                raise
        finally:
            index.close()
    raise AssertionError("a database in memory can be opened")


def index_in_memory(archive: Archive) -> Index:
    """An index of these runs for this process alone; close it."""
    index = _open_in_memory("")
    index.update(archive)
    return index


def _directory(archive: Archive) -> str:
    """Where the index of this archive lies for this host."""
    worktree = archive.here.worktree if archive.here is not None else None
    home = user_cache(archive.environ, worktree, "index") or os.path.join(archive.gitrun_dir, "cache", "index")
    name = "\0".join((archive.repo.common_dir, archive.gitrun_dir, here().host))
    return os.path.join(home, hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:32])


def _open(directory: str) -> Index:
    os.makedirs(directory, mode=0o700, exist_ok=True)
    lock = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        return Index(_connect(os.path.join(directory, _FILE), filesystem_of(directory) in LOCAL), lock)
    except BaseException:
        os.close(lock)
        raise


def _open_anew(directory: str) -> Index:
    """As `_open`, after the file is removed; raises OSError while another process has it open."""
    lock = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for name in os.listdir(directory):
            if name.startswith(_FILE):
                os.unlink(os.path.join(directory, name))
    finally:
        os.close(lock)
    return _open(directory)


def _open_in_memory(directory: str) -> Index:
    return Index(_connect(":memory:", True))


def _connect(path: str, is_local: bool) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None)
    try:
        database.execute(f"PRAGMA journal_mode = {'WAL' if is_local else 'DELETE'}")
        database.execute("PRAGMA synchronous = NORMAL")
        if _version(database) == 0:
            database.execute("BEGIN IMMEDIATE")
            if _version(database) == 0:  # nobody else has made the tables meanwhile
                for statement in _SCHEMA.split(";"):
                    database.execute(statement)
            database.commit()
        if _version(database) != VERSION:
            raise sqlite3.DatabaseError("of another version")
    except BaseException:
        database.close()
        raise
    return database


def _version(database: sqlite3.Connection) -> int:
    number: int = database.execute("PRAGMA user_version").fetchone()[0]
    return number
