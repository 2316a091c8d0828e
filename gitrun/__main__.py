"""The entry point: `record` goes its own short way, everything else through typer."""

import os
import sys


def main() -> None:
    """Runs gitrun and ends the process."""
    words = sys.argv[1:]
    if words and words[0] in ("record", "run"):
        from gitrun.cli.fast import main as fast

        code = fast(words[1:])
        sys.stdout.flush() if sys.stdout is not None else None
        os._exit(code)  # the interpreter's own clean-up costs milliseconds and has nothing left to do
    from gitrun.cli.app import main as everything

    sys.exit(everything(words))


if __name__ == "__main__":
    main()
