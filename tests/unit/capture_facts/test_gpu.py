"""Graphics processors, through the real bindings onto a made-up library, and through bindings that are not there.

The library is compiled for the test; the process that asks it is the one that a recording starts.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitrun.capture import gpu_load, gpu_question
from gitrun.capture.gpu import has_devices
from gitrun.capture.gpu_answer import MISSING
from gitrun.capture.gpu_load import GpuLoad
from gitrun.capture.hardware import Hardware, capture_hardware
from tests.conftest import write_files
from tests.unit.recording.helpers import wait_for

SOURCE = Path(__file__).parents[2] / "fake_nvml.c"
H100 = {"name": "NVIDIA H100 80GB HBM3", "memory_bytes": 80 << 30, "compute_capability": "9.0", "ecc": True}
KERNEL = {
    "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build\n",
    "proc/driver/nvidia/gpus/0000:1a:00.0/information": "Model: \t\t NVIDIA H100\nGPU UUID: \t GPU-0000\n",
    "proc/driver/nvidia/gpus/0000:1b:00.0/information": "Model: \t\t NVIDIA H100\nGPU UUID: \t GPU-????-????\n",
}


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the made-up library."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    directory = tmp_path_factory.mktemp("nvml")
    words = [compiler, "-shared", "-fPIC", "-o", str(directory / "libnvidia-ml.so.1"), str(SOURCE)]
    subprocess.run(words, check=True)
    return directory


@pytest.fixture
def machine(tmp_path: Path) -> str:
    """A root with device nodes and what the kernel module tells."""
    root = tmp_path / "root"
    write_files(root, {"dev/nvidiactl": "", "proc/cpuinfo": "model name : x\n", **KERNEL})
    return str(root)


@pytest.fixture
def driver(library: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The made-up library, in force for the process that asks."""
    if importlib.util.find_spec("pynvml") is None:
        pytest.skip("the extra `gpu` is not installed")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(library))
    return monkeypatch


