"""Containers and schedulers, from what they leave in files and variables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gitrun.capture.container import IMAGE_VARIABLES, find_container
from gitrun.capture.hardware import capture_hardware
from gitrun.capture.scheduler import PLACERS, find_placement, loaded_modules
from gitrun.capture.variables import IDENTITY
from tests.conftest import write_files

ID = "0123456789abcdef" * 4
PODMAN = (
    f'engine="podman-4.3.1"\nname="x"\nid="{ID}"\nimage="docker.io/library/python:3.11"\nimageid="feed"\nrootless=1\n'
)
LABELS = {
    "org.label-schema.usage.singularity.deffile.from": "python:3.11",
    "org.label-schema.build-date": "Tue_1_May",
    "x": 3,
}
CONTAINERS = [
    ("none", {"proc/self/cgroup": "0::/user.slice/session-1.scope\n"}, {}, None, None),
    ("docker", {".dockerenv": "", "proc/self/cgroup": f"4:memory:/docker/{ID}\n"}, {}, ("docker", None, None), ID),
    ("docker, cgroup namespace",
     {".dockerenv": "", "proc/self/cgroup": "0::/\n",
      "proc/self/mountinfo": f"1 2 8:1 / / rw - ext4 x rw\n3 2 8:1 /containers/{ID}/hostname /etc/hostname rw\n"},
     {"GITRUN_IMAGE": "train:7"}, ("docker", "train:7", None), ID),
    ("podman", {"run/.containerenv": PODMAN}, {}, ("podman", "docker.io/library/python:3.11", "feed"), ID),
    ("podman, silent", {"run/.containerenv": ""}, {"container": "oci"}, ("podman", None, None), None),
    ("apptainer", {".singularity.d/labels.json": json.dumps(LABELS)}, {"APPTAINER_CONTAINER": "/images/train.sif"},
     ("apptainer", "/images/train.sif", "python:3.11, built Tue_1_May"), None),
    ("broken labels", {".singularity.d/labels.json": "[" * 9999}, {"SINGULARITY_CONTAINER": "/i.sif"},
     ("singularity", "/i.sif", None), None),
    ("kubernetes", {"proc/self/cgroup": f"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope\n"},
     {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, ("containerd", None, None), ID),
    ("kubernetes, namespaces", {}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JUPYTER_IMAGE": "lab:3"},
     ("containerd", "lab:3", None), None),
    ("nspawn", {}, {"container": "systemd-nspawn"}, ("systemd-nspawn", None, None), None),
    ("hostile", {"run/.containerenv": "\xff=\n==\nid\nengine=\"\"\n", "proc/self/mountinfo": "\n1 2\n"}, {},
     ("podman", None, None), None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "environ", "facts", "identity"), [case[1:] for case in CONTAINERS], ids=[case[0] for case in CONTAINERS]
)
def test_containers(
    tmp_path: Path,
    files: dict[str, str],
    environ: dict[str, str],
    facts: tuple[str | None, ...] | None,
    identity: str | None,
) -> None:
    write_files(tmp_path, dict(files))
    found = find_container(environ, environ, str(tmp_path))
    if facts is None:
        assert found is None
        return
    assert found is not None
    assert tuple(found.facts.values()) == facts
    assert found.id == identity


def test_an_image_is_taken_from_variables_whose_secrets_are_replaced(tmp_path: Path) -> None:
    environ = {"GITRUN_IMAGE": "https://u:pw@registry/x", "container": "docker"}
    found = find_container({"GITRUN_IMAGE": "https://<secret>@registry/x"}, environ, str(tmp_path))
    assert found is not None and found.facts["image"] == "https://<secret>@registry/x"


SLURM = {
    "SLURM_JOB_ID": "4243", "SLURM_ARRAY_JOB_ID": "4242", "SLURM_ARRAY_TASK_ID": "1", "SLURM_JOB_PARTITION": "gpu",
    "SLURM_CLUSTER_NAME": "big", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURMD_NODENAME": "node7",
}  # fmt: skip


def test_slurm_tells_place_and_job_apart(tmp_path: Path) -> None:
    found = find_placement(SLURM, str(tmp_path))
    assert found.places == [{"kind": "slurm", "cluster": "big", "queue": "gpu"}]
    assert found.jobs == [{"kind": "slurm", "job_id": "4243", "array_id": "4242", "array_index": "1", "node": "node7"}]
    assert found.ranks == {"rank": None, "local_rank": None, "world_size": None}  # a batch script is no rank
    step = find_placement({**SLURM, "SLURM_STEP_ID": "2", "SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "8"})
    assert step.ranks == {"rank": 3, "local_rank": 0, "world_size": 8}


def test_others(tmp_path: Path) -> None:
    root = str(tmp_path)
    torchrun = {"TORCHELASTIC_RUN_ID": "none", "RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "GROUP_RANK": "1"}
    both = find_placement({**SLURM, **torchrun}, root)
    assert [job["kind"] for job in both.jobs] == ["slurm", "torchrun"]
    assert both.ranks == {"rank": 5, "local_rank": 1, "world_size": 8}
    assert find_placement({"SGE_TASK_ID": "undefined", "JOB_ID": "9"}, root).jobs == [{"kind": "sge", "job_id": "9"}]
    write_files(tmp_path, {"var/run/secrets/kubernetes.io/serviceaccount/namespace": "team-a\n"})
    pod = find_placement({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOSTNAME": "train-0", "RANK": "many"}, root)
    assert pod.places == [{"kind": "kubernetes", "namespace": "team-a"}]
    assert pod.jobs == [{"kind": "kubernetes", "pod": "train-0"}]
    assert pod.ranks["rank"] is None
    assert find_placement({}, root) == ([], [], {"rank": None, "local_rank": None, "world_size": None})


def test_modules_in_the_order_of_loading() -> None:
    assert loaded_modules({"LOADEDMODULES": "gcc/12.3.0:cuda/12.1:openmpi"}) == ["gcc/12.3.0", "cuda/12.1", "openmpi"]
    assert loaded_modules({"LOADEDMODULES": ""}) == loaded_modules({}) == []


def test_every_variable_that_is_looked_at_is_recorded() -> None:
    asked = {name for proof, place, job in PLACERS.values() for name in (*proof, *place.values(), *job.values())}
    assert asked - IDENTITY == set()
    assert set(IMAGE_VARIABLES) - IDENTITY == set()


def test_what_differs_between_runs_is_not_in_the_hardware(tmp_path: Path) -> None:
    files = {"proc/cpuinfo": "model name : x\n", ".dockerenv": ""}
    found = []
    for number in range(3):
        other = f"{number:x}" * 64
        root = tmp_path / str(number)
        status = f"Cpus_allowed_list:\t{4 * number}-{4 * number + 3}\n"
        write_files(root, {**files, "proc/self/status": status, "proc/self/cgroup": f"4:cpu:/docker/{other}\n"})
        environ = {**SLURM, "SLURM_JOB_ID": str(number), "SLURM_ARRAY_TASK_ID": str(number)}
        found.append(capture_hardware(str(root), environ=environ, variables=environ))
    assert found[0].value == found[1].value == found[2].value
    assert found[0].value["relevant"]["usable_cores"] == 4
    assert [each.member["affinity"] for each in found] == ["0-3", "4-7", "8-11"]
    assert len({each.member["container"] for each in found}) == 3
    assert [each.member["jobs"][0]["job_id"] for each in found] == ["0", "1", "2"]
