"""The entry point: `record` goes its own short way, everything else through typer."""

import os
import signal
import sys

INTERRUPTED = 130


def main() -> None:
    """Runs gitrun and ends the process."""
    words = sys.argv[1:]
    try:
        if words and words[0] in ("record", "run"):
            from gitrun.cli.fast import main as fast

            code = fast(words[1:])
            sys.stdout.flush() if sys.stdout is not None else None
            os._exit(code)  # the interpreter's own clean-up costs milliseconds and has nothing left to do
        if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else nobody could wait for a git process
        from gitrun.cli.app import main as everything

        sys.exit(everything(words))
    except KeyboardInterrupt:  # while our own modules were still being loaded
        os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
