"""Secrets in every place a run touches, and not one of them anywhere in the archive: not while it runs, not after."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from gitrun.recording.console import collect, read_stream
from gitrun.store.blobs import BlobStore
from tests.conftest import Result
from tests.end_to_end.test_record import only_run, started
from tests.unit.recording.helpers import wait_for

MakeRepo = Callable[..., Path]
Call = Callable[..., Result]

_TAIL = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6"
SECRETS = {
    "argv": "argv-Tr0ub4dor-and-3",
    "token in argv": "hf_argv" + _TAIL,
    "inner argv": "inner-Tr0ub4dor-and-3",
    "variable": "variable-correct-horse-battery",
    "recorded variable": "java-Tr0ub4dor-and-3",
    "config file": "config-Tr0ub4dor-and-3",
    "--config": "given-Tr0ub4dor-and-3",
    "stdout": "hf_stdout" + _TAIL,
    "stderr": "ghp_stderr" + _TAIL,
    "note": "ghp_note" + _TAIL,
    "name": "ghp_name" + _TAIL,
    "tag": "hf_tag" + _TAIL,
    "group": "hf_group" + _TAIL,
    "remote": "remote-Tr0ub4dor-and-3",
    "direct_url": "wheel-Tr0ub4dor-and-3",
    "argparse": "default-Tr0ub4dor-and-3",
    "pip index": "index-Tr0ub4dor-and-3",
    "pip.conf": "extra-Tr0ub4dor-and-3",
    "traceback": "hf_trace" + _TAIL,
    "edited file": "glpat-edited" + _TAIL,
    "odd variable": 'odd/"correct"\\horse & battery',
}

TRAIN = """
import argparse, json, os, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--password")
parser.add_argument("--api-token", default=open(os.path.join(os.environ["OUTSIDE"], "default")).read())
parser.add_argument("--shell")
parser.add_argument("--settings")
parser.add_argument("--header")
parser.add_argument("--about", default=json.dumps(os.environ["MY_PASSWORD"]))
parser.add_argument("--lr", type=float, default=0.1)
args = parser.parse_args()
def say(fd, text):
    for at in range(0, len(text), 7):
        os.write(fd, text[at:at + 7].encode())
        time.sleep(0.002)
say(1, "password " + args.password + ", key " + os.environ["MY_API_KEY"] + "\\n")
say(1, "hub " + open(os.path.join(os.environ["OUTSIDE"], "stdout")).read() + "\\n")
say(2, "push " + open(os.path.join(os.environ["OUTSIDE"], "stderr")).read() + "\\n")
import base64, urllib.parse
odd, plain = os.environ["MY_PASSWORD"], os.environ["MY_API_KEY"]
for printed in (odd, json.dumps({"a": odd}), repr(odd + "'"), urllib.parse.quote(odd), urllib.parse.quote_plus(odd),
                base64.b64encode(odd.encode()).decode(), base64.b64encode(b"me:" + plain.encode()).decode(),
                base64.urlsafe_b64encode(b"0:" + plain.encode()).decode(),
                base64.encodebytes(plain.encode()).decode()):
    say(1, "printed " + printed + "\\n")
print("ready", flush=True)
while not os.path.exists(os.path.join(os.environ["OUTSIDE"], "go")):
    time.sleep(0.01)
