"""With how many threads and which instructions a process computed: what changes the last bits of a result.

Only what is loaded is asked, by functions that read a number. The libraries are found among the mapped files, and
`ctypes` is used where the program has loaded it (numpy does): the answer is not worth an import.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Callable

_OPENBLAS_AFFIXES = (("", ""), ("", "64_"), ("scipy_", "64_"), ("scipy_", ""))
_OPENMP = ("libgomp", "libiomp", "libomp", "vcomp")


def last_frames(child: Any) -> list[dict[str, Any]]:
    """The frame `numerics`; a forked worker's are its parent's, and its libraries' threads are not there any more."""
    if child.start_method == "fork":
        return []
    threads: dict[str, Any] = {}
    blas: list[dict[str, Any]] = []
    isa: dict[str, Any] = {}
    deterministic: dict[str, Any] = {}
    for ask in (_libraries, _numpy, _torch, _tensorflow, _jax):
        try:
            ask(child, threads, blas, isa, deterministic)
        except Exception:  # noqa: S112  another release, or a library that is half gone at exit
            continue
    if not (threads or blas or isa or deterministic):
        return []
    return [{"kind": "numerics", "threads": threads, "blas": blas, "isa": isa, "deterministic": deterministic}]


def _libraries(child: Any, threads: Any, blas: Any, isa: Any, deterministic: Any) -> None:
    ctypes = sys.modules.get("ctypes")
    if ctypes is None or not hasattr(os, "RTLD_NOLOAD"):
        return
    for path in child.mapped:
        name = os.path.basename(path).decode("utf-8", "surrogateescape")
        openblas, mkl, openmp = "openblas" in name, name.startswith("libmkl_rt"), name.startswith(_OPENMP)
        if not (openblas or mkl or openmp or name.startswith("libblis")):
            continue
        try:
            library = ctypes.CDLL(os.fsdecode(path), mode=os.RTLD_NOLOAD)
        except OSError:
            continue  # it was replaced on disk meanwhile
        if openblas:
            blas.append(_openblas(library, name, ctypes, threads))
        elif mkl:
            threads["mkl"] = _number(library, "MKL_Get_Max_Threads")
            blas.append({"library": name, "kind": "mkl", "threads": threads["mkl"]})
        elif openmp:
            threads.setdefault("omp", _number(library, "omp_get_max_threads"))
        else:
            blas.append({"library": name, "kind": "blis", "threads": _number(library, "bli_thread_get_num_threads")})


def _openblas(library: Any, name: str, ctypes: Any, threads: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"library": name, "kind": "openblas"}
    for before, after in _OPENBLAS_AFFIXES:
        count = _number(library, before + "openblas_get_num_threads" + after)
        if count is None:
            continue
        found["threads"] = threads["openblas"] = count
        for key, function in (("core", "openblas_get_corename"), ("config", "openblas_get_config")):
            text = getattr(library, before + function + after, None)
            if text is not None:
                text.restype = ctypes.c_char_p
                found[key] = (text() or b"").decode("ascii", "replace")
        break
    return found


def _number(library: Any, name: str) -> int | None:
    function: Callable[[], int] | None = getattr(library, name, None)
    return None if function is None else int(function())


def _numpy(_: Any, threads: Any, blas: Any, isa: Any, deterministic: Any) -> None:
    for name in ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath"):
        features = getattr(sys.modules.get(name), "__cpu_features__", None)
        if isinstance(features, dict):
            isa["numpy"] = sorted(str(feature) for feature, there in features.items() if there)
            return


def _torch(_: Any, threads: Any, blas: Any, isa: Any, deterministic: Any) -> None:
    torch = sys.modules.get("torch")
    if torch is None:
        return
    threads["torch_intra"] = torch.get_num_threads()
    threads["torch_inter"] = torch.get_num_interop_threads()
    isa["torch"] = torch.backends.cpu.get_cpu_capability()
    deterministic["torch"] = {
        "algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }


def _tensorflow(_: Any, threads: Any, blas: Any, isa: Any, deterministic: Any) -> None:
    context = getattr(sys.modules.get("tensorflow.python.eager.context"), "_context", None)
    if context is not None:
        threads["tensorflow_intra"] = int(context.intra_op_parallelism_threads)
        threads["tensorflow_inter"] = int(context.inter_op_parallelism_threads)


def _jax(_: Any, threads: Any, blas: Any, isa: Any, deterministic: Any) -> None:
    config = getattr(sys.modules.get("jax"), "config", None)
    if config is not None:
        isa["jax"] = {"enable_x64": bool(config.jax_enable_x64), "precision": str(config.jax_default_matmul_precision)}
