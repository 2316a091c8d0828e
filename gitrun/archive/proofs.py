"""What the replays of a run say of it, so that a proof made once, by anybody, is there for all who look at the run.

A replay is a run of its own and names the run it repeats; a sealed run cannot name its replays. So they are found by
the index, and each brings its verdict.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gitrun.archive.archive import Archive
from gitrun.archive.keys import Key
from gitrun.archive.run import Run
from gitrun.archive.verdicts import PART, PREFIX, WEAKEST_FIRST, prefix_of, word_of
from gitrun.errors import GitrunError
from gitrun.model.claims import MOST as MOST_CLAIMS
from gitrun.model.ids import second

_MOST = 1000
_WORDS = {
    "bit": "bit-exact",
    "semantic": "the same in meaning",
    "tolerance": "within tolerance",
    "differs": "different",
    "unverifiable": "not verifiable",
}


class Proof(NamedTuple):
    """One replay of a run and what it says; `prefix` is what of the run it covers, None: all of it."""

    id: str
    started_at: str
    host: str | None
    status: str
    verdict: str | None
    accepted: bool | None
    prefix: dict[str, Any] | None
    claims: list[dict[str, Any]]


class Replays:
    """The sealed replays of an archive by the run they repeat; the index is asked once, where there may be any."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._by_run: dict[str, list[str]] | None = None

    def of(self, run: Run) -> list[Proof]:
        """The replays of a run, the one that started first first; what cannot be read is left out."""
        if not any(second(other) >= second(run.id) and other != run.id for other in self._archive.sealed()):
            return []
        found = self._archive.runs(sorted(self._ids().get(run.id, ()))[-_MOST:])
        proofs = [_proof(replay) for replay in self._archive.with_records(found, (PART,))]
        return sorted((proof for proof in proofs if proof is not None), key=lambda proof: (proof.started_at, proof.id))

    def _ids(self) -> dict[str, list[str]]:
        if self._by_run is None:
            from gitrun.archive.index_db import with_index  # SQLite, only where there is something to ask

            self._by_run = {}
            for replay, original in with_index(self._archive, lambda index: index.column(Key("replay_of"))).items():
                if replay in self._archive.sealed():
                    self._by_run.setdefault(original, []).append(replay)
        return self._by_run


def summary(proofs: list[Proof]) -> str:
    """`3 of 3 bit-exact on 2 machines`: the strongest word that at least one replay of the whole run earned."""
    whole = [proof for proof in proofs if proof.verdict is not None and not proof.prefix]
    told = []
    if whole:
        best = max((str(proof.verdict) for proof in whole), key=WEAKEST_FIRST.index)
        having = [proof for proof in whole if proof.verdict == best]
        machines = len({proof.host for proof in having if proof.host})
        where = f" on {machines} machines" if machines > 1 else ""
        told.append(f"{len(having)} of {len(whole)} {_WORDS[best]}{where}")
    if prefixes := [proof for proof in proofs if proof.verdict is not None and proof.prefix]:
        told.append(f"{len(prefixes)} of its beginning")
    if unjudged := sum(proof.verdict is None for proof in proofs):
        told.append(f"{unjudged} without a verdict")
    return ", ".join(told)


def _proof(replay: Run) -> Proof | None:
    try:
        record, verdict = replay.record, replay.value(PART)
    except GitrunError:
        return None  # `status` and `fsck` say what is damaged
    verdict = verdict if type(verdict) is dict else {}
    word, accepted = word_of(verdict), verdict.get("accepted")
    members = record.get("members") or [{}]
    host = members[0].get("host")
    claims = verdict.get("claims")
    return Proof(
        replay.id,
        str(record.get("started_at") or ""),
        host if type(host) is str else None,
        str(record["status"]),
        None if word is None else word.removeprefix(PREFIX),
        accepted if type(accepted) is bool else None,
        prefix_of(verdict),
        [claim for claim in claims if type(claim) is dict][:MOST_CLAIMS] if type(claims) is list else [],
    )
