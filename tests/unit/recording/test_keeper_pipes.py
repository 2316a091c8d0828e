"""The keeper between pipes and files: exit statuses, order, SIGPIPE, signals, descriptors, descendants."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gitrun.files.holder import is_alive, stat_of
from gitrun.recording.console import collect, read_stream
from gitrun.recording.member import read_exit, read_pids
from gitrun.recording.spool import TAIL_BYTES
from tests.unit.recording.helpers import keep_argv, wait_for

Start = Callable[..., subprocess.Popen[bytes]]


def run(member: Path, *command: str, **popen: Any) -> subprocess.CompletedProcess[bytes]:
    options = popen.pop("options", {})
    return subprocess.run(keep_argv(member, *command, **options), capture_output=True, timeout=60, **popen)


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a command under a keeper; pipes are closed and processes ended after the test."""
    with ExitStack() as stack:

        def call(member: Path, *command: str, **popen: Any) -> subprocess.Popen[bytes]:
            options = popen.pop("options", {})
            process = subprocess.Popen(keep_argv(member, *command, **options), stdout=subprocess.PIPE, **popen)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield call


def ended(member: Path) -> dict[str, Any]:
    found = read_exit(str(member))
    assert found is not None
    return found


def console(member: Path) -> bytes:
    return b"".join(data for _, _, data in read_stream(b"".join(collect(str(member)))))


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 143), ("kill -KILL $$", 137), ("kill -SEGV $$", 139)],
)
def test_the_exit_status_is_the_commands(tmp_path: Path, script: str, code: int) -> None:
    assert run(tmp_path, "sh", "-c", script).returncode == code
    assert ended(tmp_path)["forwarded"] == []


def test_streams_stay_apart_and_are_captured(tmp_path: Path) -> None:
    done = run(tmp_path, "sh", "-c", "echo out; echo err >&2; printf 'tail\\0\\377'")
    assert (done.stdout, done.stderr) == (b"out\ntail\0\xff", b"err\n")
    frames = list(read_stream(b"".join(collect(str(tmp_path)))))
    assert b"".join(data for stream, _, data in frames if stream == 1) == done.stdout
    assert b"".join(data for stream, _, data in frames if stream == 2) == done.stderr
    assert all(time_ns > 1_700_000_000 * 10**9 for _, time_ns, _ in frames)


@pytest.mark.parametrize("to_file", [False, True])
def test_one_place_for_both_streams_keeps_their_order(tmp_path: Path, to_file: bool) -> None:
    script = "import os\nfor i in range(200): os.write(1 + i % 2, b'%d\\n' % i)"
    with open(tmp_path / "out", "w+b") as out:
        argv = keep_argv(tmp_path / "m", sys.executable, "-c", script)
        if to_file:
            subprocess.run(argv, stdout=out, stderr=subprocess.STDOUT, timeout=60)
            out.seek(0)
            data = out.read()
        else:
            data = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60).stdout
    assert data == b"".join(b"%d\n" % i for i in range(200))


def test_a_reader_that_leaves_ends_the_command_by_sigpipe(tmp_path: Path) -> None:
    command = " ".join(f"'{word}'" for word in keep_argv(tmp_path, "yes"))
    script = f"{command} | head -2; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, timeout=60)
    assert done.stdout == b"y\ny\n141\n"
    assert ended(tmp_path)["signal"] == signal.SIGPIPE


@pytest.mark.parametrize("ignored", [False, True])
def test_sigpipe_is_as_the_shell_had_it(tmp_path: Path, ignored: bool) -> None:
    script = "print(open('/proc/self/status').read().split('SigIgn:')[1].split()[0])"
    plain = ["env", sys.executable, "-c", script]
    trap = "trap '' PIPE HUP; " if ignored else ""
    ours = " ".join("'" + word.replace("'", "'\\''") + "'" for word in keep_argv(tmp_path, *plain))
    theirs = " ".join("'" + word.replace("'", "'\\''") + "'" for word in plain)
    done = subprocess.run(["bash", "-c", f"{trap}{ours}; {theirs}"], capture_output=True, timeout=60)
    first, second = done.stdout.splitlines()
    assert first == second


