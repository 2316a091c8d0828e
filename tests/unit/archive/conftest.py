"""A hand that seals records into a repository."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hand import Hand


@pytest.fixture
def hand(make_repo: Callable[..., Path]) -> Hand:
    """A hand on a fresh repository."""
    return Hand(make_repo())
