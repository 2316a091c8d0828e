"""The console is redacted on its way to the disk: nothing raw ever lies there, and a killed keeper loses a line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gitrun.recording.console import collect, read_stream
from gitrun.recording.member import read_exit, read_pids
from gitrun.recording.redaction import LONGEST_BYTES, Redaction
from gitrun.recording.ring import Ring
from gitrun.recording.scribe import Backlog, Scribe
from gitrun.recording.spool import TAIL_BYTES, Spool, wait_for_writer
from tests.unit.recording.helpers import keep_argv, wait_for

SECRET = "correct horse battery"
TOKEN = b"hf_" + b"aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6"


def frames(member: Path) -> list[tuple[int, int, bytes]]:
    return list(read_stream(b"".join(collect(str(member)))))


def console(member: Path) -> bytes:
    return b"".join(data for _, _, data in frames(member))


def on_disk(member: Path) -> bytes:
    return b"".join(path.read_bytes() for path in member.iterdir() if path.is_file())


@contextmanager
def keeping(member: Path, script: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    env = {**os.environ, "MY_SECRET": SECRET}
    argv = keep_argv(member, sys.executable, "-uc", script, **options)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=env) as process:
        try:
            yield process
        finally:
            process.kill()


LINES = "import os, time\nsay = lambda text: os.write(1, text.encode())\n"


def test_a_secret_that_two_writes_made_never_lies_on_the_disk(tmp_path: Path) -> None:
    script = LINES + "say('it is correct ho'); time.sleep(.3); say('rse battery!\\n'); time.sleep(30)"
    with keeping(tmp_path, script) as process:
        assert process.stdout is not None
        passed = os.read(process.stdout.fileno(), 100)
        assert passed == b"it is correct ho"  # the terminal does not wait
        wait_for(lambda: b"<secret:MY_SECRET>" in on_disk(tmp_path))
        assert b"correct" not in on_disk(tmp_path)
        os.kill(read_pids(str(tmp_path))["command"].pid, signal.SIGKILL)
        process.wait(10)
    assert console(tmp_path) == b"it is <secret:MY_SECRET>!\n"


def test_a_killed_keeper_loses_no_more_than_the_line_it_held_back(tmp_path: Path) -> None:
    script = LINES + "for i in range(100): say('line %d\\n' % i)\nsay('unfinished'); time.sleep(30)"
    with keeping(tmp_path, script) as process:
        assert process.stdout is not None
        seen = b""
        while b"unfinished" not in seen:
            seen += os.read(process.stdout.fileno(), 4096)
        time.sleep(0.2)
        pids = read_pids(str(tmp_path))
        os.kill(pids["keeper"].pid, signal.SIGKILL)
        assert process.wait(10) == 99
        os.kill(pids["command"].pid, signal.SIGKILL)
    assert console(tmp_path) == b"".join(b"line %d\n" % i for i in range(100))


LOUD = LINES + "block = ''.join('a line of the log %d, {}\\n' % i for i in range(40000))\n"


def test_a_killed_keeper_of_a_loud_command_loses_nothing_that_it_had_passed_on(tmp_path: Path) -> None:
    script = LOUD.format(SECRET) + "for _ in range(8): say(block)\nsay('unfinished')\ntime.sleep(30)"
    with keeping(tmp_path, script) as process:
        assert process.stdout is not None
        seen = b""
        while not seen.endswith(b"unfinished"):
            seen += os.read(process.stdout.fileno(), 1 << 20)
        time.sleep(0.1)
        pids = read_pids(str(tmp_path))
        os.kill(pids["keeper"].pid, signal.SIGKILL)
        process.wait(10)
        assert wait_for_writer(str(tmp_path), 60)
        os.kill(pids["command"].pid, signal.SIGKILL)
    assert len(seen) > 12_000_000 and SECRET.encode() not in on_disk(tmp_path)
    assert console(tmp_path) == seen.replace(SECRET.encode(), b"<secret:MY_SECRET>")


def test_a_loud_command_is_kept_whole_and_ends_as_it_would(tmp_path: Path) -> None:
    script = LOUD.format(SECRET) + "for _ in range(8): say(block)\nraise SystemExit(7)"
    with keeping(tmp_path, script) as process:
        assert process.stdout is not None
        seen = process.stdout.read()
        assert process.wait(60) == 7
    end = read_exit(str(tmp_path))
    assert end is not None and end["console"] == {"bytes": len(seen), "stopped": None} and end["left_behind"] == []
    assert console(tmp_path) == seen.replace(SECRET.encode(), b"<secret:MY_SECRET>")


def test_a_killed_scribe_ends_the_capture_and_nothing_else(tmp_path: Path) -> None:
    script = LOUD.format("") + "for _ in range(400): say(block)\nsay('end')"
    with keeping(tmp_path, script) as process:
        assert process.stdout is not None
        seen = len(os.read(process.stdout.fileno(), 1 << 20))
        keeper, command = read_pids(str(tmp_path))["keeper"].pid, read_pids(str(tmp_path))["command"].pid

        def scribe() -> int | None:
            children = Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()
            return next((int(pid) for pid in children if int(pid) != command), None)

        while (found := scribe()) is None:
            seen += len(os.read(process.stdout.fileno(), 1 << 20))
        os.kill(found, signal.SIGKILL)
        seen += len(process.stdout.read())
        assert process.wait(60) == 0
    end = read_exit(str(tmp_path))
    assert end is not None and end["console"] == {"bytes": seen, "stopped": "the process that wrote it was killed"}


def test_without_more_processes_the_keeper_does_it_all(tmp_path: Path) -> None:
    script = (
        "import sys; from gitrun.recording import captor\n"
        "def refuse(): raise OSError(11, 'no more processes')\n"
        "captor._fork = refuse\n"
        "from gitrun.recording.scribe import Scribe\nfrom gitrun.recording.spool import Spool\n"
        "from gitrun.recording.redaction import Redaction\n"
        f"made = lambda: Scribe(Spool({str(tmp_path)!r}, 1 << 24, 0), Redaction(lambda data: data))\n"
        f"console = captor.Captor(made, {str(tmp_path)!r}, 1 << 24, ())\n"
        "for n in range(10): console.write(1, n, b'x' * (1 << 17) + b'\\n')\n"
        "console.close(); print(console.stopped, console.scribe_pid)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "None None\n" and len(console(tmp_path)) == 10 * (1 + (1 << 17))


def test_a_bug_in_redacting_keeps_nothing(tmp_path: Path) -> None:
    def fail(data: bytes) -> bytes:
        raise ValueError(data)

    scribe = Scribe(Spool(str(tmp_path), 1 << 20, 0), Redaction(fail))
    scribe.write(1, 1, b"secret\n")
    scribe.write(1, 2, b"more\n")
    scribe.finish()
    assert scribe.spool.stopped == "a bug in gitrun (ValueError)" and console(tmp_path) == b""


def test_no_half_of_a_secret_is_kept_beyond_the_head(tmp_path: Path) -> None:
    """The part that is kept begins anywhere, here in the middle of a token."""
    for shift in range(0, 2 * len(TOKEN), 5):
        member = tmp_path / str(shift)
        member.mkdir()
        scribe = Scribe(Spool(str(member), 4096, 0), Redaction(lambda data: data.replace(TOKEN, b"<secret:x>")))
        ring = Ring(8 << 20)
        backlog = Backlog(ring, 0, 4096)
        text = b"z" * (4096 + shift) + (TOKEN + b"\n") * 80_000
        at = 0
        for n, start in enumerate(range(0, len(text), 4096)):
            piece = text[start : start + 4096]
            ring.put(at, piece)
            backlog.add(_place(n, at, len(piece)), LONGEST_BYTES)
            at += len(piece)
        while backlog.head:
            backlog.write_head(scribe)
        backlog.write_tail(scribe)
        scribe.finish()
        kept = frames(member)
        tail = b"".join(data for _, _, data in kept[[stream for stream, _, _ in kept].index(0) + 1 :])
        assert b"hf_" not in tail and set(tail.split(b"\n")) <= {b"<secret:x>", b""}
        assert len(tail) > TAIL_BYTES * 11 / 40 - 4096


def _place(n: int, at: int, length: int) -> Any:
    from gitrun.recording.scribe import _Place

    return _Place(1, n, at, length)


def test_what_was_written_over_in_the_ring_is_a_gap(tmp_path: Path) -> None:
    ring = Ring(4 << 20)
    scribe = Scribe(Spool(str(tmp_path), 0, 0), Redaction(lambda data: data))
    backlog = Backlog(ring, 0, 0)
    at = 0
    for n in range(100):
        piece = b"%06d\n" % n * 10_000
        ring.put(at, piece)
        if n < 20:  # of the others it has not heard yet
            backlog.add(_place(n, at, len(piece)), LONGEST_BYTES)
        at += len(piece)
    backlog.write_tail(scribe)
    scribe.finish()
    assert b"0" not in console(tmp_path).replace(b"bytes not kept", b"").split(b"]")[-1]


@pytest.mark.parametrize("size", [10, 1000, 70_000])
def test_a_ring_gives_back_what_was_put(size: int) -> None:
    ring = Ring(1 << 17)
    at = 0
    for n in range(50):
        data = bytes([n]) * size
        assert ring.has_room(at, size)
        ring.put(at, data)
        assert ring.get(at, size) == data
        at += size
        ring.take(at)
    assert not ring.has_room(at, (1 << 17) + 1)
    ring.set_free()
    assert ring.has_room(at, 1 << 17)
