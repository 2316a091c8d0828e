"""The environment variables worth recording: an allow-list, because a dump of all of them leaks secrets.

Two kinds are kept apart. *Settings* change what a program computes or prints, and a replay sets them again
(and unsets those of the list that were not set). *Identity* says which job, rank or device this process was
(Slurm, torchrun, Kubernetes): worth knowing afterwards, wrong to claim in a replay.

PATH is a setting although it names local directories: without it a replay would find another `python`. HOME,
USER and SHELL are not on the list: a replay has its own, and what they change is not the program's result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from gitrun.capture.facts import Facts, word_set
from gitrun.capture.secrets import Redactor

MAX_CHARS = 32 << 10

SETTINGS = word_set(
    # which programs and libraries are found
    "PATH LD_LIBRARY_PATH LD_PRELOAD DYLD_LIBRARY_PATH VIRTUAL_ENV CONDA_PREFIX CONDA_DEFAULT_ENV PYENV_VERSION "
    "UV_PROJECT_ENVIRONMENT JULIA_PROJECT R_LIBS R_LIBS_USER R_LIBS_SITE NODE_PATH NODE_ENV NODE_OPTIONS CLASSPATH "
    "JAVA_HOME JAVA_TOOL_OPTIONS GOMAXPROCS GOGC RUST_BACKTRACE RUST_LOG RAYON_NUM_THREADS CUDA_HOME CUDA_PATH "
    # language and time
    "LANG LANGUAGE TZ SOURCE_DATE_EPOCH POSIXLY_CORRECT "
    # what the program believes about its terminal
    "TERM COLORTERM NO_COLOR FORCE_COLOR CLICOLOR CLICOLOR_FORCE COLUMNS LINES "
    # threads, vector instructions, memory
    "MALLOC_ARENA_MAX MALLOC_PERTURB_ GLIBC_TUNABLES NUMEXPR_NUM_THREADS NUMEXPR_MAX_THREADS VECLIB_MAXIMUM_THREADS "
    "BLIS_NUM_THREADS TBB_NUM_THREADS ATEN_CPU_CAPABILITY DNNL_MAX_CPU_ISA DNNL_DEFAULT_FPMATH_MODE "
    "TOKENIZERS_PARALLELISM "
    # graphics processors
    "CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER CUDA_LAUNCH_BLOCKING CUDA_DEVICE_MAX_CONNECTIONS CUDA_MODULE_LOADING "
    "CUBLAS_WORKSPACE_CONFIG NVIDIA_TF32_OVERRIDE NVIDIA_VISIBLE_DEVICES HIP_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES "
    "HSA_OVERRIDE_GFX_VERSION ZE_AFFINITY_MASK "
    # frameworks
    "GITRUN_SEED GITRUN_DETERMINISTIC "
    "HYDRA_FULL_ERROR HF_HOME HF_HUB_OFFLINE HF_DATASETS_OFFLINE TRANSFORMERS_OFFLINE MPLBACKEND DISPLAY"
)
SETTING_PREFIXES = (
    "PYTHON", "LC_", "OMP_", "KMP_", "GOMP_", "MKL_", "OPENBLAS_", "GOTO_", "ONEDNN_", "NPY_", "NUMBA_", "TORCH_",
    "PYTORCH_", "TORCHINDUCTOR_", "TRITON_", "XLA_", "JAX_", "KERAS_", "CUDNN_", "CUBLAS_", "NCCL_", "GLOO_",
    "MIOPEN_", "TF_CPP_", "TF_CUDNN_", "TF_DETERMINISTIC_", "TF_ENABLE_", "TF_FORCE_", "TF_GPU_", "TF_NUM_", "TF_XLA_",
)  # fmt: skip
IDENTITY = word_set(
    "RANK LOCAL_RANK GROUP_RANK ROLE_RANK ROLE_NAME WORLD_SIZE LOCAL_WORLD_SIZE ROLE_WORLD_SIZE GROUP_WORLD_SIZE "
    "NODE_RANK MASTER_ADDR MASTER_PORT TORCHELASTIC_RUN_ID TORCHELASTIC_RESTART_COUNT TORCHELASTIC_MAX_RESTARTS "
    "SLURM_JOB_ID SLURM_JOBID SLURM_JOB_NAME SLURM_JOB_PARTITION SLURM_JOB_NODELIST SLURM_JOB_NUM_NODES "
    "SLURM_CLUSTER_NAME SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID SLURM_ARRAY_TASK_COUNT SLURM_ARRAY_TASK_MIN "
    "SLURM_ARRAY_TASK_MAX SLURM_PROCID SLURM_LOCALID SLURM_NODEID SLURM_NTASKS SLURM_NTASKS_PER_NODE SLURM_NNODES "
    "SLURM_STEP_ID SLURM_CPUS_PER_TASK SLURM_CPUS_ON_NODE SLURM_MEM_PER_NODE SLURM_MEM_PER_CPU SLURM_GPUS "
    "SLURM_GPUS_ON_NODE SLURM_JOB_GPUS SLURM_RESTART_COUNT SLURM_SUBMIT_HOST PBS_JOBID PBS_JOBNAME PBS_QUEUE "
    "PBS_ARRAY_INDEX LSB_JOBID LSB_JOBINDEX LSB_QUEUE JOB_ID JOB_NAME SGE_TASK_ID OMPI_COMM_WORLD_RANK "
    "OMPI_COMM_WORLD_SIZE OMPI_COMM_WORLD_LOCAL_RANK PMI_RANK PMI_SIZE KUBERNETES_SERVICE_HOST HOSTNAME POD_NAME "
    "POD_NAMESPACE NODE_NAME JOB_COMPLETION_INDEX SINGULARITY_NAME SINGULARITY_CONTAINER APPTAINER_NAME "
    "APPTAINER_CONTAINER CI GITHUB_ACTIONS GITHUB_RUN_ID GITHUB_SHA GITHUB_REF GITLAB_CI CI_JOB_ID CI_PIPELINE_ID "
    "BUILD_ID WANDB_SWEEP_ID WANDB_PROJECT LOADEDMODULES SLURMD_NODENAME SLURM_STEP_NUM_TASKS FLUX_JOB_ID "
    "MPI_LOCALRANKID GITRUN_IMAGE CI_JOB_IMAGE JUPYTER_IMAGE SHIFTER_IMAGEREQUEST SLURM_CONTAINER_IMAGE "
)


def is_setting(name: str, more: Iterable[str] = ()) -> bool:
    """Whether a replay sets this variable: on the list, under one of its prefixes, or named by the user."""
    return name in SETTINGS or name.startswith(SETTING_PREFIXES) or _named(name, more)


def capture_variables(environ: Mapping[str, str], redactor: Redactor, more: Sequence[str] = ()) -> Facts:
    """The allow-listed variables that are set, their secrets replaced; `more` holds further names (`PREFIX_*`)."""
    values: dict[str, str] = {}
    problems: list[str] = []
    for name in sorted(environ):
        if name not in IDENTITY and not is_setting(name, more):
            continue
        value = redactor.value(name, environ[name])
        if len(value) > MAX_CHARS:
            problems.append(f"variable {name}: {len(value)} characters, more than {MAX_CHARS}; not recorded")
            continue
        values[name] = value
    return Facts(values, problems)


class ReplayVariables(NamedTuple):
    """The environment for a replay, and the secrets that the present one would have to provide."""

    environ: dict[str, str]
    missing: list[str]


def replay_variables(
    recorded: Mapping[str, str], environ: Mapping[str, str], more: Sequence[str] = ()
) -> ReplayVariables:
    """`environ` with the recorded settings in the place of its own; identity and secrets stay as they are here."""
    kept = {name: value for name, value in environ.items() if not is_setting(name, more) or name in IDENTITY}
    missing = []
    for name, value in recorded.items():
        if name in IDENTITY:
            continue
        if "<secret:" not in value:
            kept[name] = value
        elif name in environ:
            kept[name] = environ[name]
        else:
            missing.append(name)
    return ReplayVariables(kept, missing)


def _named(name: str, patterns: Iterable[str]) -> bool:
    return any(name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1])) for pattern in patterns)
