"""Vectors of the run record: run.json and the message of its commit, odd values, what `show --json` makes of it."""

from __future__ import annotations

import hashlib
import math
from typing import Any

from gitrun.archive.contract import describe
from gitrun.archive.message import encode_message
from gitrun.model import canonical

CONFIG = {"format": 1, "requires": [], "values": {"lr": 0.1}, "provenance": {"lr": {"source": "argv", "position": 2}}}
MINIMAL: dict[str, Any] = {
    "format": 1,
    "requires": [],
    "id": "20261124-061246-k3v9tq",
    "status": "lost",
    "command": ["true"],
    "started_at": "2026-11-24T06:12:46.000000Z",
    "parts": {},
}
ODD: dict[str, Any] = {
    "bytes": b"caf\xe9".decode("utf-8", "surrogateescape"),
    "nan": math.nan,
    "infinities": [math.inf, -math.inf],
    "largest plain integer": 2**53,
    "seed": 2**64 - 1,
    "poses as a form": {"$bytes": "not one"},
    "text": "é 日本 \n",
}


def vectors() -> dict[str, bytes]:
    """Each vector's path below spec/vectors/record, and its bytes."""
    full = _full()
    parts = {"config.json": CONFIG}
    return {
        "minimal.json": canonical.encode(MINIMAL),
        "minimal.message": encode_message(MINIMAL).encode(),
        "minimal.show.json": canonical.encode(describe(MINIMAL, part={}.get, snapshot=None)),
        "full.json": canonical.encode(full),
        "full.message": encode_message(full).encode(),
        "full.config.json": canonical.encode(CONFIG),
        "full.show.json": canonical.encode(describe(full, part=parts.get, snapshot="5" * 40)),
        "odd.json": canonical.encode(ODD),
        "odd.jsonl": canonical.encode_line(ODD),
    }


def _full() -> dict[str, Any]:
    config = canonical.encode(CONFIG)
    return {
        **MINIMAL,
        "origin": "4f0c9q2w",
        "status": "failed",
        "command": ["python", "train.py", "--lr", "0.1", "two\nlines"],
        "cwd": "experiments",
        "name": "base line",
        "group": "sweep",
        "tags": ["best"],
        "notes": ["before the new loss"],
        "claims": ["max:val/acc within 0.5%"],
        "ended_at": "2026-11-24T06:12:58.250000Z",
        "duration_s": 12.25,
        "exit": {"code": None, "signal": 9},
        "links": {"replay_of": "20261123-101500-00000a", "parent": None},
        "source": {
            "object_format": "sha1",
            "tree": "a" * 40,
            "base": "b" * 40,
            "branch": "refs/heads/main",
            "dirty": True,
            "modified": ["train.py"],
            "untracked": [b"caf\xe9.txt".decode("utf-8", "surrogateescape")],
            "excluded": [{"path": ".env", "bytes": 40, "reason": "secret"}],
        },
        "coverage": {"hardware": ["no /proc here"]},
        "parts": {
            "config.json": {"bytes": len(config), "in": "tree", "sha256": hashlib.sha256(config).hexdigest()},
            "console.zst": {"bytes": 3, "chunks": [["c" * 64, 3]], "in": "store", "sha256": "d" * 64},
        },
    }
