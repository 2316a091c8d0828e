"""Real servers on loopback: git http-backend behind nginx or a few lines of Python, and sshd."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SSHD = shutil.which("sshd") or ("/usr/sbin/sshd" if os.path.exists("/usr/sbin/sshd") else None)
NGINX = shutil.which("nginx") or ("/usr/sbin/nginx" if os.path.exists("/usr/sbin/nginx") else None)
FCGIWRAP = shutil.which("fcgiwrap") or ("/usr/sbin/fcgiwrap" if os.path.exists("/usr/sbin/fcgiwrap") else None)
_START_S = 20.0


def backend() -> str:
    """Where `git http-backend` is."""
    directory = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip()
    return os.path.join(directory, "git-http-backend")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        assert process.poll() is None, f"a server ended with {process.returncode}"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError("a server did not start")


class Backend(BaseHTTPRequestHandler):
    """One request, answered by `git http-backend`; `root` and `password` are those of the server."""

    protocol_version = "HTTP/1.1"
    root, password = "", ""

    def log_message(self, *words: object) -> None:
        """Nothing: pytest's output is not the place."""

    def do_GET(self) -> None:
        self.answer(b"")

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") != "chunked":
            self.answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
            return
        body = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        self.answer(bytes(body))

    def answer(self, body: bytes) -> None:
        if self.password and self.headers.get("Authorization") != f"Basic {self.password}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        done = subprocess.run([backend()], input=body, env=self.variables(len(body)), capture_output=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = [line.split(b": ", 1) for line in head.split(b"\r\n") if b": " in line]
        self.send_response(next((int(value.split()[0]) for name, value in headers if name == b"Status"), 200))
        for name, value in headers:
            if name != b"Status":
                self.send_header(name.decode(), value.decode())
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def variables(self, size: int) -> dict[str, str]:
        path, _, query = self.path.partition("?")
        return {
            **{name: os.environ[name] for name in ("PATH", "HOME")},
            "GIT_PROJECT_ROOT": self.root,
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type") or "",
            "CONTENT_LENGTH": str(size),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding") or "",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol") or "",
            "REMOTE_USER": "tester",
            "REMOTE_ADDR": "127.0.0.1",
        }


@contextlib.contextmanager
def http(root: Path, password: str = "") -> Iterator[str]:
    """`git http-backend` over the repositories below `root`; with a password, only for who knows it."""
    handler = type("Handler", (Backend,), {"root": str(root), "password": password})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def nginx(root: Path, place: Path) -> Iterator[str]:
    """The same behind nginx and fcgiwrap, whose files are in `place`."""
    assert NGINX is not None and FCGIWRAP is not None
    place.mkdir()
    port, sock = free_port(), place / "s"
    (place / "nginx.conf").write_text(
        f"""
daemon off; pid {place}/pid; error_log {place}/error.log; {"user root;" if os.getuid() == 0 else ""}
events {{}}
http {{
  access_log off; client_max_body_size 0;
  client_body_temp_path {place}/b; proxy_temp_path {place}/p; fastcgi_temp_path {place}/f;
  uwsgi_temp_path {place}/u; scgi_temp_path {place}/c;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME {backend()};
      fastcgi_param GIT_HTTP_EXPORT_ALL 1;
      fastcgi_param GIT_PROJECT_ROOT {root};
      fastcgi_param PATH_INFO $uri;
      fastcgi_param REMOTE_USER tester;
      fastcgi_param GIT_PROTOCOL $http_git_protocol;
      fastcgi_pass unix:{sock};
    }}
  }}
}}
"""
    )
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    wrap = subprocess.Popen([FCGIWRAP, "-c", "4", "-s", f"unix:{sock}"], process_group=0, **quiet)  # type: ignore[call-overload]
    front = subprocess.Popen([NGINX, "-c", str(place / "nginx.conf"), "-p", str(place)], **quiet)  # type: ignore[call-overload]
    try:
        wait_for(port, front)
        yield f"http://127.0.0.1:{port}"
    finally:
        front.terminate()
        front.wait()
        os.killpg(wrap.pid, signal.SIGTERM)  # its children do not end with it
        wrap.wait()


class Ssh:
    """Where an sshd listens, and what `ssh` needs to get in."""

    def __init__(self, port: int, command: str) -> None:
        self.port = port
        self.command = command

    def url(self, path: Path) -> str:
        import getpass

        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{path}"


@contextlib.contextmanager
def sshd(place: Path) -> Iterator[Ssh]:
    """An sshd of our own, whose files are in `place`; a key without a passphrase opens it."""
    assert SSHD is not None
    place.mkdir()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / name)], check=True)
    port = free_port()
    shutil.copy(place / "user.pub", place / "authorized")
    host = (place / "host.pub").read_text()
    (place / "known").write_text(f"[127.0.0.1]:{port} {host}")
    (place / "config").write_text(
        f"""
Port {port}
ListenAddress 127.0.0.1
HostKey {place}/host
AuthorizedKeysFile {place}/authorized
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin yes
AcceptEnv GIT_PROTOCOL
PidFile none
"""
    )
    if os.getuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)  # where it changes to before it knows who comes
    server = subprocess.Popen([SSHD, "-D", "-f", str(place / "config"), "-E", str(place / "log")])
    try:
        wait_for(port, server)
        options = (
            f"-F /dev/null -i {place}/user -o IdentitiesOnly=yes -o UserKnownHostsFile={place}/known -o BatchMode=yes"
        )
        yield Ssh(port, f"ssh {options}")
    finally:
        server.terminate()
        server.wait()
