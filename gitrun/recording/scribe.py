"""The scribe: replaces secrets in the output and puts it into the spool; for loud commands a process of its own.

Looking for secrets takes longer than passing output on, ten times and more. A quiet command does not notice, so the
keeper is its own scribe. A loud one would wait for it. So the keeper forks, and the child goes on with the state it
inherits: it takes what comes out of shared memory as fast as it comes, and looks through it whenever nothing comes.
What waits is in memory alone, since nothing unread may lie on a disk; beyond a bound the command has to wait after
all. The scribe outlives a keeper that is killed, until everything that was read is written.

Beyond the head of the console only its end is kept, so only that is looked through, once in a while: the rest is
dropped unseen. So that no half of a secret is kept, what stands before the part that is kept is looked at, too.
"""

import os
import select
import struct
import time
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple, NoReturn

from gitrun.capture.secrets import Redactor
from gitrun.recording.job import Job
from gitrun.recording.redaction import Output, Redaction
from gitrun.recording.ring import Ring
from gitrun.recording.spool import TAIL_BYTES, Spool

MESSAGE = struct.Struct("<BQIQ")  # stream, time in ns, length and position of an output in the ring
RING_BYTES = 8 << 20
WAITING_BYTES = 256 << 20  # where that is no more than an eighth of the memory that is free
_PIECE_BYTES = 1 << 16  # what is looked through before the next look at what comes
_MESSAGES = MESSAGE.size * 1000
_TAIL_S = 1.0  # how old the end of a console may be on the disk
_UNKEPT = -1  # the time of output that is only looked at


def scribe_for(job: Job, variables: Mapping[str, str]) -> "Scribe":
    """The scribe of a command with these variables; what its words alone make a secret is one in its output, too."""
    redactor = Redactor(variables, os.environ)
    redactor.learn(job.command)
    spool = Spool(job.member, job.console_max, job.free_space_floor)
    return Scribe(spool, Redaction(redactor.text, redactor.values))


class Scribe:
    """Output on its way to the spool; never raises."""

    def __init__(self, spool: Spool, redaction: Redaction) -> None:
        self.spool = spool
        self.keep = redaction.keep
        self._redaction = redaction

    def write(self, stream: int, time_ns: int, data: bytes) -> None:
        """Takes one piece of output as it was read."""
        if self.spool.stopped is None:
            self._judge((stream, time_ns, data))

    def skip(self, length: int) -> None:
        """So many bytes follow that are not kept."""
        done, lost = self._redaction.drop()
        self._put(done)
        self.spool.skip(lost + length)

    def finish(self) -> None:
        """Nothing follows."""
        self._judge(None)
        self.spool.close()

    def _judge(self, output: Output | None) -> None:
        try:
            self._put(self._redaction.finish() if output is None else self._redaction.feed(output))
        except Exception as bug:  # the command must not be hurt by it, nor its secrets kept because of it
            self.spool.stop(f"a bug in gitrun ({type(bug).__name__})")
            from gitrun.recording.bugs import log_in_keeper  # only then

            log_in_keeper(self.spool.member, bug, {}, message=False)  # which may quote the output

    def _put(self, outputs: list[Output]) -> None:
        for stream, time_ns, data in outputs:
            if time_ns != _UNKEPT:
                self.spool.write(stream, time_ns, data)


class _Place(NamedTuple):
    """Where an output lies in the ring."""

    stream: int
    time_ns: int
    at: int
    length: int