def bindings(directory: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Puts a `pynvml` of our own before any other."""
    write_files(directory, {"pynvml.py": text})
    monkeypatch.setattr(gpu_question, "own_variables", lambda environ: {**environ, "PYTHONPATH": str(directory)})


def look(root: str, **environ: str) -> Hardware:
    return capture_hardware(root, environ=environ, variables=environ)


def test_devices_driver_and_identities_are_told_apart(machine: str, driver: pytest.MonkeyPatch) -> None:
    found = look(machine)
    relevant = found.value["relevant"]
    assert relevant["gpus"] == [H100] * 3
    assert relevant["gpu_driver"] == {"version": "550.54.15", "cuda": "12.4"}
    assert found.member["devices"][1] == {
        "index": 1, "uuid": "GPU-10000000-aaaa-4000-8000-000000000000", "pci": "0000:1b:00.0",
    }  # fmt: skip
    assert "GPU-" not in json.dumps(found.value) and "1b:00" not in json.dumps(found.value)
    assert found.problems == ["gpu: device 3: NVMLError_NoPermission: Insufficient Permissions"]


def test_equal_devices_make_equal_facts(machine: str, driver: pytest.MonkeyPatch) -> None:
    driver.setenv("FAKE_NVML", "equal")
    found = [look(machine, CUDA_VISIBLE_DEVICES=str(n)) for n in range(4)]
    assert all(each.value == found[0].value for each in found)
    assert [each.member["devices"][0]["index"] for each in found] == [0, 1, 2, 3]
    assert found[0].value["relevant"]["gpus"] == [H100] and found[0].problems == []


def test_the_visible_ones_in_the_programs_order(machine: str, driver: pytest.MonkeyPatch) -> None:
    driver.setenv("FAKE_NVML", "mixed")
    found = look(machine, CUDA_VISIBLE_DEVICES="1,0", CUDA_DEVICE_ORDER="PCI_BUS_ID")
    assert [each["name"] for each in found.value["relevant"]["gpus"]] == ["NVIDIA T4", "NVIDIA H100 80GB HBM3"]
    assert found.problems == []
    assert "another order" in look(machine, CUDA_VISIBLE_DEVICES="1,0").problems[0]


def test_a_divided_device(machine: str, driver: pytest.MonkeyPatch) -> None:
    driver.setenv("FAKE_NVML", "divided")
    found = look(machine, CUDA_VISIBLE_DEVICES="MIG-1")
    name = "NVIDIA H100 80GB HBM3 MIG 1g.10gb"
    assert found.value["relevant"]["gpus"] == [{**H100, "name": name, "memory_bytes": 10 << 30}]
    (device,) = found.member["devices"]
    assert (device["index"], device["gpu_instance"], device["compute_instance"]) == (0, 8, 0)
    assert device["uuid"].startswith("MIG-1") and device["pci"] == "0000:1a:00.0"
    assert len(look(machine).value["relevant"]["gpus"]) == 5  # two parts and three whole ones


@pytest.mark.parametrize(
    ("trouble", "said"),
    [("mismatch", "version mismatch"), ("crash", "ended without an answer"), ("hang", "no answer within")],
)
def test_a_driver_in_trouble_costs_a_sentence(
    machine: str, driver: pytest.MonkeyPatch, trouble: str, said: str
) -> None:
    driver.setenv("FAKE_NVML", trouble)
    driver.setattr(gpu_question, "TIMEOUT_S", 1.0)
    started: list[int] = []
    spawn = os.posix_spawn
    driver.setattr(os, "posix_spawn", lambda *words, **more: started.append(spawn(*words, **more)) or started[-1])
    start = time.monotonic()
    found = look(machine, CUDA_VISIBLE_DEVICES="1")
    assert time.monotonic() - start < 4
    assert len(found.problems) == 1 and said in found.problems[0]
    nothing = dict.fromkeys(("memory_bytes", "compute_capability", "ecc"))
    assert found.value["relevant"]["gpus"] == [{"name": "NVIDIA H100", **nothing}]  # as the kernel module has it
    assert found.value["relevant"]["gpu_driver"] == {"version": "550.54.15", "cuda": None}
    assert found.member["devices"] == [{"index": 1, "uuid": None, "pci": "0000:1b:00.0"}]
    assert len(started) == 1 and not os.path.exists(f"/proc/{started[0]}")  # nobody is left behind


def test_without_the_extra_the_sentence_says_what_to_install(
    machine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bindings(tmp_path / "none", monkeypatch, "raise ModuleNotFoundError('no', name='pynvml')")
    found = look(machine)
    assert found.problems == [MISSING]
    assert "pip install 'gitrun[gpu]'" in MISSING
    assert [each["name"] for each in found.value["relevant"]["gpus"]] == ["NVIDIA H100"] * 2


OLD = """
class NVMLError(Exception): pass
class Memory: total = 16 << 30
def nvmlInit(): pass
def nvmlShutdown(): pass
def nvmlDeviceGetCount(): return 1
def nvmlDeviceGetHandleByIndex(index): return index
def nvmlDeviceGetName(handle): return b'Tesla V100'
def nvmlDeviceGetMemoryInfo(handle): return Memory
def nvmlDeviceGetUUID(handle): raise NVMLError('not supported')
def nvmlSystemGetDriverVersion(): return b'418.10'
def __getattr__(name): return lambda *words: 1 / 0
"""


def test_old_bindings_give_bytes_and_lack_questions(
    machine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bindings(tmp_path / "old", monkeypatch, OLD)
    found = look(machine)
    assert found.value["relevant"]["gpus"] == [
        {"name": "Tesla V100", "memory_bytes": 16 << 30, "compute_capability": None, "ecc": None}
    ]
    assert found.value["relevant"]["gpu_driver"] == {"version": "418.10", "cuda": None}
    assert found.member["devices"] == [{"index": 0, "uuid": None, "pci": None}] and found.problems == []


@pytest.mark.parametrize(
    "text", ["import os; os.write(1, b'hello'); os._exit(0)", "x = (", "import os; os.write(1, b'[]'); os._exit(0)"]
)
def test_bindings_that_are_something_else(
    machine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    bindings(tmp_path / "other", monkeypatch, text)
    (problem,) = look(machine).problems
    assert problem.startswith("gpu: NVIDIA's management library did not answer: ")


def test_nobody_imports_the_bindings_without_a_device(
    machine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "imported"
    bindings(tmp_path / "marking", monkeypatch, f"open({str(mark)!r}, 'w').close()\n{OLD}")
    bare = tmp_path / "bare"
    write_files(bare, {"proc/cpuinfo": "model name : x\n"})
    for root, environ in ((str(bare), {}), (machine, {"CUDA_VISIBLE_DEVICES": ""})):
        found = look(root, **environ)
        assert found.value["relevant"]["gpus"] == found.member["devices"] == found.problems == []
    assert not mark.exists()
    look(machine)
    assert mark.exists()
    assert "pynvml" not in sys.modules


def test_with_closed_streams(machine: str, driver: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A recorder without stdin and stdout of its own gets the answer all the same."""
    script = (
        "import os, sys\nos.close(0); os.close(1)\n"
        "from gitrun.capture.hardware import capture_hardware\n"
        f"found = capture_hardware({machine!r}, environ={{}}, variables={{}})\n"
        "os.write(2, str(len(found.value['relevant']['gpus'])).encode())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE, timeout=60)
    assert done.stderr == b"3"


def test_below_windows_the_node_alone_says_nothing(tmp_path: Path) -> None:
    write_files(tmp_path, {"dev/dxg": ""})
    assert not has_devices(str(tmp_path))
    write_files(tmp_path, {"usr/lib/wsl/lib/libnvidia-ml.so.1": ""})
    assert has_devices(str(tmp_path))


def test_an_amd_device_is_named_as_not_described(tmp_path: Path) -> None:
    write_files(tmp_path, {"dev/kfd": "", "proc/cpuinfo": "model name : x\n"})
    assert "AMD" in look(str(tmp_path)).problems[0]
    assert look(str(tmp_path), HIP_VISIBLE_DEVICES="").problems == []


# -- what they do while a run lasts


@pytest.fixture
def load() -> Iterator[GpuLoad]:
    """The process that asks again and again."""
    started = gpu_load.start()
    assert started is not None
    yield started
    started.close()


def test_the_load_of_each_device_is_told(driver: pytest.MonkeyPatch, load: GpuLoad) -> None:
    found = wait_for(load.latest)
    assert found["gpu/0/busy"] == 0.93 and found["gpu/1/busy"] == 0.92
    assert found["gpu/0/memory_bytes"] == 40 << 30
    assert found["gpu/0/power_w"] == 310.5 and found["gpu/0/temperature_c"] == 61
    assert "gpu/2/busy" not in found and "gpu/2/power_w" in found  # one that does not tell
    assert not any(name.startswith("gpu/3/") for name in found)  # one that is forbidden


def test_the_load_comes_again_and_again_and_only_once(driver: pytest.MonkeyPatch, load: GpuLoad) -> None:
    assert wait_for(load.latest)
    assert load.latest() == {}
    assert wait_for(load.latest)


@pytest.mark.parametrize("mode", ["hang", "crash", "mismatch"])
def test_a_driver_on_a_bad_day_tells_no_load(driver: pytest.MonkeyPatch, mode: str) -> None:
    driver.setenv("FAKE_NVML", mode)
    started = gpu_load.start()
    assert started is not None
    time.sleep(0.5)
    assert started.latest() == {}
    started.close()
    os.waitpid(started.pid, 0)


def test_who_tells_the_load_ends_with_its_reader(driver: pytest.MonkeyPatch) -> None:
    started = gpu_load.start()
    assert started is not None
    wait_for(started.latest)
    os.close(started._pipe)
    assert wait_for(lambda: os.waitpid(started.pid, os.WNOHANG)[0]) == started.pid
