"""Git's configuration as the user's git sees it: read once, looked up by lower-case key.

With a git executable the answer is `git config --list -z`, so includes, conditions and precedence
are git's own. Without one, `configfile` reads the same files.
"""

from __future__ import annotations

from collections.abc import Iterable

from gitrun.errors import UsageError

_TRUE = {"true", "yes", "on"}
_FALSE = {"false", "no", "off", ""}
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class Config:
    """Values by key; the last one wins. Section and variable of a key are lower-case, a subsection is as written."""

    __slots__ = ("_values",)

    def __init__(self, pairs: Iterable[tuple[str, str | None]] = ()) -> None:
        self._values: dict[str, list[str | None]] = {}
        for key, value in pairs:
            self._values.setdefault(key, []).append(value)

    def get(self, key: str) -> str | None:
        """The value, "true" where a variable stands without one, None where it is not set."""
        values = self._values.get(key)
        return None if values is None else "true" if values[-1] is None else values[-1]

    def get_all(self, key: str) -> list[str]:
        """Every value, the weakest first."""
        return ["true" if value is None else value for value in self._values.get(key, ())]

    def get_bool(self, key: str, default: bool = False) -> bool:
        """The value as Git reads a boolean; raises UsageError for anything else."""
        if (value := self.get(key)) is None:
            return default
        word = value.lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
        try:
            return int(word, 0) != 0
        except ValueError:
            raise UsageError(f"git config {key} is no boolean: {value!r}") from None

    def get_int(self, key: str, default: int = 0) -> int:
        """The value as Git reads a number (suffixes k, m, g); raises UsageError for anything else."""
        if (value := self.get(key)) is None:
            return default
        unit = _UNITS.get(value[-1:].lower(), 1)
        try:
            return int(value[:-1] if unit > 1 else value, 0) * unit
        except ValueError:
            raise UsageError(f"git config {key} is no number: {value!r}") from None

    def keys(self, prefix: str = "") -> list[str]:
        """The keys that begin with `prefix`, in the order they were first set."""
        return [key for key in self._values if key.startswith(prefix)]


def parse_list(output: bytes) -> Config:
    """The Config in the output of `git config --list -z`."""
    return Config(_pairs(output))


def _pairs(output: bytes) -> Iterable[tuple[str, str | None]]:
    for item in output.split(b"\0"):
        if item:
            key, newline, value = item.decode("utf-8", "surrogateescape").partition("\n")
            yield key, value if newline else None
