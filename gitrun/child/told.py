"""What a program says of itself in words of its own: `gitrun.config` and `gitrun.summary`.

Both are read like a dict, and what is set is in the record at once, as a frame in the file of this process. A value
may be any object, as in the configurations that frameworks are seen to parse, and is kept in the same way: mappings
become dotted names, and what is no plain value becomes a text that is marked. Secrets are replaced before that is
written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Iterator

from gitrun.child import metrics, redact
from gitrun.child.frameworks.values import Flat


class Told(Mapping):  # type: ignore[type-arg]  # Python 3.8 cannot subscript it
    """Values by name; those that are set are recorded as `kind`."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._values: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(self._values)

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def setdefault(self, name: str, value: Any = None) -> Any:
        """As of a dict."""
        if name not in self._values:
            self[name] = value
        return self._values[name]

    def clear(self) -> None:
        """Forgets the values here; what is in the record stays there."""
        self._values.clear()

    def update(self, values: Any = (), **more: Any) -> None:
        """As of a dict; the values are in the record when this returns, unless the disk refuses them."""
        new = dict(values, **more)
        self._values.update(new)
        metrics.put(_frame(self._kind, new))


def _frame(kind: str, values: dict[str, Any]) -> dict[str, Any]:
    flat = Flat()
    flat.add("", values)
    told = {"kind": "config", "values": flat.values, "unserialisable": flat.unserialisable}  # as one is redacted
    told = {**redact.redacted(told, redact.secrets_of(os.environ)), "kind": kind}
    return {**told, "more": True} if flat.left_out else told


config = Told("config")
summary = Told("summary")


def forget() -> None:
    """Begins anew, for whoever begins or ends a run in this process."""
    config.clear()
    summary.clear()
