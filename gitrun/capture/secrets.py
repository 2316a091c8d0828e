"""Replaces secrets before anything is stored, hashed or shown: `--password x` becomes `--password <secret:password>`.

A secret that reaches an archive is there for ever and travels with every push, so replacing must come
first; even a hash of one would let others test guesses. There are four ways to know one, tried in this order:

1. the value of a variable whose name promises a secret, wherever it occurs and in every form (secret_values);
2. the name an option, an assignment or a key gives it (secret_names, secret_text, secret_words);
3. its own shape (secret_formats);
4. the password of a URL.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from gitrun.capture.secret_names import is_secret
from gitrun.capture.secret_text import SecretText, decode, encode, latin
from gitrun.capture.secret_words import redact_words
from gitrun.model.canonical import path_text

Text = TypeVar("Text", str, bytes)

MAX_DEPTH = 64


class Redactor(SecretText):
    """Knows the secrets of its environments, and remembers in `names` which ones it has met."""

    @property
    def values(self) -> list[bytes]:
        """The secrets that are known word by word, in every form, longest first."""
        return [needle[1] for needle in self.secrets.needles]

    def argv(self, argv: Sequence[bytes]) -> list[bytes]:
        """A command line: values of options with secret names, in one word or two, and what `text` finds."""
        return redact_words(argv, self)

    def learn(self, argv: Sequence[bytes]) -> None:
        """What the words of a command line alone make a secret is from here on one wherever it occurs."""
        self.hidden.clear()
        self.argv(argv)
        self.secrets.add(self.hidden)

    def value(self, name: str, value: Any) -> Any:
        """The value of a variable or a key of configuration; anything but text and numbers is returned as it is."""
        if isinstance(value, str | bytes):
            data = encode(value) if isinstance(value, str) else value
            known = self.known(data)
            plain = self.hole(name) if is_secret(name, latin(known)) else self.found(known)
            return value if plain == data else decode(plain) if isinstance(value, str) else plain
        if isinstance(value, int | float) and not isinstance(value, bool) and is_secret(name, str(value)):
            return self.hole(name).decode("ascii")
        return value

    def text(self, text: Text) -> Text:
        """Any text: assignments, headers, known formats, URLs and the environment's own secrets."""
        if isinstance(text, str):
            data = encode(text)
            plain = self.redact(data)
            return text if plain == data else decode(plain)
        return self.redact(text)

    def tree(self, value: Any, name: str = "", depth: int = 0) -> Any:
        """Nested dicts and lists, each leaf judged by the names that lead to it, joined with dots; bytes are text."""
        if depth > MAX_DEPTH:
            return "<nested too deeply>"
        if isinstance(value, dict):
            return {
                self.text(key) if isinstance(key, str) else key: self.tree(
                    item, f"{name}.{key}" if name else str(key), depth + 1
                )
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.tree(item, name, depth + 1) for item in value]
        return self.value(name, path_text(value) if isinstance(value, bytes) else value)