def test_ignored_and_blocked_signals_are_inherited(tmp_path: Path) -> None:
    script = "grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status"

    def prepare() -> None:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGALRM})

    ours = run(tmp_path, "sh", "-c", script, preexec_fn=prepare).stdout
    plain = subprocess.run(["sh", "-c", script], capture_output=True, preexec_fn=prepare).stdout
    assert ours == plain


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
@pytest.mark.parametrize("to_group", [False, True])
def test_a_signal_arrives_exactly_once(tmp_path: Path, start: Start, number: signal.Signals, to_group: bool) -> None:
    script = (
        "import signal,time,sys\n"
        f"seen=[]\nsignal.signal({int(number)}, lambda *_: seen.append(1))\n"
        "print('ready', flush=True)\n"
        "end=time.monotonic()+20\n"
        "while not seen and time.monotonic()<end: time.sleep(.01)\n"
        "time.sleep(.4); sys.exit(40+len(seen))"
    )
    process = start(tmp_path, sys.executable, "-c", script, process_group=0)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    (os.killpg if to_group else os.kill)(process.pid, number)
    assert process.wait(30) == 41
    assert ended(tmp_path)["forwarded"] == [number]


def test_a_forwarded_signal_ends_the_command(tmp_path: Path, start: Start) -> None:
    process = start(tmp_path, "sh", "-c", "echo ready; exec sleep 60")
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 143
    assert (ended(tmp_path)["signal"], ended(tmp_path)["forwarded"]) == (15, [15])


def test_a_signal_for_the_group_counts_though_the_recorder_tells_of_it_too_late(tmp_path: Path, start: Start) -> None:
    process = start(tmp_path, "sh", "-c", "echo ready; exec sleep 60", process_group=0, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    wait_for((tmp_path / "recorder-pids").exists)
    process.send_signal(signal.SIGSTOP)  # its own copy waits until the command has ended and the keeper has said so
    wait_for(lambda: (found := stat_of(process.pid)) and found.state == "T")
    os.killpg(process.pid, signal.SIGINT)
    wait_for(lambda: (read_exit(str(tmp_path)) or {}).get("forwarded") == [2])
    assert ended(tmp_path)["signal"] == 2
    process.send_signal(signal.SIGCONT)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (130, b"")


def test_stop_and_continue_go_through(tmp_path: Path, start: Start) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    # In a group of its own, as a shell would: the kernel drops a SIGTSTP for a group that no shell is there to
    # continue, and whether this suite's own group is such a one depends on who started it.
    process = start(tmp_path, "sh", "-c", 'echo ready; exec cat "$0"', str(gate), process_group=0)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    command = read_pids(str(tmp_path))["command"].pid

    def state(pid: int) -> str:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]

    process.send_signal(signal.SIGTSTP)
    wait_for(lambda: state(command) == "T" and state(process.pid) == "T")
    process.send_signal(signal.SIGCONT)
    wait_for(lambda: state(process.pid) == "S")
    wait_for(lambda: state(command) == "S")
    gate.write_bytes(b"")
    assert process.wait(10) == 0


def test_a_blocked_reader_does_not_keep_signals_away(tmp_path: Path, start: Start) -> None:
    process = start(tmp_path, "yes")
    time.sleep(0.5)  # nobody reads: every pipe is full by now
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: (read_exit(str(tmp_path)) or {}).get("signal") == signal.SIGTERM)
    assert process.stdout is not None
    while process.stdout.read(1 << 20):
        pass
    assert process.wait(10) == 143


