"""What two files have in common: the same bytes, the same values in another container, numbers close enough, or less.

Two runs of one program seldom leave the same bytes: a gzip header holds the time, torch names the file inside
itself, a thread more moves the last bit of a weight. So files are opened one layer at a time. Every byte of a
layer that is not by a written rule (`spec/compare.md`) without meaning has to agree, and what cannot be read in
exactly one way is compared as bytes. A verdict rests on this: in doubt, the weaker level.
"""

from gitrun.replay.compare.contents import compare_contents
from gitrun.replay.compare.context import Tolerance

__all__ = ["Tolerance", "compare_contents"]
