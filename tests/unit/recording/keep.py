"""A bare recorder: `python keep.py MEMBER OPTIONS-JSON COMMAND...` runs a command under a keeper, no more."""

import json
import os
import sys

from gitrun.recording.job import Job
from gitrun.recording.keeper import start_keeper
from gitrun.recording.member import read_exit
from gitrun.recording.signals import inherited


def main() -> int:
    found = inherited()
    member, options = sys.argv[1], json.loads(sys.argv[2])
    command = [os.fsencode(word) for word in sys.argv[3:]]
    handle = start_keeper(Job(command, os.environb.copy(), member, found, **options))
    with open(os.path.join(member, "recorder-pids"), "w") as file:
        file.write(f"{os.getpid()} {handle.pid}")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    for fd in found.extra_fds:
        os.close(fd)
    ended = handle.wait(600)
    handle.close()
    if not ended:
        return 99
    end = read_exit(member)
    assert end is not None
    return end["code"] if end["code"] is not None else 128 + end["signal"]


sys.exit(main())
