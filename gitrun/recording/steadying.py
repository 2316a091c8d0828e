"""What makes a command come out the same again: `record --deterministic`, `--portable`, `--seed N`.

All of it is environment variables, so that a replay sets them again as it does with any other, and a reader sees
them. What the user has set already stays as it is. gitrun's own part in the command's Python processes (child/steady)
acts on two of them: GITRUN_SEED and GITRUN_DETERMINISTIC.
"""

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

SEED, DETERMINISTIC = "GITRUN_SEED", "GITRUN_DETERMINISTIC"
_HASH_SEED, _32_BITS = "PYTHONHASHSEED", (1 << 32) - 1
_DETERMINISTIC = {
    _HASH_SEED: "0",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "TF_DETERMINISTIC_OPS": "1",
    "TF_CUDNN_DETERMINISTIC": "1",
    DETERMINISTIC: "1",
}
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# The least that a library still has code for: what every machine of its kind computes alike.
_PORTABLE = {
    "x86_64": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "DNNL_MAX_CPU_ISA": "SSE41",
        "MKL_CBWR": "COMPATIBLE",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
    "aarch64": {"ATEN_CPU_CAPABILITY": "default", "OPENBLAS_CORETYPE": "ARMV8"},
}
_NUMPY = "NPY_DISABLE_CPU_FEATURES"
_ASK_NUMPY = """
import sys
try:
    from numpy._core import _multiarray_umath as found
except ImportError:
    from numpy.core import _multiarray_umath as found
sys.stdout.write(" ".join(found.__cpu_dispatch__))
"""
_ANSWER_S = 30.0
_PYTHONS = (b"python", b"python3")


class Steady(NamedTuple):
    """What the user asked for; `seed` is a number from 0 up to 2^63."""

    deterministic: bool = False
    portable: bool = False
    seed: int | None = None

    def variables(self, environ: Mapping[str, str], command: Sequence[bytes], cwd: str) -> dict[str, str]:
        """The environment for the command, which would start in `cwd`."""
        wanted: dict[str, str] = {}
        if self.deterministic:
            wanted.update(_DETERMINISTIC)
        if self.seed is not None:
            wanted.update({_HASH_SEED: str(self.seed & _32_BITS), SEED: str(self.seed)})
        if self.portable:
            wanted.update(_ONE_THREAD, **_PORTABLE.get(os.uname().machine, {}))
            if _NUMPY not in environ and (names := _dispatched(environ, command, cwd)):
                wanted[_NUMPY] = names
        own = {SEED, DETERMINISTIC}  # an outer run's are not this one's
        return {**wanted, **{name: value for name, value in environ.items() if name not in own or name not in wanted}}


def _dispatched(environ: Mapping[str, str], command: Sequence[bytes], cwd: str) -> str:
    """The features that the command's numpy chooses among when it starts; empty where it has none.

    numpy takes only names that it was built with, and fails at any that its baseline has, so it is asked.
    """
    import subprocess  # only for --portable

    from gitrun.capture.program import find_program

    for words in (list(command), *([name] for name in _PYTHONS)):
        program = find_program(words, environ, os.fsencode(cwd))
        if program.python and program.binary is not None:
            break
    else:
        return ""
    try:
        done = subprocess.run(
            [program.binary, "-c", _ASK_NUMPY],
            env=dict(environ),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ANSWER_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""  # it would not start either when the command does
    return done.stdout.decode("ascii", "replace").strip() if done.returncode == 0 else ""