def test_descriptors_environment_umask_and_directory_are_inherited(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.write(write, b"from descriptor")
    os.close(write)
    script = f"head -c 100 /proc/self/fd/{read}; echo; umask; pwd; echo \"$A\"; ls /proc/self/fd | tr '\\n' ' '"
    env = {**os.environ, "A": "b=c\nd"}
    ours = run(tmp_path / "m", "sh", "-c", script, pass_fds=[read], env=env, umask=0o27, cwd=tmp_path)
    os.close(read)
    assert ours.stdout.startswith(b"from descriptor\n0027\n" + os.fsencode(tmp_path) + b"\nb=c\nd\n")
    numbers = ours.stdout.split(b"\n")[-1].split()
    assert sorted(map(int, numbers)) == [0, 1, 2, 3, read]  # 3 is ls's own


def test_closed_standard_descriptors_stay_closed(tmp_path: Path) -> None:
    argv = keep_argv(tmp_path, "sh", "-c", "ls /proc/self/fd >&2")
    done = subprocess.run(["bash", "-c", 'exec "$@" <&- >&-', "x", *argv], capture_output=True, timeout=30)
    plain = subprocess.run(["bash", "-c", "exec sh -c 'ls /proc/self/fd >&2' <&- >&-"], capture_output=True, timeout=30)
    assert done.stderr == plain.stderr


def test_stdin_belongs_to_the_command_alone(tmp_path: Path) -> None:
    """A producer must see SIGPIPE when the command has ended, not when gitrun has."""
    done = run(tmp_path, "head", "-c", "5", input=b"hello world")
    assert done.stdout == b"hello"


@pytest.mark.parametrize(
    ("command", "code", "errno"),
    [(["no-such-command"], 127, 2), (["/etc/passwd"], 126, 13), (["/tmp"], 126, 13), (["./missing"], 127, 2)],
)
def test_a_command_that_cannot_start(tmp_path: Path, command: list[str], code: int, errno: int) -> None:
    assert run(tmp_path, *command).returncode == code
    assert ended(tmp_path)["start_error"]["errno"] == errno


def test_a_script_without_a_first_line_runs_in_the_shell(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo from $0 $1\n")
    script.chmod(0o755)
    assert run(tmp_path / "m", str(script), "x").stdout == b"from " + os.fsencode(script) + b" x\n"


def test_a_missing_interpreter_is_not_a_missing_command(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    assert run(tmp_path / "m", str(script)).returncode == 127
    assert "interpreter" in ended(tmp_path / "m")["start_error"]["message"]


def test_memory_and_time_are_measured(tmp_path: Path) -> None:
    script = (
        "x = bytearray(150 << 20); x[::4096] = bytes(len(x[::4096]))\n"
        "import time\nt = time.process_time()\n"
        "while time.process_time() < t + .3: pass"
    )
    run(tmp_path, sys.executable, "-c", script)
    end = ended(tmp_path)
    assert 150 << 20 < end["max_rss_bytes"] < 250 << 20
    assert 0.3 < end["user_s"] + end["system_s"] < 3
    assert end["duration_ns"] > 3e8


def test_descendants_get_a_grace_and_are_named(tmp_path: Path) -> None:
    begin = time.monotonic()
    run(tmp_path, "sh", "-c", "sleep 30 > /dev/null 2>&1 & echo $! > pid", cwd=tmp_path, options={"grace_s": 0.5})
    assert 0.5 < time.monotonic() - begin < 10
    pid = int((tmp_path / "pid").read_text())
    assert ended(tmp_path)["left_behind"] == [{"pid": pid, "name": "sleep"}]
    os.kill(pid, signal.SIGKILL)


def test_descendants_that_end_in_time_are_waited_for(tmp_path: Path) -> None:
    done = run(tmp_path, "sh", "-c", "(sleep 0.4; echo late) & echo early")
    assert done.stdout == b"early\nlate\n"
    assert ended(tmp_path)["left_behind"] == []
    assert console(tmp_path) == done.stdout


def test_a_daemon_that_keeps_our_pipe_is_never_cut_off(tmp_path: Path, start: Start) -> None:
    script = "(sleep 1; echo one; sleep .1; echo two; touch done) & echo first"
    process = start(tmp_path, "sh", "-c", script, cwd=tmp_path, options={"grace_s": 0.2})
    assert process.wait(10) == 0 and not (tmp_path / "done").exists()
    assert process.stdout is not None and process.stdout.read() == b"first\none\ntwo\n"
    wait_for((tmp_path / "done").exists)


def test_a_killed_recorder_changes_nothing_for_the_command(tmp_path: Path, start: Start) -> None:
    recover = ["/bin/sh", "-c", f"touch {tmp_path}/recovered"]
    process = start(tmp_path, "sh", "-c", "echo ready; sleep .5; echo more; exit 6", options={"recover": recover})
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    process.kill()
    assert process.stdout.read() == b"more\n"
    wait_for((tmp_path / "recovered").exists)
    assert ended(tmp_path)["code"] == 6 and console(tmp_path) == b"ready\nmore\n"


def test_a_killed_keeper_ends_the_recorder_too(tmp_path: Path, start: Start) -> None:
    process = start(tmp_path, "sh", "-c", "echo ready; exec sleep 60")
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    pids = read_pids(str(tmp_path))
    os.kill(pids["keeper"].pid, signal.SIGKILL)
    assert process.wait(10) == 99
    assert read_exit(str(tmp_path)) is None
    assert is_alive(pids["command"])
    os.kill(pids["command"].pid, signal.SIGKILL)


def test_a_long_console_keeps_its_head_and_its_end(tmp_path: Path) -> None:
    limit = 2 << 20
    script = "import sys\nfor i in range(700000): sys.stdout.write('%09d\\n' % i)"
    done = run(tmp_path, sys.executable, "-c", script, options={"console_max": limit})
    assert len(done.stdout) == 7_000_000
    frames = list(read_stream(b"".join(collect(str(tmp_path)))))
    gap = next(i for i, (stream, _, _) in enumerate(frames) if stream == 0)
    head = b"".join(data for _, _, data in frames[:gap])
    tail = b"".join(data for _, _, data in frames[gap + 1 :])
    assert done.stdout.startswith(head) and limit - (1 << 18) <= len(head) <= limit
    assert done.stdout.endswith(tail) and TAIL_BYTES - (1 << 18) <= len(tail) <= 2 * TAIL_BYTES
    missing = len(done.stdout) - len(head) - len(tail)
    assert frames[gap][2] == b"[%d bytes not kept]" % missing


def test_a_low_disk_stops_the_capture_and_nothing_else(tmp_path: Path) -> None:
    done = run(tmp_path, "echo", "hello", options={"free_space_floor": 1 << 60})
    assert (done.returncode, done.stdout) == (0, b"hello\n")
    assert ended(tmp_path)["console"] == {"bytes": 6, "stopped": "disk nearly full"}


def test_a_full_disk_stops_the_capture_and_nothing_else(tmp_path: Path) -> None:
    inner = keep_argv(tmp_path / "small" / "m", "head", "-c", "20000000", "/dev/zero", free_space_floor=0)
    script = (
        f"mount -t tmpfs -o size=4m none {tmp_path}/small && mkdir {tmp_path}/small/m || exit 77\n"
        '"$@" | wc -c; echo ${PIPESTATUS[0]}; cat ' + f"{tmp_path}/small/m/exit"
    )
    done = subprocess.run(
        ["unshare", "-Urm", "bash", "-c", script, "x", *inner], capture_output=True, text=True, timeout=60
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("no user namespaces here")
    size, code, exit_line = done.stdout.split("\n")[:3]
    assert (size, code) == ("20000000", "0")
    assert json.loads(exit_line)["console"] == {"bytes": 20000000, "stopped": "disk full"}
    assert json.loads(exit_line)["code"] == 0
