"""How the child gets into the Python processes of a run: one directory, first on the command's PYTHONPATH.

It holds nothing but a `sitecustomize`, which takes the directory off `sys.path` again (gitrun/child). What a run
records, and what a replay sets, is the user's own PYTHONPATH: a `gitrun record` inside a recorded command finds
the directory in its own variables, and takes it out first.
"""

import os
from collections.abc import Mapping, Sequence

from gitrun import __file__ as _package

SITE = os.path.join(os.path.dirname(os.path.abspath(_package)), "child", "site")
_NAME = "PYTHONPATH"


def without_child(environ: Mapping[str, str]) -> Mapping[str, str]:
    """The variables as the user set them."""
    value = environ.get(_NAME)
    if value is None or SITE not in value.split(os.pathsep):
        return environ
    kept = os.pathsep.join(entry for entry in value.split(os.pathsep) if entry != SITE)
    return {**{name: text for name, text in environ.items() if name != _NAME}, **({_NAME: kept} if kept else {})}


def can_take_child(command: Sequence[bytes]) -> bool:
    """Whether the command's Python takes the directory off its path; one that is started with -S would only keep it."""
    if not any(word.startswith(b"-") and b"S" in word for word in command):
        return True
    from gitrun.capture.child_coverage import isolation  # only then

    return isolation(command) != "S"


def with_child(variables: Mapping[bytes, bytes], place: str | None = None) -> dict[bytes, bytes]:
    """The variables for a command whose Python processes report; the same where gitrun's place cannot be named.

    `place` is the directory under the name that the command sees, when that is another.
    """
    site, separator, name = os.fsencode(place or SITE), os.fsencode(os.pathsep), os.fsencode(_NAME)
    own = variables.get(name)
    if separator in site:
        return dict(variables)
    # an empty PYTHONPATH is none, but `site:` would put the working directory on the path
    return {**variables, name: site + separator + own if own else site}
