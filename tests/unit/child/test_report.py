"""What a process reports of itself, and that its report holds no secret and no more than it should."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import pytest

from gitrun.capture.observed import Process, read_observed
from tests.unit.child.twice import Both, execute, pythons, variables

Twice = Callable[..., Both]
EACH_PYTHON = pytest.mark.parametrize("python", pythons(), ids=lambda path: "-".join(Path(path).parts[-3:]))


def only(result: Both) -> Process:
    assert result.observed.problems == []
    (process,) = result.observed.processes
    return process


def reports(run: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted((run / "members/0").iterdir()))


@EACH_PYTHON
def test_a_process_says_what_it_is(twice: Twice, work: Path, python: str) -> None:
    result = twice("import sys\nsys.path.append('/added')\n", "--lr", "1", options=("-X", "dev", "-u"), python=python)
    process = only(result)
    asked = "import sys; print(sys.version.split()[0], sys.prefix, sys.base_prefix, sys.hexversion, sep='\\n')"
    said = execute([python, "-c", asked], work, variables(None)).stdout.decode().split("\n")
    start = process.start
    assert [
        start["version"],
        start["prefix"].decode(),
        start["base_prefix"].decode(),
        str(start["hexversion"]),
    ] == said[:4]
    assert start["argv"] == [b"program.py", b"--lr", b"1"] and start["cwd"] == os.fsencode(work)
    assert start["orig_argv"][1:] == [b"-X", b"dev", b"-u", b"program.py", b"--lr", b"1"]
    assert start["xoptions"] == {"dev": True} and start["flags"]["dev_mode"] == 1
    assert start["path"][-1] == b"/added" and start["path"][0] == os.fsencode(work)
    assert start["primary"] is True and start["implementation"] == "cpython" and process.complete
    assert process.ppid == os.getpid() and start["rank"] is None and "GCC" in start["build"] + "GCC"


@EACH_PYTHON
def test_modules_are_told_as_they_were_imported(twice: Twice, work: Path, python: str) -> None:
    (work / "pack").mkdir()
    (work / "pack/__init__.py").write_text("from . import inner\n")
    (work / "pack/inner.py").write_text("value = 1\n")
    result = twice(
        "import os, pack, wave, sys\nfound = os.stat('pack/inner.py')\nprint(found.st_size, found.st_mtime_ns)\n"
        "open('pack/inner.py', 'a').write('# edited since')\n"
        "sys.modules['odd'] = 7\nclass Odd:\n    def __getattr__(self, name): print('asked', name); raise ValueError\n"
        "sys.modules['odder'] = Odd()\n",
        python=python,
    )
    process = only(result)
    size, mtime_ns = map(int, result.child.stdout.split())
    found = {module.name: module for module in process.modules}
    assert found["pack.inner"][1:] == (os.fsencode(work / "pack/inner.py"), size, mtime_ns)
    assert {"pack", "wave", "__main__", "site"} <= found.keys() and not [name for name in found if "gitrun" in name]
    assert found["__main__"].path == os.fsencode(work / "program.py")
    assert len(process.modules) == len({module.path for module in process.modules})
    assert any(b"libc" in path for path in process.mapped)


def test_modules_of_an_archive_are_its_file(twice: Twice, work: Path) -> None:
    subprocess.run([sys.executable, "-m", "zipfile", "-c", "packed.zip", "zipped.py"], cwd=work, check=False)
    (work / "zipped.py").write_text("")
    subprocess.run([sys.executable, "-m", "zipfile", "-c", "packed.zip", "zipped.py"], cwd=work, check=True)
    (work / "zipped.py").unlink()
    process = only(twice("import sys\nsys.path.insert(0, 'packed.zip')\nimport zipped\n"))
    assert {module.name: module.path for module in process.modules}["zipped"] == os.fsencode(work / "packed.zip")


def test_a_program_may_move_before_the_end(twice: Twice, work: Path) -> None:
    (work / "lib").mkdir()
    (work / "lib/near.py").write_text("")
    process = only(twice("import os, sys\nsys.path.insert(0, 'lib')\nimport near\nos.chdir('/')\n"))
    assert {module.name: module.path for module in process.modules}["near"] == os.fsencode(work / "lib/near.py")


def test_seeds_and_how_often(twice: Twice) -> None:
    process = only(
        twice(
            "import random\nrandom.Random(5); random.seed(1); random.seed(2); random.seed()\n"
            "random.seed('text'); random.seed(1 << 80); random.seed(7)\n",
            PYTHONHASHSEED="3",
        )
    )
    assert process.seeds == {"PYTHONHASHSEED": "3", "random.seed": {"calls": 5, "unseeded": 1, "last": 7}}


def test_seeds_of_numpy(twice: Twice) -> None:
    pytest.importorskip("numpy")
    process = only(
        twice(
            "import numpy as np, pickle, functools\nnp.random.seed(3)\n"
            "np.random.default_rng(4)\nnp.random.default_rng()\n"
            "pickle.loads(pickle.dumps(functools.partial(np.random.default_rng, 5)))()\n"
            "pickle.loads(pickle.dumps(np.random.seed))(6)\nprint(np.random.rand())\n"
        )
    )
    assert process.seeds["numpy.random.seed"] == {"calls": 2, "unseeded": 0, "last": 6}
    assert process.seeds["numpy.random.default_rng"] == {"calls": 2, "unseeded": 1, "last": 5}
    assert process.numerics["isa"]["numpy"]


def test_each_process_has_a_report_of_its_own(twice: Twice, work: Path) -> None:
    result = twice(
        "import multiprocessing, os, subprocess, sys\n"
        "def work(n):\n    import wave\n    return n\n"
        "if __name__ == '__main__':\n"
        "    for method in ('fork', 'spawn', 'forkserver'):\n"
        "        process = multiprocessing.get_context(method).Process(target=work, args=(1,))\n"
        "        process.start(); process.join()\n"
        "    subprocess.run([sys.executable, '-c', 'import wave'], env={**os.environ, 'RANK': '1'})\n"
        "    subprocess.run([sys.executable, '-I', '-c', 'pass'])\n"
        "    subprocess.run(['true'])\n",
        TMPDIR="/tmp",  # a socket's name is short
    )
    assert result.child == result.bare
    methods = [process.start.get("start_method") for process in result.observed.processes]
    # the server's worker is a fork as well, and the tracker belongs to spawn and the server
    assert sorted(filter(None, methods)) == ["fork", "fork", "forkserver", "resource_tracker", "spawn"]
    assert [process.start.get("rank") for process in result.observed.processes if process.start.get("rank")] == ["1"]
    assert len(methods) == 7 and all(process.complete for process in result.observed.processes)
    assert [process.start["primary"] for process in result.observed.processes] == [True] + [False] * 6
    fork = next(process for process in result.observed.processes if process.start.get("start_method") == "fork")
    assert {module.name for module in fork.modules} - {"__main__"} == {"wave"} | (
        {module.name for module in fork.modules} & {"chunk", "audioop", "struct", "_struct"}
    )


def test_a_program_that_becomes_another_has_two(twice: Twice) -> None:
    result = twice("import os, sys\nos.execv(sys.executable, [sys.executable, '-c', 'import wave'])\n")
    first, second = result.observed.processes
    assert first.pid == second.pid and (first.complete, second.complete) == (False, True)


def test_many_short_lived_children_do_not_fill_the_disk(twice: Twice, run: Path) -> None:
    result = twice("import os\nfor n in range(1100):\n    if os.fork() == 0:\n        os._exit(0)\n    os.wait()\n")
    assert result.child == result.bare
    assert 1000 <= len(result.observed.processes) <= 1002


@EACH_PYTHON
def test_no_secret_is_written(twice: Twice, run: Path, python: str) -> None:
    secrets = {"HF_TOKEN": "hf-0123456789abcdef", "DB_PASSWORD": "correct horse battery"}
    result = twice(
        "import argparse\nparser = argparse.ArgumentParser()\n"
        "for name in ('--password', '--url', '--other', '--api-key'):\n    parser.add_argument(name)\n"
        "parser.parse_args()\n",
        "--password", "hunter2hunter2", "--url", "https://me:s3cr3t@host/x", "--other=hf-0123456789abcdef",
        "--api-key=k3yk3yk3y",
        python=python,
        **secrets,
    )  # fmt: skip
    assert only(result).complete
    written = reports(run)
    for secret in (*secrets.values(), "hunter2hunter2", "s3cr3t", "k3yk3yk3y"):
        assert secret.encode() not in written
    assert b"<secret:HF_TOKEN>" in written and b"<secret:password>" in written


@EACH_PYTHON
def test_no_form_of_a_secret_is_written(twice: Twice, run: Path, work: Path, python: str) -> None:
    secret = 'correct/horse "battery"'
    forms = [
        base64.b64encode(b"user:" + secret.encode()).decode(),
        urllib.parse.quote(secret, safe=""),
        json.dumps(secret),
        repr([secret, "'"]),
        base64.b64encode(b"ci:Tr0ub4dor-and-3").decode(),
        "Tr0ub4dor-and-3",
    ]
    result = twice(
        "import argparse, sys, os\nparser = argparse.ArgumentParser()\n"
        "parser.add_argument('--hidden', default=os.environ['MY_SECRET'] * 2)\n"
        "parser.add_argument('words', nargs='*')\nparser.parse_args()\n"
        "print('binascii' in sys.modules, 'gitrun' in sys.modules)\n",
        *forms,
        python=python,
        MY_SECRET=secret,
        PIP_INDEX_URL="https://ci:Tr0ub4dor-and-3@example.org/simple",
    )
    assert result.child == result.bare and only(result).complete
    written = reports(run)
    for form in (secret, *forms):
        assert form.strip('"[]=').encode()[:-2] not in written
    for hole in (b"MY_SECRET", b"MY_SECRET.base64", b"MY_SECRET.url", b"MY_SECRET.json", b"url", b"url.base64"):
        assert b"<secret:" + hole + b">" in written, hole


def test_names_that_promise_a_secret() -> None:
    from gitrun.child.redact import is_secret_name

    for name in (
        "HF_TOKEN",
        "WANDB_API_KEY",
        "db-password",
        "apiKey",
        "AWS_SECRET_ACCESS_KEY",
        "clientSecret",
        "token",
    ):
        assert is_secret_name(name), name
    for name in (
        "PATH",
        "max_tokens",
        "pad_token_id",
        "token_file",
        "tokenizer",
        "monkey",
        "KEYBOARD",
        "no_password",
        "",
        "_",
    ):
        assert not is_secret_name(name), name


def test_a_config_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    from gitrun.child import report

    class Child:
        path = str(tmp_path / "observed-1-00000000")
        told, busy, secrets, written = True, False, None, 0.0

        def load(self, name: str) -> object:
            return __import__(f"gitrun.child.{name}", fromlist=["x"])

    endless: dict[str, object] = {}
    endless["self"] = endless
    for values in ({"a": object()}, {"a": 1 << 70}, endless, {"a": "x" * (report.MAX_FRAME + 1)}):
        report.write(Child(), {"kind": "config", "framework": "mine", "values": values})
    (process,) = read_observed(str(tmp_path)).processes
    assert process.configs == [{"framework": "mine", "values": {}, "unserialisable": ["*"], "primary": True}] * 4


def test_a_framework_that_looks_different_is_named(twice: Twice, work: Path) -> None:
    (work / "fire").mkdir()
    (work / "fire/__init__.py").write_text("")
    (work / "fire/core.py").write_text("x = 1\n")
    result = twice("import fire.core\nprint(fire.core.x)\n")
    assert result.child == result.bare
    assert len(result.observed.problems) == 1 and "fire" in result.observed.problems[0]
