"""The entry point: `record`, `log`, `ls`, `push` and `fetch` go their own short ways, everything else through typer."""

import os
import sys

from gitrun.own_python import keep_bytecode_whole, leave_users_places

INTERRUPTED = 130


def main() -> None:
    """Runs gitrun and ends the process."""
    words = sys.argv[1:]
    try:
        leave_users_places()
        keep_bytecode_whole()
        if words and words[0] in ("record", "run"):
            from gitrun.cli.fast import main as fast

            code = fast(words[1:])
            sys.stdout.flush() if sys.stdout is not None else None
            os._exit(code)  # the interpreter's own clean-up costs milliseconds and has nothing left to do
        if words and words[0] == "log":
            from gitrun.cli.fast_log import main as log

            sys.exit(log(words[1:]))
        import signal  # not before the user's directories are left: one may have a `signal.py`

        if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else nobody could wait for a git process
        if words and words[0] == "ls":
            from gitrun.cli.fast_ls import main as ls

            os._exit(ls(words[1:]))  # as above; what it had to say is flushed
        if words and words[0] in ("push", "fetch"):
            from importlib import import_module

            sys.exit(import_module(f"gitrun.cli.fast_{words[0]}").main(words[1:]))
        from gitrun.cli.app import main as everything

        sys.exit(everything(words))
    except KeyboardInterrupt:  # while our own modules were still being loaded
        os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
