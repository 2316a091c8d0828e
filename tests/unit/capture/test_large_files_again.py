"""A large file that did not change since the last run is neither hashed nor stored by reading it."""

import hashlib
import os
from pathlib import Path
from typing import Any

from gitrun.capture.contents import FILE, Contents, Shelf
from gitrun.store.blobs import BlobStore

DATA = os.urandom(3 << 20)


class Heard:
    """What is listed beside the tree."""

    def __init__(self) -> None:
        self.contents: list[Any] = []

    def beside(self, path: bytes, mode: int, reason: str, content: Any) -> None:
        self.contents.append(content)


def look(tmp_path: Path) -> tuple[bytes | None, Any, int]:
    """The id and the content of the file as one run finds them, and the bytes it read for that."""
    shelf, heard = Shelf(lambda: BlobStore(str(tmp_path / "g"))), Heard()
    contents = Contents(os.fsencode(tmp_path) + b"/", "sha1", None, shelf, heard, 1 << 20)  # type: ignore[arg-type]
    before = int(Path("/proc/self/io").read_text().split()[1])
    oid = contents.hash_large(b"file")
    assert contents.put_large(b"file", FILE, "lfs")
    shelf.commit()
    shelf.close()
    return oid, heard.contents[0], int(Path("/proc/self/io").read_text().split()[1]) - before


def wait_for_the_clock(tmp_path: Path) -> None:
    while True:
        (tmp_path / "probe").write_bytes(b"x")
        if (tmp_path / "probe").stat().st_mtime_ns > (tmp_path / "file").stat().st_ctime_ns:
            return


def test_a_large_file_is_read_once_and_again_when_it_changed(tmp_path: Path) -> None:
    for data in (DATA, DATA[:-1] + b"x"):
        (tmp_path / "file").write_bytes(data)
        wait_for_the_clock(tmp_path)
        expected = hashlib.sha1(b"blob %d\0" % len(data) + data).digest(), hashlib.sha256(data).hexdigest()
        for most in (3 * len(data), 200_000):
            oid, content, read = look(tmp_path)
            assert (oid, content.sha256) == expected and read < most
