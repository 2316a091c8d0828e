"""Who placed this process: the job of a scheduler, the rank of a launcher, the pod of a cluster.

All of it is said in variables. What names the place (a cluster, a queue) is the same for a hundred runs of one
script and belongs to the hardware; what names the run's own job (ids, ranks, nodes) differs each time and is told
with the member, so that the hardware facts of those hundred runs are one object.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from gitrun.capture.facts import clean_text, read_start

MAX_CHARS = 1024


# Each scheduler or launcher: the variables that prove it, and where it says what of the place and of the job.
Placer = tuple[tuple[str, ...], dict[str, str], dict[str, str]]
PLACERS: dict[str, Placer] = {
    "slurm": (
        ("SLURM_JOB_ID", "SLURM_JOBID"),
        {"cluster": "SLURM_CLUSTER_NAME", "queue": "SLURM_JOB_PARTITION"},
        {
            "job_id": "SLURM_JOB_ID", "name": "SLURM_JOB_NAME", "array_id": "SLURM_ARRAY_JOB_ID",
            "array_index": "SLURM_ARRAY_TASK_ID", "step_id": "SLURM_STEP_ID", "node": "SLURMD_NODENAME",
            "nodes": "SLURM_JOB_NODELIST", "restarts": "SLURM_RESTART_COUNT",
        },
    ),
    "pbs": (
        ("PBS_JOBID",),
        {"queue": "PBS_QUEUE"},
        {"job_id": "PBS_JOBID", "name": "PBS_JOBNAME", "array_index": "PBS_ARRAY_INDEX"},
    ),
    "lsf": (("LSB_JOBID",), {"queue": "LSB_QUEUE"}, {"job_id": "LSB_JOBID", "array_index": "LSB_JOBINDEX"}),
    "sge": (("SGE_TASK_ID",), {}, {"job_id": "JOB_ID", "name": "JOB_NAME", "array_index": "SGE_TASK_ID"}),
    "flux": (("FLUX_JOB_ID",), {}, {"job_id": "FLUX_JOB_ID"}),
    "kubernetes": (
        ("KUBERNETES_SERVICE_HOST",),
        {"namespace": "POD_NAMESPACE"},
        {"pod": "POD_NAME", "node": "NODE_NAME", "array_index": "JOB_COMPLETION_INDEX"},
    ),
    "torchrun": (
        ("TORCHELASTIC_RUN_ID",),
        {},
        {"job_id": "TORCHELASTIC_RUN_ID", "node_rank": "GROUP_RANK", "restarts": "TORCHELASTIC_RESTART_COUNT"},
    ),
    "github": (("GITHUB_ACTIONS",), {}, {"job_id": "GITHUB_RUN_ID"}),
    "gitlab": (("GITLAB_CI",), {}, {"job_id": "CI_JOB_ID", "pipeline": "CI_PIPELINE_ID"}),
}  # fmt: skip
# Rank, local rank and number of ranks; Slurm's are its batch script's as well, which is no rank of anything.
_RANKS = (
    ((), "RANK", "LOCAL_RANK", "WORLD_SIZE"),
    ((), "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_SIZE"),
    ((), "PMI_RANK", "MPI_LOCALRANKID", "PMI_SIZE"),
    (("SLURM_STEP_ID",), "SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NUM_TASKS"),
)


class Placement(NamedTuple):
    """`places` for the hardware; `jobs`, one object each with its `kind`, and the ranks for the member."""

    places: list[dict[str, Any]]
    jobs: list[dict[str, Any]]
    ranks: dict[str, int | None]


def find_placement(variables: Mapping[str, str], root: str = "/") -> Placement:
    """Where this process was placed, from variables whose secrets are replaced."""
    places, jobs = [], []
    for kind, (proof, of_place, of_job) in PLACERS.items():
        if not any(variables.get(name) for name in proof):
            continue
        place = {"kind": kind, **_said(of_place, variables)}
        job = {"kind": kind, **_said(of_job, variables)}
        if kind == "kubernetes":
            place.setdefault("namespace", _namespace(root))
            job.setdefault("pod", variables.get("HOSTNAME"))  # Kubernetes gives a pod its name as host name
        places.append(place)
        jobs.append({key: value for key, value in job.items() if value is not None})
    return Placement([{k: v for k, v in place.items() if v is not None} for place in places], jobs, _ranks(variables))


def loaded_modules(variables: Mapping[str, str]) -> list[str]:
    """What `module list` shows, in the order of loading (Environment Modules and Lmod)."""
    names = clean_text(variables.get("LOADEDMODULES", "")).split(":")
    return [name for name in names if name]


def _said(fields: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, Any]:
    # SGE says `undefined` for a job that is no array
    found = {key: variables[name] for key, name in fields.items() if variables.get(name, "") not in ("", "undefined")}
    return {key: clean_text(value)[:MAX_CHARS] for key, value in found.items()}


def _namespace(root: str) -> str | None:
    data = read_start(root + "/var/run/secrets/kubernetes.io/serviceaccount/namespace", 256)
    return data.decode("ascii", "replace").strip() or None if data else None


def _ranks(variables: Mapping[str, str]) -> dict[str, int | None]:
    for needs, *names in _RANKS:
        if all(variables.get(name, "").isdecimal() for name in (*needs, names[0])):
            numbers = [variables.get(name, "") for name in names]
            values = [int(number) if number.isdecimal() and len(number) < 10 else None for number in numbers]
            return dict(zip(("rank", "local_rank", "world_size"), values, strict=True))
    return {"rank": None, "local_rank": None, "world_size": None}
