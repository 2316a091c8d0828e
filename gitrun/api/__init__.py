"""The Python side of gitrun, as far as it needs more than the standard library: `gitrun.start_run` and `gitrun.open`.

In a recorded command gitrun lends its package to Pythons that have none, for `gitrun.log` and the like. What is here
needs gitrun's own libraries as well, so where these are not installed the answer is one sentence about that.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

_NEEDED = ("dulwich", "msgpack", "pyarrow", "pyfastcdc", "zstandard")

if sys.version_info < (3, 11):  # noqa: UP036  the package may be lent to any Python
    raise ImportError("gitrun.start_run and gitrun.open need Python 3.11 or later; gitrun.log works here as well")
if _missing := [name for name in _NEEDED if find_spec(name) is None]:
    raise ImportError(
        f"gitrun.start_run and gitrun.open need gitrun installed in this Python ({', '.join(_missing)} not found):"
        f" {sys.executable} -m pip install gitrun"
    )