"""

RECORD = """
import os, sys
import gitrun.recording.record as module
def broken(*_, **__): raise RuntimeError("cannot digest " + open(os.environ["OUTSIDE"] + "/trace").read())
module._note_changes = broken
from gitrun.cli.fast import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A Python that has a distribution from a URL with a password."""
    home = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    (site,) = home.glob("lib/python*/site-packages")
    info = site / "thing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
    (info / "RECORD").write_text("thing-1.0.dist-info/METADATA,,\n")
    url = f"https://ci:{SECRETS['direct_url']}@example.org/thing-1.0-py3-none-any.whl"
    (info / "direct_url.json").write_text(json.dumps({"url": url, "archive_info": {}}))
    return home / "bin" / "python"


def test_no_secret_of_any_place_is_in_the_archive(
    tmp_path: Path, make_repo: MakeRepo, git: Call, gitrun: Call, world: Path, python: Path
) -> None:
    repo = make_repo({"train.py": TRAIN, "helper.py": "x = 1\n"})
    (repo / "helper.py").write_text(f"key = '{SECRETS['edited file']}'\n")
    git("remote", "add", "origin", f"https://me:{SECRETS['remote']}@example.org/x.git", cwd=repo)
    outside = tmp_path / "outside"
    write_outside(outside, world)
    env = {
        **os.environ,
        "OUTSIDE": str(outside),
        "MY_API_KEY": SECRETS["variable"],
        "MY_PASSWORD": SECRETS["odd variable"],
        "JAVA_TOOL_OPTIONS": f"-Dpassword={SECRETS['recorded variable']}",
        "PIP_INDEX_URL": f"https://ci:{SECRETS['pip index']}@example.org/simple",
        "GITRUN_RECORD_VARIABLES": "MY_* PIP_*",
    }
    words = ["--name", "run " + SECRETS["name"], "--tag", SECRETS["tag"], "--group", SECRETS["group"]]
    words += ["--note", f"token {SECRETS['note']}", "--config", str(outside / "given.yaml"), "--"]
    words += [str(python), "train.py", "--password", SECRETS["argv"], "--settings", str(outside / "settings.json")]
    words += ["--shell", f"deploy --password {SECRETS['inner argv']} https://x/{SECRETS['token in argv']}"]
    login = base64.b64encode(f"me:{SECRETS['variable']}".encode()).decode()
    words += ["--header", f"Basic {login}", "--lr", "0.3"]

    running = subprocess.Popen(
        [sys.executable, "-c", RECORD, *words], cwd=repo, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with running:
        member = started(repo)
        wait_for(lambda: b"ready" in (member / "console").read_bytes() and list(member.glob("observed-*")))
        wait_for(lambda: list((repo / ".git/gitrun/log").glob("bug-*")))
        while_it_ran: dict[object, bytes] = dict(everything_but_objects(repo))
        output = read_stream(b"".join(collect(str(member))))  # a file has it in many pieces
        while_it_ran["output"] = b"".join(said for _, _, said in output)
        (outside / "go").touch()
        stdout, stderr = running.communicate(timeout=60)
    assert running.returncode == 0, stderr
    assert all(SECRETS[place].encode() in stdout for place in ("argv", "variable", "stdout"))  # as they were

    assert found(while_it_ran) == {("config", "remote")}  # where git itself keeps it
    after = {**dict(everything(repo, git)), "output": gitrun("logs", "@", cwd=repo).stdout_bytes}
    places = found(after)
    assert places == {("config", "remote"), ("blob helper.py", "edited file")}

    record = only_run(git, repo)
    assert record["command"][3] == "<secret:password>" and "<secret:password>" in record["command"][7]
    assert record["command"][9] == "Basic bWU6<secret:MY_API_KEY.base64>"
    assert record["source"]["secrets"] == [{"path": "helper.py", "secrets": ["gitlab-token"]}]
    assert "helper.py (gitlab-token)" in stderr.decode() and SECRETS["edited file"].encode() not in stderr
    text = b"\n".join(after.values())
    for hole in ("MY_API_KEY.base64", "MY_PASSWORD.json", "MY_PASSWORD.repr", "MY_PASSWORD.url", "MY_PASSWORD.base64"):
        assert f"<secret:{hole}>".encode() in text, hole
    for hole in ("MY_API_KEY", "huggingface-token", "github-token", "url", "password"):
        assert f"<secret:{hole}>".encode() in text, hole
    for kept in (b"given.yaml", b"settings.json", b"thing", b"cannot digest", b"example.org"):
        assert kept in text, kept  # each place was really captured


def write_outside(outside: Path, world: Path) -> None:
    """What the program and gitrun read that is no source."""
    outside.mkdir()
    (outside / "settings.json").write_text(json.dumps({"db": {"password": SECRETS["config file"]}, "lr": 0.2}))
    quoted = urllib.parse.quote(SECRETS["odd variable"], safe="")
    (outside / "given.yaml").write_text(f"service:\n  api_key: {SECRETS['--config']}\n  at: https://x/?a={quoted}\n")
    for name, secret in (("default", "argparse"), ("stdout", "stdout"), ("stderr", "stderr"), ("trace", "traceback")):
        (outside / name).write_text(SECRETS[secret])
    (world / "config" / "pip").mkdir()
    conf = f"[global]\nextra-index-url = https://ci:{SECRETS['pip.conf']}@example.org/simple\n"
    (world / "config" / "pip" / "pip.conf").write_text(conf)


def found(contents: dict[object, bytes]) -> set[tuple[str, str]]:
    """Where secrets are in any form, and from which place they came."""
    printed = {place: in_every_form(secret) for place, secret in SECRETS.items()}
    return {
        (where.name if isinstance(where, Path) else str(where), place)
        for where, data in contents.items()
        for text in [data, *decoded(data)]
        for place, forms in printed.items()
        if any(form in text for form in forms)
    }


def in_every_form(secret: str) -> list[bytes]:
    quoted = {urllib.parse.quote(secret), urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret)}
    written = {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], repr(secret + "'")[1:-3], *quoted}
    return [text.encode() for text in written]


def decoded(data: bytes) -> Iterator[bytes]:
    """Whatever may be base64 in it, from each of its characters on, also over lines."""
    for run in re.findall(rb"[A-Za-z0-9+/_-]{12,}", data.replace(b"\n", b"").translate(bytes.maketrans(b"-_", b"+/"))):
        for start in range(4):
            whole = run[start : start + (len(run) - start) // 4 * 4]
            yield base64.b64decode(whole)


def everything(repo: Path, git: Call) -> Iterator[tuple[object, bytes]]:
    """Every file below .git, every object of Git, every blob of the store, and what of them is compressed, inflated."""
    for path in (repo / ".git").rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()
    names = git("rev-parse", ":helper.py", cwd=repo).stdout.split()
    edited = git("hash-object", "helper.py", cwd=repo).stdout.strip()
    objects = git("cat-file", "--batch-all-objects", "--batch-check=%(objectname)", cwd=repo).stdout.split()
    assert len(objects) > 10 and edited in objects and names
    for oid in objects:
        kind = git("cat-file", "-t", oid, cwd=repo).stdout.strip()
        data = git("cat-file", kind, oid, cwd=repo).stdout_bytes
        yield f"{kind} helper.py" if oid == edited else oid, data
        yield f"{oid} inflated", inflated(data)
    store = BlobStore(str(repo / ".git/gitrun"))
    for name in store.pack_names():
        pack = store.pack(name)
        assert pack is not None
        for blob in (entry.blob.hex() for entry in pack.entries()):
            data = store.get(blob)
            yield blob, data
            yield f"{blob} inflated", inflated(data)


def inflated(data: bytes) -> bytes:
    if not data.startswith(b"\x28\xb5\x2f\xfd"):
        return b""
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


def test_a_keeper_killed_beside_its_recorder_leaves_no_secret(make_repo: MakeRepo, git: Call, gitrun: Call) -> None:
    """What a crash leaves is what was on the disk, and that was never raw."""
    repo = make_repo()
    script = "printf 'it is variable-correct'; sleep .2; printf -- '-horse-battery\\nmore'; sleep 60"
    env = {**os.environ, "MY_API_KEY": SECRETS["variable"]}
    argv = [sys.executable, "-m", "gitrun", "record", "--", "sh", "-c", script]
    with subprocess.Popen(argv, cwd=repo, env=env, stdout=subprocess.PIPE, start_new_session=True) as running:
        member = started(repo)
        wait_for(lambda: b"<secret:MY_API_KEY>" in (member / "console").read_bytes())
        os.killpg(running.pid, signal.SIGKILL)
    assert gitrun("recover", cwd=repo).code == 0
    run = only_run(git, repo)["id"]
    assert gitrun("logs", run, cwd=repo).stdout == "it is <secret:MY_API_KEY>\n"
    assert not found(dict(everything_but_objects(repo)))


def everything_but_objects(repo: Path) -> Iterator[tuple[object, bytes]]:
    for path in (repo / ".git").rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()


def test_new_and_loaded_files_with_a_secret_are_named(
    tmp_path: Path, make_repo: MakeRepo, git: Call, gitrun: Call
) -> None:
    repo = make_repo(
        {"train.py": "import sys\nsys.path.append(sys.argv[1])\nimport far, near\n", ".gitignore": "near.py\n"}
    )
    token, variable = "glpat-edited" + _TAIL, SECRETS["variable"]
    (repo / "new.py").write_text(f"x = '{token}'\n")
    (repo / "near.py").write_text(f"x = '{base64.b64encode(variable.encode()).decode()}'\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "far.py").write_text(f"x = 'hf_far{_TAIL}'\n")
    result = gitrun("record", "--", sys.executable, "train.py", str(elsewhere), cwd=repo, env={"MY_API_KEY": variable})
    assert result.code == 0, result.stderr
    record = only_run(git, repo)
    assert {Path(entry["path"]).name: entry["secrets"] for entry in record["source"]["secrets"]} == {
        "new.py": ["gitlab-token"], "near.py": ["MY_API_KEY.base64"], "far.py": ["huggingface-token"],
    }  # fmt: skip
    (told,) = [line for line in result.stderr.splitlines() if "secret" in line]
    assert "new.py (gitlab-token)" in told and "near.py (MY_API_KEY.base64)" in told and "huggingface-token" in told
    assert token not in result.stderr and "secrets" not in record["coverage"]


def test_a_replay_asks_the_environment_for_secrets(make_repo: MakeRepo, git: Call, gitrun: Call) -> None:
    repo = make_repo({"train.py": "import os, sys\nprint(len(sys.argv[1]), os.environ['MY_API_KEY'][::-1])\n"})
    env = {"MY_API_KEY": SECRETS["variable"], "GITRUN_RECORD_VARIABLES": "MY_API_KEY"}
    command = [sys.executable, "train.py", SECRETS["variable"]]
    assert gitrun("record", "--", *command, cwd=repo, env=env).code == 0
    record = only_run(git, repo)
    assert record["command"][-1] == "<secret:MY_API_KEY>"
    again = gitrun("replay", record["id"], "--json", cwd=repo, env=env)
    assert again.json()["console"]["stdout"] is True, again.stderr
    without = gitrun("replay", record["id"], "--json", cwd=repo, env={"GITRUN_RECORD_VARIABLES": "MY_API_KEY"})
    assert "MY_API_KEY" in without.stderr + without.stdout
