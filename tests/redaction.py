"""One call each, where a test redacts a single thing; gitrun itself keeps one Redactor a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from gitrun.capture.secrets import Redactor

Text = TypeVar("Text", str, bytes)


class Redacted(NamedTuple):
    """A command line without its secrets, and the names of those that were replaced."""

    argv: list[bytes]
    names: list[str]


def redact_argv(argv: Sequence[bytes], environ: Mapping[str, str]) -> Redacted:
    """The command line without secrets; see the module for what counts as one."""
    redactor = Redactor(environ)
    return Redacted(redactor.argv(argv), sorted(redactor.names))


def redact_value(name: str, value: Any, environ: Mapping[str, str] | None = None) -> Any:
    """One value that has a name."""
    return Redactor(environ or {}).value(name, value)


def redact_text(text: Text, environ: Mapping[str, str] | None = None) -> Text:
    """Text of any kind, such as the URL of a remote."""
    return Redactor(environ or {}).text(text)


def redact_tree(value: Any, environ: Mapping[str, str] | None = None) -> Any:
    """Nested configuration."""
    return Redactor(environ or {}).tree(value)
