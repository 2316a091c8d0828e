"""What no program writes twice in a text: the time, how long it took, an id drawn at random.

That two texts differ is one thing; that they would be equal but for a date, for the directory they were written in, or
for the order of their words tells a researcher where to look, and where not.
"""

from __future__ import annotations

import re
from typing import BinaryIO

PLACE, STAMPS, ORDER = "place", "stamps", "order"
_MOST = 4 << 20
_CLOCK = rb"\d{1,2}:\d\d:\d\d(?:[.,]\d+)?"
_STAMPS = re.compile(
    rb"|".join(
        (
            rb"\d{4}-\d\d-\d\d(?:[T_ ]\d\d[:-]\d\d(?:[:-]\d\d(?:[.,]\d+)?)?(?:Z| ?[+-]\d\d:?\d\d)?)?",
            rb"\d{8}[_-]\d{6}",
            rb"\b(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? )?(?:\d{1,2} )?"
            rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]* +\d{1,4}(?: " + _CLOCK + rb")?(?: \d{4})?",
            rb"\b" + _CLOCK + rb"\b",
            rb"\b1[5-9]\d{8}(?:\d{3}|\d{6}|\d{9})?(?:\.\d+)?\b",  # seconds, or parts of them, since 1970
            rb"\b[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\b",  # a uuid
            rb"\b0x[0-9a-fA-F]{6,16}\b",  # an address
            rb"\b\d+(?:\.\d+)?(?:[eE]-?\d+)? ?(?:s|ms|us|ns|secs?|seconds?|minutes?|it/s|s/it)\b",
            rb"(?<=pid)[\"':= ]{1,3}\d+",
            rb"(?<=/)tmp[a-z0-9_]{6,8}(?![a-z0-9_])",
        )
    )
)
_WORDS = re.compile(rb"[^\s,;:()\[\]{}]+")


def explain(a: BinaryIO, b: BinaryIO, tops: tuple[bytes | None, bytes | None] = (None, None)) -> str:
    """Why two texts differ, where the text itself says it: one of the words above, else nothing.

    `tops` are the directories that the two were written in.
    """
    texts = []
    for file, top in zip((a, b), tops, strict=True):
        file.seek(0)
        data = file.read(_MOST + 1)
        if len(data) > _MOST or b"\0" in data:
            return ""
        texts.append(data.replace(top.rstrip(b"/"), b"*") if top and len(top) > 1 else data)
    if texts[0] == texts[1]:
        return PLACE
    plain = [_STAMPS.sub(b"*", text) for text in texts]
    if plain[0] == plain[1]:
        return STAMPS
    words = [sorted(_WORDS.findall(text)) for text in plain]
    return ORDER if words[0] == words[1] else ""
