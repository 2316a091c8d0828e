"""What it costs to have an environment again: one of 39 packages beside `uv pip sync` alone, and one that is kept.

The packages are those of this very environment, the larger ones left out, made wheels again and put on an index on the
loopback, so that nothing depends on a network. "Warm" means that uv has all of them in its cache. What is kept is asked
for in a fresh process that has loaded what a replay loads. Both sides alternate; the figure is a ratio of medians.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ground import report, run

from gitrun.capture.environment import capture_environment
from gitrun.capture.lock.pins import EDITABLE, read_pins
from gitrun.capture.lock.places import find_distributions, site_directories
from gitrun.capture.lock.pylock import encode_pylock
from gitrun.capture.lock.resolver import find_uv
from gitrun.capture.lock.vendor import NotVendored, plan_wheel, write_wheel
from gitrun.capture.program import find_program

PACKAGES, LARGEST = 39, 24 << 20
MOST, KEPT_MS = 3.0, 50.0
Row = tuple[str, str, str]
SCRIPT = """
import os, sys, time
import gitrun.replay.rerun
from gitrun.archive.archive import Archive
archive = Archive.open(sys.argv[1], os.environ)
run = archive.run(archive.run_ids()[0])
run.record
began = time.perf_counter()
from gitrun.replay.environments import rebuild
built = rebuild(archive, run)
print((time.perf_counter() - began) * 1e3, built.level, built.cached)
"""


def measure(rounds: int) -> tuple[list[Row], dict[str, float]]:
    """Rows for `ground.report`, and the medians; nothing where uv is not installed."""
    uv = find_uv(os.environ, None)
    if uv is None:
        return [("an environment of 39 packages", "not measured: uv is not installed", "")], {}
    with tempfile.TemporaryDirectory(prefix="gitrun-bench-") as place, served(Path(place) / "index") as url:
        root = Path(place)
        wheels = make_wheels(root / "index" / "simple")
        for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
            del os.environ[name]
        os.environ.update(
            UV_DEFAULT_INDEX=f"{url}/simple", XDG_CACHE_HOME=str(root / "cache"), PIP_CONFIG_FILE=os.devnull
        )
        requirements = root / "requirements.txt"
        requirements.write_text("".join(f"{pin} --hash=sha256:{digest}\n" for pin, digest, _ in wheels))
        install(uv, root / "warm", requirements)
        repository = record(root, wheels, url)
        alone, ours, kept = [], [], []
        for number in range(rounds):
            alone.append(install(uv, root / f"alone{number}", requirements))
            shutil.rmtree(root / "cache/gitrun/environments", ignore_errors=True)
            took, built = ask(repository)
            assert built == ["same", "build", "False"], built
            ours.append(took)
            again = [ask(repository) for _ in range(3)]
            assert all(words == ["same", "build", "True"] for _, words in again), again
            kept.append(statistics.median(took for took, _ in again))
    data = {
        "environment_uv_sync_ms": statistics.median(alone),
        "environment_built_ms": statistics.median(ours),
        "environment_kept_ms": statistics.median(kept),
    }
    data["environment_ratio"] = data["environment_built_ms"] / data["environment_uv_sync_ms"]
    rows = [
        (f"{len(wheels)} packages, uv pip sync alone, warm", f"{data['environment_uv_sync_ms']:.0f} ms", ""),
        ("  built and verified for a replay", f"{data['environment_built_ms']:.0f} ms", ""),
        ("  ratio", f"{data['environment_ratio']:.2f}", f"at most {MOST:.0f}"),
        ("  kept, had again", f"{data['environment_kept_ms']:.1f} ms", f"at most {KEPT_MS:.0f} ms"),
    ]
    return rows, data


@contextmanager
def served(directory: Path) -> Iterator[str]:
    """A package index on the loopback, of a directory with one directory of wheels for each name."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            """The figures are what is printed."""

    directory.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(directory)))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def make_wheels(simple: Path) -> list[tuple[str, str, str]]:
    """Requirement, hash and file name of wheels made of what is installed here."""
    python = os.fsencode(sys.executable)
    value = capture_environment(find_program([python], {}, b"/"), b"/", None).value
    found = find_distributions(site_directories(python, {}, b"/"))
    wheels = []
    for pin in read_pins(value["distributions"])[0]:
        try:
            bundle = plan_wheel(pin, found.get(pin.name))
        except NotVendored:
            continue  # it has no list of its files
        if pin.origin == EDITABLE or bundle.bytes > LARGEST or len(wheels) == PACKAGES:
            continue
        path = simple / pin.name / bundle.name
        path.parent.mkdir(parents=True)
        with open(path, "w+b") as file:
            write_wheel(bundle, file, lambda: False)
        wheels.append((pin.requirement, hashlib.sha256(path.read_bytes()).hexdigest(), bundle.name))
    return wheels


def install(uv: str, prefix: Path, requirements: Path) -> float:
    """Milliseconds of a new environment by uv alone."""
    began = time.perf_counter()
    run(uv, "venv", "-q", "--python", sys.executable, str(prefix), cwd=prefix.parent)
    words = ("--require-hashes", "--no-build", "--link-mode", "copy", "-q", "--python", str(prefix / "bin/python"))
    run(uv, "pip", "sync", *words, str(requirements), cwd=prefix.parent)
    return (time.perf_counter() - began) * 1e3


def record(root: Path, wheels: list[tuple[str, str, str]], url: str) -> Path:
    """A repository whose lockfile has all of them, with one run of the environment that uv made."""
    repository = root / "repository"
    repository.mkdir()
    packages = []
    for requirement, digest, file in wheels:
        name, _, version = requirement.partition("==")
        wheel = {"name": file, "url": f"{url}/simple/{name}/{file}", "hashes": {"sha256": digest}}
        packages.append({"name": name, "version": version, "wheels": [wheel]})
    (repository / "pylock.toml").write_bytes(encode_pylock(packages, None))
    run("git", "init", "-q", cwd=repository)
    words = [sys.executable, "-m", "gitrun", "record", "-q", "--", str(root / "warm/bin/python"), "-c", "0"]
    run(*words, cwd=repository, env={"GITRUN_LOCK_RESOLVER": "none"})
    return repository


def ask(repository: Path) -> tuple[float, list[str]]:
    """Milliseconds of having the environment in a fresh process, and how it was had."""
    words = [sys.executable, "-c", SCRIPT, str(repository)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    took, *how = done.stdout.split()
    return float(took), how


def main() -> None:
    rows, data = measure(5)
    report("environment of a replay: medians of 5 rounds", rows, data, None)


if __name__ == "__main__":
    main()
