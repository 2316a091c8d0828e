"""The secrets that are known word by word: the values of variables whose names promise one, in every form.

They are replaced wherever they occur, whatever stands around them, and the name that is put there (`HF_TOKEN`) tells a
replay where to ask for the value. Of another form it is that form's (`HF_TOKEN.base64`), which no variable has: a
replay must not put the value itself where its base64 stood. What is looked for is in `child/secret_forms`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping

from gitrun.capture.secret_names import has_keyword, is_secret
from gitrun.child.secret_forms import Needle, all_needles, by_length, can_be_looked_for, without

MOST_ADDED = 100


class KnownSecrets:
    """The secrets of some environments."""

    def __init__(self, *environs: Mapping[str, str]) -> None:
        found = dict.fromkeys(pair for environ in environs for pair in secret_variables(environ))
        self._take(all_needles(found, environs))

    def add(self, secrets: Iterable[tuple[bytes, str]]) -> None:
        """Further ones, each a value and its name, as far as they are long and rare enough."""
        found = [(value, name) for value, name in secrets if can_be_looked_for(os.fsdecode(value))]
        self._take(by_length([*self.needles, *all_needles(found[:MOST_ADDED], ())]))

    def _take(self, needles: list[Needle]) -> None:
        self.needles = needles
        self._by_core: dict[bytes, list[Needle]] = {}
        for needle in needles:
            self._by_core.setdefault(needle[0], []).append(needle)

    def replace(self, data: bytes, hole: Callable[[str], bytes]) -> bytes:
        """`data` with what `hole` says of each name in the place of the secret, the longest first."""
        for needle in self._in(data):
            if needle[1] in data:  # not as a part of one that was replaced
                data = without(data, needle, hole(needle[2]))
        return data

    def names_in(self, data: bytes) -> set[str]:
        """The names of those that `data` holds."""
        return {needle[2] for needle in self._in(data)}

    def _in(self, data: bytes) -> list[Needle]:
        """Those that `data` holds; what all forms of a text have in common is looked for first, and is rarely there."""
        found = []
        for core, needles in self._by_core.items():
            if core in data:
                found += [needle for needle in needles if needle[1] in data]
        return sorted(found, key=self.needles.index) if len(found) > 1 else found


def secret_variables(environ: Mapping[str, str]) -> list[tuple[bytes, str]]:
    """(value, name) of every variable whose name promises a secret, longest value first.

    Values under eight characters, all digits or common words would hit too much that is no secret.
    """
    found = [
        (os.fsencode(value), name)
        for name, value in environ.items()
        if can_be_looked_for(value) and has_keyword(name.encode("utf-8", "replace")) and is_secret(name, value)
    ]
    return sorted(found, key=lambda pair: (-len(pair[0]), pair[1]))
