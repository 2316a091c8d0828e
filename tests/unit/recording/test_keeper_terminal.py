"""The keeper on a real terminal: the command sees one, the user notices nothing."""

from __future__ import annotations

import os
import signal
import sys
import termios
import time
from pathlib import Path

from gitrun.recording.console import collect, read_stream
from gitrun.recording.member import read_exit, read_pids
from tests.unit.recording.helpers import Typist, keep_argv, wait_for


def console(member: Path) -> bytes:
    return b"".join(data for _, _, data in read_stream(b"".join(collect(str(member)))))


def test_the_command_has_a_terminal_with_the_users_size_and_modes(tmp_path: Path) -> None:
    script = "import os,sys; print([os.isatty(i) for i in (0,1,2)], *os.get_terminal_size())"
    user = Typist(["bash", "--norc", "-i"], {"PS1": "$ "})
    user.resize(37, 111)
    user.type(" ".join(_quoted(keep_argv(tmp_path / "m", sys.executable, "-c", script))) + "; echo rc=$?\n")
    user.expect(r"\[True, True, True\] 111 37\r\n")
    user.expect("rc=0")
    user.type("exit 7\n")
    assert user.finish() == 7
    assert read_exit(str(tmp_path / "m"))["mode"] == "pty"
    assert b"[True, True, True] 111 37\r\n" in console(tmp_path / "m")


def test_ctrl_c_reaches_the_command_once_and_the_modes_come_back(tmp_path: Path) -> None:
    script = (
        "import signal,time\n"
        "n=[0]\n"
        "def hit(*_): n[0]+=1; print('hit', n[0], flush=True)\n"
        "signal.signal(signal.SIGINT, hit)\n"
        "print('ready', flush=True)\n"
        "while not n[0]: time.sleep(.05)\n"
        "time.sleep(.4); print('hits', n[0])\n"
    )
    user = Typist(keep_argv(tmp_path / "m", sys.executable, "-c", script))
    before = user.modes()
    user.expect("ready")
    wait_for(lambda: not user.modes()[3] & termios.ICANON)
    user.type("\x03")
    user.expect("hits 1")
    wait_for(lambda: user.modes() == before)
    assert user.finish() == 0
    end = read_exit(str(tmp_path / "m"))
    assert end["forwarded"] == [signal.SIGINT] and end["code"] == 0


def test_ctrl_c_ends_the_command_by_sigint(tmp_path: Path) -> None:
    user = Typist(keep_argv(tmp_path / "m", "sh", "-c", "echo ready; exec sleep 60"))
    user.expect("ready")
    user.type("\x03")
    assert user.finish() == 130
    end = read_exit(str(tmp_path / "m"))
    assert (end["signal"], end["forwarded"]) == (signal.SIGINT, [signal.SIGINT])


def _quoted(argv: list[str]) -> list[str]:
    return ["'" + word.replace("'", "'\\''") + "'" for word in argv]


