"""A package index on the loopback, real wheels to put on it, and environments to install them into.

The tests of lockfiles ask real resolvers, and never the internet. So this is a simple repository (PEP 503) in this
very process, with wheels made here; what a resolver asked for can be read afterwards.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote


def make_wheel(
    name: str, version: str, *, tag: str = "py3-none-any", files: Mapping[str, str] | None = None, **more: str
) -> tuple[str, bytes]:
    """File name and bytes of a wheel with one module; `more` are further files of its metadata directory."""
    stem = name.replace("-", "_")
    metadata = f"{stem}-{version}.dist-info"
    content = {f"{stem}/__init__.py": f"version = {version!r}\n", **(files or {})}
    content[f"{metadata}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    tags = "".join(f"Tag: {one}\n" for one in expand(tag))
    content[f"{metadata}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\n{tags}"
    content.update({f"{metadata}/{key}": text for key, text in more.items()})
    quoted = {path: f'"{path}"' if "," in path else path for path in content}
    record = "".join(
        f"{quoted[path]},{digest_of(text.encode())},{len(text.encode())}\n" for path, text in content.items()
    )
    content[f"{metadata}/RECORD"] = f"{record}{metadata}/RECORD,,\n"
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path, text in content.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return f"{stem}-{version}-{tag}.whl", data.getvalue()


def expand(tag: str) -> list[str]:
    """The tags that a wheel's name stands for."""
    pythons, abis, platforms = (word.split(".") for word in tag.split("-"))
    return [f"{python}-{abi}-{platform}" for python in pythons for abi in abis for platform in platforms]


def make_sdist(name: str, version: str, marker: Path) -> tuple[str, bytes]:
    """File name and bytes of a source distribution that leaves `marker` behind when it is built."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        text = f"open({str(marker)!r}, 'w').close()\nraise SystemExit('built')\n".encode()
        member = tarfile.TarInfo(f"{name}-{version}/setup.py")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    return f"{name}-{version}.tar.gz", data.getvalue()


def digest_of(data: bytes) -> str:
    """A file's hash as RECORD spells it."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


class PackageIndex:
    """`url` is the index, `asked` the paths that were asked for; `delay_s` and `status` make it slow or refuse."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.asked: list[str] = []
        self.credentials: list[str | None] = []
        self.delay = threading.Event()
        self.delay.set()
        self.status = 200
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index._answer(self)

            def do_HEAD(self) -> None:
                index._answer(self)

            def log_message(self, *words: Any) -> None:
                """Tests read `asked`."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.address}/simple"

    def add(self, file: tuple[str, bytes], index: str = "simple") -> str:
        """Put a file on an index of this server; its sha256."""
        self.files.setdefault(index, {})[file[0]] = file[1]
        return hashlib.sha256(file[1]).hexdigest()

    def close(self) -> None:
        self.delay.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(request.path)
        self.credentials.append(request.headers.get("Authorization"))
        self.delay.wait(60)
        index, _, name = unquote(request.path).strip("/").rpartition("/")
        data = b""
        if index.startswith("files/"):
            data = self.files.get(index.removeprefix("files/"), {}).get(name, b"")
        else:
            wanted = name.replace("-", "_").lower() + "-"
            for file, content in self.files.get(index, {}).items():
                if file.lower().startswith(wanted):
                    digest = hashlib.sha256(content).hexdigest()
                    data += f'<a href="/files/{index}/{file}#sha256={digest}">{file}</a>\n'.encode()
        status = self.status if self.status != 200 else 200 if data else 404
        try:
            request.send_response(status)
            request.send_header("Content-Type", "text/html")
            request.send_header("Content-Length", str(len(data)))
            request.end_headers()
            if request.command != "HEAD":
                request.wfile.write(data)
        except OSError:
            pass  # a resolver that was killed does not listen any more


class Installation:
    """A virtual environment without an installer; wheels are unpacked into it as an installer would."""

    def __init__(self, directory: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(directory)], check=True)
        self.prefix = directory
        self.python = str(directory / "bin" / "python")
        self.site = next((directory / "lib").glob("python*")) / "site-packages"

    def install(self, file: tuple[str, bytes], direct: str | None = None) -> None:
        """Unpack a wheel; `direct` is the content of its direct_url.json."""
        with zipfile.ZipFile(io.BytesIO(file[1])) as archive:
            archive.extractall(self.site)
            metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/RECORD")).rpartition("/")[
                0
            ]
        more = {"INSTALLER": "tests\n", **({"direct_url.json": direct} if direct else {})}
        for name, text in more.items():
            (self.site / metadata / name).write_text(text)
        with open(self.site / metadata / "RECORD", "a") as record:
            for name, text in more.items():
                record.write(f"{metadata}/{name},{digest_of(text.encode())},{len(text)}\n")
        old = os.stat(self.site / metadata / "RECORD").st_mtime - 100
        for path in (self.site / metadata / "RECORD", self.site):
            os.utime(path, (old, old))  # an environment that was not made a moment ago
