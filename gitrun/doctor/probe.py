"""The program of a trial recording: it does one small thing for each capture, and says what it saw around itself.

It runs in the Python that would run the user's program, which may be of any version and does not know gitrun; so it
is text here, written next to a module of its own in a directory that belongs to nobody. What it prints is compared
with what the same program prints without gitrun.
"""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

from gitrun.files.write import write_file

MODULE = "gitrun_doctor_module"
SECRET = "GITRUN_DOCTOR_TOKEN"
STEPS, RATE, SEED, EXIT = 3, 0.5, 271_828_183, 3
_MARK = "gitrun doctor: "

_PROGRAM = f"""\
import argparse, json, os, random, sys
parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=1)
parser.add_argument("--rate", type=float, default={RATE})
parser.add_argument("--token")
args = parser.parse_args()
random.seed({SEED})
import {MODULE}
around = {{
    "path": sys.path,
    "sitecustomize": getattr(sys.modules.get("sitecustomize"), "__file__", None),
    "argv": sys.argv,
    "flags": list(sys.flags),
    "version": sys.version.split()[0],
    "executable": sys.executable,
}}
print("{_MARK}" + json.dumps(around))
print("the token is", os.environ["{SECRET}"])
sys.exit({EXIT})
"""


class Probe(NamedTuple):
    """A program in `directory`, and the secret that its environment holds."""

    directory: str
    secret: str

    @property
    def script(self) -> str:
        """The path of the program."""
        return os.path.join(self.directory, "probe.py")

    @property
    def module(self) -> str:
        """The path of the module that it imports."""
        return os.path.join(self.directory, MODULE + ".py")

    def words(self, python: str) -> list[str]:
        """The command."""
        return [python, self.script, f"--steps={STEPS}", f"--token={self.secret}"]


def write_probe(directory: str) -> Probe:
    """Put the program and its module into an empty directory."""
    probe = Probe(directory, os.urandom(12).hex())
    for path, text in ((probe.script, _PROGRAM), (probe.module, '"""Nobody has it but this run."""\n')):
        write_file(path, text.encode(), sync=False)
    return probe


def find_around(output: bytes) -> Any:
    """What the program said about itself, None where it did not get so far."""
    for line in output.decode("utf-8", "replace").splitlines():
        if line.startswith(_MARK):
            try:
                return json.loads(line.removeprefix(_MARK))
            except ValueError:
                return None
    return None