class Backlog:
    """What has come and was not looked through yet: all of the head, where the end of what is beyond it lies.

    `offset` is how many bytes came before, `limit` how many make the head.
    """

    def __init__(self, ring: Ring, offset: int, limit: int) -> None:
        self._ring = ring
        self._offset = offset
        self._limit = limit
        self.head: deque[Output] = deque()
        self.head_bytes = 0
        self.tail: deque[_Place] = deque()
        self._tail_bytes = 0
        self._skipped = 0

    def add(self, place: _Place, context: int) -> None:
        """Takes one piece of output; of what is beyond the head, `context` bytes more than are kept."""
        if self._offset < self._limit:
            self.head.append((place.stream, place.time_ns, self._ring.get(place.at, place.length)))
            self.head_bytes += place.length
            self._ring.take(place.at + place.length)
        else:
            self._ring.set_free()
            self.tail.append(place)
            self._tail_bytes += place.length
        self._offset += place.length
        while self._tail_bytes - (self.tail[0].length if self.tail else 0) > TAIL_BYTES + context:
            self._skip(self.tail.popleft())

    def write_head(self, scribe: Scribe) -> None:
        """Has one piece of the head written."""
        stream, time_ns, data = self.head.popleft()
        if len(data) > _PIECE_BYTES:
            self.head.appendleft((stream, time_ns, data[_PIECE_BYTES:]))
            data = data[:_PIECE_BYTES]
        self.head_bytes -= len(data)
        scribe.write(stream, time_ns, data)

    def write_tail(self, scribe: Scribe) -> None:
        """Has all written of what is beyond the head and still there."""
        outputs: list[Output] = []
        for place in list(self.tail):
            data = self._ring.get(place.at, place.length)
            if self._ring.is_kept(place.at):
                outputs.append((place.stream, place.time_ns, data))
                continue
            outputs.clear()
            while self.tail[0] != place:
                self._skip(self.tail.popleft())
            self._skip(self.tail.popleft())
        self.tail.clear()
        self._tail_bytes = 0
        context = scribe.keep if self._skipped else 0
        if context:
            scribe.skip(self._skipped + min(context, sum(len(data) for _, _, data in outputs)))
            self._skipped = 0
        for stream, time_ns, data in outputs:
            unkept = data[:context]
            context -= len(unkept)
            if unkept:
                scribe.write(stream, _UNKEPT, unkept)
            if len(unkept) < len(data):
                scribe.write(stream, time_ns, data[len(unkept) :])

    def _skip(self, place: _Place) -> None:
        self._tail_bytes -= place.length
        self._skipped += place.length


def run_scribe(scribe: Scribe, backlog: Backlog, inbox: int, outcome: int) -> NoReturn:
    """The life of a scribe that is a process, all signals blocked: until nobody writes to `inbox`.

    `outcome` is told why capture stopped, an empty line where it did not.
    """
    _serve(scribe, backlog, inbox)
    scribe.finish()
    os.write(outcome, (scribe.spool.stopped or "").encode() + b"\n")
    os._exit(0)


def _serve(scribe: Scribe, backlog: Backlog, inbox: int) -> None:
    poll = select.poll()
    poll.register(inbox, select.POLLIN)
    ended = False
    due = time.monotonic() + _TAIL_S
    room = _room_bytes()
    while scribe.spool.stopped is None and not (ended and not backlog.head and not backlog.tail):
        late = bool(backlog.tail) and not backlog.head and (ended or time.monotonic() >= due)
        if not ended and not late and backlog.head_bytes < room and _comes(poll, backlog, due):
            heard = os.read(inbox, _MESSAGES)
            ended = not heard
            for message in MESSAGE.iter_unpack(heard):
                backlog.add(_Place(message[0], message[1], message[3], message[2]), scribe.keep)
        elif backlog.head:
            backlog.write_head(scribe)
        elif late:
            backlog.write_tail(scribe)
            due = time.monotonic() + _TAIL_S


def _room_bytes() -> int:
    """How much may wait in memory."""
    try:
        with open("/proc/meminfo") as file:
            free_kib = next(int(line.split()[1]) for line in file if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return WAITING_BYTES >> 2
    return min(WAITING_BYTES, free_kib << 7)


def _comes(poll: select.poll, backlog: Backlog, due: float) -> bool:
    """Whether something comes, while there is nothing better to do."""
    if backlog.head:
        return bool(poll.poll(0))
    return bool(poll.poll(max(0.0, due - time.monotonic()) * 1000 if backlog.tail else None))
