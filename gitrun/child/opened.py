"""Which files Python opened, where the setting `record.opened` asks for it.

Only an audit hook sees every `open` and can be seen by nobody. But once there is one, Python calls it for each event,
`id()` among them: 0.3 microseconds a call, and `copy.deepcopy` two to three times as long. Hence it is not there
unless somebody wants the list more than that.
"""

from __future__ import annotations

import os
import sys
from typing import Any

MAX_FILES = 10_000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NOT_FILES = ("/proc/", "/sys/", "/dev/")
_getcwd, _fsdecode = os.getcwd, os.fsdecode
_files: dict[str, str] = {}


def watch(child: Any) -> None:
    """Notes each file that is opened from now on."""
    own = child.member + "/observed-"

    def seen(event: str, args: Any) -> None:
        if event != "open" or len(args) != 3 or len(_files) >= MAX_FILES:
            return
        path, mode, flags = args
        if type(path) is bytes:
            path = _fsdecode(path)
        if type(path) is not str or not path or path.startswith(own):
            return  # a descriptor, or our own
        if path[0] != "/":
            if mode is None:
                return  # os.open may be given the directory that this is relative to, and does not tell
            try:
                path = _getcwd() + "/" + path
            except OSError:
                return
        writes = flags & _WRITING if type(flags) is int else 0
        if writes or path not in _files:
            _files[path] = "w" if writes else "r"

    sys.addaudithook(seen)


def last_frames(child: Any) -> list[dict[str, Any]]:
    """The frame `opened`: what was opened and is no module; after a fork the parent's files as well."""
    found = [
        [os.fsencode(path), mode]
        for path, mode in list(_files.items())
        if path not in child.reported and not path.endswith(".pyc") and not path.startswith(_NOT_FILES)
    ]
    return [{"kind": "opened", "files": found}] if found else []
