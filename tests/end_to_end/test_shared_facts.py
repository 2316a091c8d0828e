"""Runs of one environment store its facts once, whichever job, device or cores each of them got."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Result, write_files

RUNS, DEVICES = 40, 8
# Bindings of a node with eight equal devices, for the process that asks about them.
BINDINGS = """
class NVMLError(Exception): pass
class Memory: total = 80 << 30
class Pci: pass
def nvmlInit(): pass
def nvmlShutdown(): pass
def nvmlDeviceGetCount(): return 8
def nvmlDeviceGetHandleByIndex(index): return index
def nvmlDeviceGetName(handle): return 'NVIDIA H100 80GB HBM3'
def nvmlDeviceGetMemoryInfo(handle): return Memory
def nvmlDeviceGetUUID(handle): return 'GPU-%08d' % handle
def nvmlDeviceGetPciInfo(handle): pci = Pci(); pci.busId = b'00000000:%02X:00.0' % (16 + handle); return pci
def nvmlDeviceGetCudaComputeCapability(handle): return (9, 0)
def nvmlDeviceGetEccMode(handle): return [1, 1]
def nvmlDeviceGetMigMode(handle): return [0, 0]
def nvmlSystemGetDriverVersion(): return '550.54.15'
def nvmlSystemGetCudaDriverVersion_v2(): return 12040
"""
# A recorder per job would be forty processes; what differs between them is their environment.
SCRIPT = """
import os, sys
from gitrun.capture import gpu, gpu_question
from gitrun.monitor import SILENT
from gitrun.recording.record import record
from gitrun.recording.request import RecordRequest

node, count = sys.argv[1], int(sys.argv[2])
gpu.NODES = (node,)
gpu_question.own_variables = dict  # the bindings are on PYTHONPATH, which gitrun's own processes do not get
cores = sorted(os.sched_getaffinity(0))
for number in range(count):
    os.sched_setaffinity(0, {cores[number % len(cores)]})
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environ.update(
        SLURM_JOB_ID=str(5000 + number), SLURM_ARRAY_JOB_ID="4242", SLURM_ARRAY_TASK_ID=str(number),
        SLURM_JOB_PARTITION="gpu", SLURMD_NODENAME=f"node{number}", HOSTNAME=f"node{number}",
        CUDA_VISIBLE_DEVICES=str(number % 8), CUDA_DEVICE_ORDER="PCI_BUS_ID",
    )
    done = record(RecordRequest([os.fsencode(sys.executable), b"train.py"], variables=environ), environ, SILENT)
    assert done.sealed and done.exit_code == 0, done
"""


@pytest.mark.slow
def test_forty_runs_under_different_jobs_and_devices(
    make_repo: Callable[..., Path], git: Callable[..., Result], tmp_path: Path
) -> None:
    repo = make_repo({"train.py": "import json\n"})
    write_files(tmp_path / "bindings", {"pynvml.py": BINDINGS})
    (tmp_path / "nvidiactl").touch()
    environ = {**os.environ, "PYTHONPATH": str(tmp_path / "bindings"), "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "-c", SCRIPT, str(tmp_path / "nvidiactl"), str(RUNS)]
    done = subprocess.run(words, cwd=repo, env=environ, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr

    refs = git("for-each-ref", "--format=%(refname)", "refs/gitrun/runs", cwd=repo).stdout.split()
    assert len(refs) == RUNS
    blobs: dict[str, set[str]] = {}
    records: list[dict[str, Any]] = []
    for ref in refs:
        for line in git("ls-tree", ref, cwd=repo).stdout.splitlines():
            facts, name = line.split("\t")
            blobs.setdefault(name, set()).add(facts.split()[2])
        records.append(json.loads(git("cat-file", "blob", f"{ref}:run.json", cwd=repo).stdout_bytes))
    assert len(blobs["environment.json"]) == 1
    assert len(blobs["hardware.json"]) == 1
    assert len(blobs["config.json"]) == 1
    assert len(blobs["run.json"]) == RUNS

    (hardware,) = blobs["hardware.json"]
    relevant = json.loads(git("cat-file", "blob", hardware, cwd=repo).stdout_bytes)["relevant"]
    assert [gpu["name"] for gpu in relevant["gpus"]] == ["NVIDIA H100 80GB HBM3"]
    assert relevant["gpu_driver"] == {"cuda": "12.4", "version": "550.54.15"}
    assert relevant["usable_cores"] == 1
    members = [record["members"][0] for record in records]
    assert {member["jobs"][0]["job_id"] for member in members} == {str(5000 + n) for n in range(RUNS)}
    assert {member["devices"][0]["uuid"] for member in members} == {f"GPU-{n:08}" for n in range(DEVICES)}
    assert {record["group"] for record in records} == {"4242"}
    assert all(record["coverage"]["hardware"] == "complete" for record in records)
