"""Hardware facts from made-up /proc and /sys trees, so that every kind of machine is tested on any."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitrun.capture.hardware import capture_hardware
from gitrun.model.canonical import decode, encode

X86 = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 207
model name\t: Intel(R) Xeon(R) Processor
stepping\t: 2
siblings\t: 16
cpu cores\t: 8
flags\t\t: fpu sse2 avx avx2 fma avx512f nonsense

processor\t: 1
model name\t: another
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd sve bf16\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n"


def machine(root: Path, files: dict[str, str]) -> str:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return str(root)


def test_this_machine() -> None:
    facts = capture_hardware()
    assert facts.value["relevant"]["machine"]
    assert facts.member["host"] == os.uname().nodename
    assert 1 <= facts.value["relevant"]["usable_cores"] <= facts.value["relevant"]["logical_cores"]
    assert decode(encode(facts.value)) == facts.value
    assert facts.value["informative"]["memory_bytes"] > 1 << 20


def test_x86_takes_the_first_processor(tmp_path: Path) -> None:
    cpu = capture_hardware(machine(tmp_path, {"proc/cpuinfo": X86})).value["relevant"]["cpu"]
    assert cpu == {
        "model": "Intel(R) Xeon(R) Processor", "vendor": "GenuineIntel", "family": 6, "model_number": 207,
        "stepping": 2, "isa": ["avx", "avx2", "avx512f", "fma", "sse2"], "threads_per_core": 2,
    }  # fmt: skip


def test_arm_has_numbers_for_names(tmp_path: Path) -> None:
    cpu = capture_hardware(machine(tmp_path, {"proc/cpuinfo": ARM})).value["relevant"]["cpu"]
    assert (cpu["model"], cpu["vendor"], cpu["isa"]) == ("0xd40", "0x41", ["asimd", "bf16", "sve"])


def test_a_machine_without_proc_says_so(tmp_path: Path) -> None:
    facts = capture_hardware(str(tmp_path))
    assert facts.value["relevant"]["cpu"]["model"] is None
    assert facts.value["informative"]["memory_bytes"] is None
    assert len(facts.problems) == 1


def test_memory_affinity_and_distribution(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        {
            "proc/meminfo": "MemTotal:       24684096 kB\nMemFree: 1 kB\n",
            "proc/self/status": "Name:\tx\nCpus_allowed:\t5\nCpus_allowed_list:\t0,2\n",
            "etc/os-release": '# x\nID=debian\nVERSION_ID="12"\nBROKEN\n',
        },
    )
    found = capture_hardware(root)
    value = found.value
    assert value["informative"]["memory_bytes"] == 377 * (64 << 20)  # to the nearest 64 MiB
    assert value["relevant"]["usable_cores"] == 2
    assert found.member["affinity"] == "0,2"
    assert value["relevant"]["os"]["distribution"] == "debian"
    assert value["relevant"]["os"]["distribution_version"] == "12"


LIMITS = [
    ("v2", {"proc/self/cgroup": "0::/job/step\n", "sys/fs/cgroup/job/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/job/step/cpu.max": "max 100000\n", "sys/fs/cgroup/job/step/memory.max": "1073741824\n",
            "sys/fs/cgroup/job/memory.max": "max\n"}, 1.5, 1 << 30),
    ("v2 in a container", {"proc/self/cgroup": "0::/docker/abc\n", "sys/fs/cgroup/cpu.max": "200000 100000\n",
                           "sys/fs/cgroup/memory.max": "1000\n"}, 2.0, 1000),
    ("v1", {"proc/self/cgroup": "4:memory:/a\n1:cpu,cpuacct:/a\n",
            "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "4096\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "50000\n", "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, 0.5, 4096),
    ("no limits", {"proc/self/cgroup": "0::/\n"}, None, None),
    ("hostile", {"proc/self/cgroup": "0::/../../etc\nnonsense\n:::\n", "sys/fs/cgroup/memory.max": "NaN",
                 "sys/fs/cgroup/cpu.max": "1 0"}, None, None),
]  # fmt: skip


@pytest.mark.parametrize(("files", "cores", "memory"), [row[1:] for row in LIMITS], ids=[row[0] for row in LIMITS])
def test_cgroup_limits(tmp_path: Path, files: dict[str, str], cores: float | None, memory: int | None) -> None:
    value = capture_hardware(machine(tmp_path, files)).value
    assert value["relevant"]["cpu_quota_cores"] == cores
    assert value["informative"]["memory_limit_bytes"] == memory


@pytest.mark.parametrize(
    ("ranges", "cores"), [("0-3,8", 5), ("7", 1), ("", None), ("3-1", None), ("a-b", None), ("0-,2", None)]
)
def test_usable_cores(tmp_path: Path, ranges: str, cores: int | None) -> None:
    root = machine(tmp_path, {"proc/self/status": f"Cpus_allowed_list:\t{ranges}\n"})
    assert capture_hardware(root).value["relevant"]["usable_cores"] == cores


def test_what_the_firmware_calls_the_machine(tmp_path: Path) -> None:
    files = {"sys/class/dmi/id/sys_vendor": "Amazon EC2\n", "sys/class/dmi/id/product_name": "p5.48xlarge\n"}
    assert capture_hardware(machine(tmp_path, files)).value["informative"]["product"] == "Amazon EC2 p5.48xlarge"
