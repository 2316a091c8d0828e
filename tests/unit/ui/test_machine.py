"""The page's section about the machine: short, whole, and unmoved by a record that is not what it should be."""

from __future__ import annotations

from typing import Any

import pytest

from gitrun.ui.machine import machine_lines

H100 = {"name": "NVIDIA H100", "memory_bytes": 80 << 30}
HARDWARE = {
    "relevant": {
        "cpu": {"model": "Xeon"}, "logical_cores": 128, "usable_cores": 4, "cpu_quota_cores": 2.5,
        "os": {"system": "Linux", "distribution": "debian", "distribution_version": "12"},
        "gpus": [H100, H100, {"name": None}], "gpu_driver": {"version": "550.54", "cuda": "12.4"},
        "container": {"kind": "docker", "image": "train:7"}, "modules": ["gcc/12", "cuda/12.4"],
    },
    "informative": {"memory_bytes": 512 << 30, "memory_limit_bytes": 64 << 30},
}  # fmt: skip
MEMBER = {
    "host": "node7", "rank": 3, "devices": [{"uuid": "GPU-1"}, {"uuid": None, "pci": "0000:1a:00.0"}],
    "jobs": [{"kind": "slurm", "job_id": "4243", "array_index": "1"}],
}  # fmt: skip
NUMERICS = {"threads": {"omp": 4, "mkl": None}, "blas": [{"kind": "openblas", "core": "SkylakeX", "threads": 4}] * 2}


def test_the_whole_section() -> None:
    process = {"observed": {"processes": [{"numerics": NUMERICS}]}}
    assert list(machine_lines(HARDWARE, [MEMBER], process)) == [
        ("cpu", "Xeon"),
        ("cores", "128, 4 usable, a quota of 2.5"),
        ("memory", "512.0 GiB, limited to 64.0 GiB"),
        ("gpu", "2 × NVIDIA H100 (80.0 GiB)"),
        ("", "unknown device"),
        ("gpu driver", "550.54, CUDA 12.4"),
        ("container", "docker, image train:7"),
        ("modules", "gcc/12 cuda/12.4"),
        ("threads", "omp 4"),
        ("blas", "openblas SkylakeX"),
        ("os", "Linux debian 12"),
        ("host", "node7, rank 3"),
        ("slurm", "job id 4243, array index 1"),
        ("devices", "GPU-1, 0000:1a:00.0"),
    ]


def test_an_image_that_nothing_tells() -> None:
    (line,) = machine_lines({"relevant": {"container": {"kind": "docker", "image": None}}}, [], {})
    assert "GITRUN_IMAGE" in line[1]


def test_many_devices_are_cut() -> None:
    (line,) = machine_lines({}, [{"devices": [{"uuid": f"GPU-{n}"} for n in range(16)]}], {})
    assert line[1].endswith("GPU-7 and 8 more")


@pytest.mark.parametrize("odd", [None, 3, "x", [], [3], {"a": [1]}, {"relevant": 3, "gpus": "x", "devices": 5}])
def test_a_record_that_is_not_what_it_should_be(odd: Any) -> None:
    fields = ("cpu", "os", "gpus", "gpu_driver", "container", "modules", "logical_cores", "cpu_quota_cores")
    hardware = {"relevant": dict.fromkeys(fields, odd), "informative": {"memory_bytes": odd}}
    list(machine_lines(hardware, [odd, {"devices": odd, "jobs": odd, "rank": odd}], {"observed": odd}))
