"""A place of its own for a recorded run: a repository, a home, and gitrun as a process in nothing but these."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

AUTHOR = ("-c", "user.name=Spoil", "-c", "user.email=spoil@example.org")


class World:
    """A repository of these files in `root`, which is made; `environ` is all that its processes are given."""

    def __init__(self, root: Path, files: Mapping[str, str], **environ: str) -> None:
        self.root, self.repo = root, root / "repo"
        for path in (self.repo, root / "home", root / "tmp"):
            path.mkdir(parents=True)
        kept = {
            name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "PYTHONPYCACHEPREFIX") if name in os.environ
        }
        self.environ = {
            **kept, "HOME": str(root / "home"), "TMPDIR": str(root / "tmp"), "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC", "GITRUN_LOCK_RESOLVER": "none",
            "PYTHONHASHSEED": "0", **environ,
        }  # fmt: skip
        for name, text in files.items():
            path = self.repo / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "first")):
            self.run("git", *AUTHOR, *words)

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """A process that must end well."""
        done = self.process(*words, **environ)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def process(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """A process, however it ends; a variable that is empty is not set."""
        given = {name: value for name, value in {**self.environ, **environ}.items() if value}
        return subprocess.run(
            words, cwd=self.repo, env=given, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600,
            errors="surrogateescape", check=False,
        )  # fmt: skip

    def record(self, *command: str, options: tuple[str, ...] = (), code: int = 0, **environ: str) -> str:
        """The id of a new run of this command."""
        place = self.root / "id"
        words = ("record", "--quiet", "--id-file", str(place), *options, "--", *command)
        done = self.process(sys.executable, "-m", "gitrun", *words, **environ)
        if done.returncode != code:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return place.read_text().strip()

    def replay(self, run: str, *options: str, env: str = "current", **environ: str) -> tuple[int, dict[str, Any]]:
        """The exit status and the verdict of a replay."""
        words = ("replay", run, "--env", env, "--json", *options)
        done = self.process(sys.executable, "-m", "gitrun", *words, **environ)
        if not done.stdout:
            raise RuntimeError(f"no verdict: {done.returncode}: {done.stderr}")
        return done.returncode, json.loads(done.stdout)