def _stop_and_go(tmp_path: Path, command: str, redirect: str) -> None:
    member = tmp_path / "m"
    user = Typist(["bash", "--norc", "-i"], {"PS1": "pro" + "mpt> "})
    user.expect("prompt> ")
    before = user.modes()
    user.type(" ".join(_quoted(keep_argv(member, "sh", "-c", command))) + redirect + "\n")
    user.expect("ready 1\r\n")
    time.sleep(0.3)  # dash misses a stop that comes while it starts a program, with or without gitrun
    user.type("\x1a")
    user.expect("Stopped")
    user.expect("prompt> ")
    assert user.modes()[3] & termios.ISIG == before[3] & termios.ISIG
    state = Path(f"/proc/{read_pids(str(member))['command'].pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    assert state == "T"
    user.type("echo sh''ell works\n")
    user.expect("shell works")
    user.type("fg\n")
    time.sleep(0.3)
    user.type("go\n")
    user.expect("got go\r\n")
    user.expect("prompt> ")
    user.type("echo rc=$?\n")
    user.expect("rc=5")
    user.type("stty -a; exit\n")
    user.expect(r" icanon")
    user.finish()


def test_ctrl_z_and_fg_with_a_pseudo_terminal(tmp_path: Path) -> None:
    _stop_and_go(tmp_path, 'echo ready 1; read x; echo "got $x"; exit 5', "")
    assert read_exit(str(tmp_path / "m"))["mode"] == "pty"


def test_ctrl_z_and_fg_with_pipes(tmp_path: Path) -> None:
    _stop_and_go(tmp_path, 'echo ready 1 >&2; read x; echo "got $x" >&2; exit 5', " >/dev/null")
    assert read_exit(str(tmp_path / "m"))["mode"] == "pipes"


def test_ctrl_z_bg_and_fg_with_a_pseudo_terminal(tmp_path: Path) -> None:
    user = Typist(["bash", "--norc", "-i"], {"PS1": "pro" + "mpt> "})
    user.expect("prompt> ")
    command = 'echo ready; sleep 1; echo "in the background"; read x; echo "got $x"'
    user.type(" ".join(_quoted(keep_argv(tmp_path / "m", "sh", "-c", command))) + "\n")
    user.expect("ready\r\n")
    time.sleep(0.3)  # dash misses a stop that comes while it starts a program, with or without gitrun
    user.type("\x1a")
    user.expect("Stopped")
    user.type("bg\n")
    user.expect("in the background")
    user.type("echo to the sh''ell\n")
    user.expect("to the shell")
    user.type("fg\n")
    time.sleep(0.5)
    user.type("go\n")
    user.expect("got go")
    user.expect("prompt> ")
    user.type("exit\n")
    user.finish()


def test_the_window_is_resized_while_it_runs(tmp_path: Path) -> None:
    script = (
        "import signal,os,time\n"
        "signal.signal(signal.SIGWINCH, lambda *_: print('size', *os.get_terminal_size(), flush=True))\n"
        "print('ready', flush=True)\n"
        "[time.sleep(.05) for _ in range(40)]\n"
    )
    user = Typist(keep_argv(tmp_path / "m", sys.executable, "-c", script))
    user.expect("ready")
    user.resize(50, 133)
    user.expect("size 133 50")
    assert user.finish() == 0


def test_what_a_command_leaves_behind_is_not_hung_up(tmp_path: Path) -> None:
    """Without a leader of its own the pseudo-terminal's session would be hung up with the command."""
    user = Typist(["bash", "--norc", "-i"], {"PS1": "pro" + "mpt> "})
    user.expect("prompt> ")
    command = "(sleep 1.5; echo late; touch alive) & echo started"
    argv = keep_argv(tmp_path / "m", "sh", "-c", command, grace_s=0.3)
    user.type(f"cd {tmp_path}; " + " ".join(_quoted(argv)) + "\n")
    user.expect("started")
    user.expect("prompt> ")
    user.expect("late")
    wait_for((tmp_path / "alive").exists)
    assert [left["name"] for left in read_exit(str(tmp_path / "m"))["left_behind"]] == ["sh", "sleep"]
    user.type("exit\n")
    user.finish()


def test_a_killed_recorder_gives_the_terminal_back_and_the_command_lives_on(tmp_path: Path) -> None:
    user = Typist(["bash", "--norc", "-i"], {"PS1": "pro" + "mpt> "})
    user.expect("prompt> ")
    member = tmp_path / "m"
    argv = keep_argv(member, "sh", "-c", "echo ready; sleep 1; echo still here; exit 4")
    user.type(" ".join(_quoted(argv)) + "\n")
    user.expect("ready")
    pids = wait_for(lambda: (member / "recorder-pids").exists() and (member / "recorder-pids").read_text())
    os.kill(int(pids.split()[0]), signal.SIGKILL)
    user.expect("Killed")
    user.type("echo sh''ell\n")
    user.expect("shell")
    user.expect("still here")
    wait_for(lambda: (read_exit(str(member)) or {}).get("code") == 4)
    user.type("stty -a; exit\n")
    user.expect(r" icanon")
    user.finish()
