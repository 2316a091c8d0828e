"""Native libraries: what the linker wrote into a file, and which of the mapped files are listed how."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from gitrun.capture import native
from gitrun.capture.elf import Elf, read_elf
from gitrun.capture.native import native_libraries
from gitrun.model.canonical import decode, encode


def elf_of(path: Path) -> Elf | None:
    fd = os.open(path, os.O_RDONLY)
    try:
        return read_elf(fd)
    finally:
        os.close(fd)


def made(
    build_id: bytes = b"\xab\xcd", order: str = "<", wide: bool = True, names: bytes = b"\0libx.so.1\0libneed.so\0"
) -> bytes:
    """A file with a build id, a soname and one library that it needs, and nothing that could be run."""
    note = struct.pack(f"{order}III", 4, len(build_id), 3) + b"GNU\0" + build_id + b"\0" * (-len(build_id) % 4)
    header, entry = (64, 56) if wide else (52, 32)
    at_note = header + 3 * entry
    at_names = at_note + len(note)
    at_dynamic = at_names + len(names)
    pair = f"{order}{'qQ' if wide else 'iI'}"
    needed = names.find(b"libneed")
    dynamic = b"".join(struct.pack(pair, *each) for each in ((14, 1), (1, needed), (5, 0x1000 + at_names), (0, 0)))
    size = at_dynamic + len(dynamic)

    def segment(kind: int, offset: int, address: int, length: int) -> bytes:
        if wide:
            return struct.pack(f"{order}IIQQQQQQ", kind, 4, offset, address, address, length, length, 8)
        return struct.pack(f"{order}IIIIIIII", kind, offset, address, address, length, length, 4, 8)

    start = b"\x7fELF" + bytes((2 if wide else 1, 1 if order == "<" else 2, 1)) + b"\0" * 9
    if wide:
        start += struct.pack(f"{order}HHIQQQIHHHHHH", 3, 62, 1, 0, header, 0, 0, header, entry, 3, 0, 0, 0)
    else:
        start += struct.pack(f"{order}HHIIIIIHHHHHH", 3, 3, 1, 0, header, 0, 0, header, entry, 3, 0, 0, 0)
    segments = segment(1, 0, 0x1000, size) + segment(4, at_note, 0x1000 + at_note, len(note))
    return start + segments + segment(2, at_dynamic, 0x1000 + at_dynamic, len(dynamic)) + note + names + dynamic


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("wide", [True, False])
def test_build_id_and_names(tmp_path: Path, order: str, wide: bool) -> None:
    (tmp_path / "x").write_bytes(made(order=order, wide=wide))
    assert elf_of(tmp_path / "x") == Elf("abcd", b"libx.so.1", [b"libneed.so"])


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no compiler")
def test_what_a_linker_writes(tmp_path: Path) -> None:
    (tmp_path / "x.c").write_text("int x(void) { return 1; }\n")
    words = ["gcc", "-shared", "-o", "libx.so", "x.c", "-Wl,-soname,libx.so.7", "-Wl,--build-id=0x0123456789abcdef"]
    subprocess.run(words, cwd=tmp_path, check=True)
    found = elf_of(tmp_path / "libx.so")
    assert found is not None and (found.build_id, found.soname) == ("0123456789abcdef", b"libx.so.7")


def test_no_damage_is_an_exception(tmp_path: Path) -> None:
    whole = made()
    for cut in range(len(whole)):
        (tmp_path / "x").write_bytes(whole[:cut])
        elf_of(tmp_path / "x")
    for at in range(64 + 3 * 56):
        (tmp_path / "x").write_bytes(whole[:at] + b"\xff" * 8 + whole[at + 8 :])
        elf_of(tmp_path / "x")
    for content in (b"", b"MZ", b"#!/bin/sh\n" * 10, b"\x7fELF" + b"\0" * 60, b"\x7fELF\x02\x01" + b"\xff" * 500):
        (tmp_path / "x").write_bytes(content)
        assert elf_of(tmp_path / "x") is None or content.endswith(b"\xff")


def test_where_a_library_lies_decides_what_is_said(tmp_path: Path) -> None:
    site = tmp_path / "env/lib/python3.9/site-packages/numpy.libs"
    for directory in (site, tmp_path / "base/lib", tmp_path / "repo", tmp_path / "sys"):
        directory.mkdir(parents=True)
    paths = {
        "packages": site / "libblas.so", "python": tmp_path / "base/lib/libpython3.9.so",
        "source": tmp_path / "repo/_fast.so", "system": tmp_path / "sys/libc.so.6",
    }  # fmt: skip
    for path in paths.values():
        path.write_bytes(made())
    (tmp_path / "sys/libplain.so").write_bytes(b"no elf")
    mapped = [os.fsencode(path) for path in (*paths.values(), tmp_path / "sys/libplain.so", paths["system"])]
    found = native_libraries(mapped, [os.fsencode(tmp_path / "base")], os.fsencode(tmp_path / "repo"))
    assert found is not None and found.problems == []
    facts = {"soname": "libx.so.1", "build_id": "abcd", "bytes": len(made()), "sha256": None}
    plain = {"soname": None, "build_id": None, "bytes": 6, "sha256": hashlib.sha256(b"no elf").hexdigest()}
    assert found.value["libraries"] == [
        {"place": "packages", "path": "numpy.libs/libblas.so"},
        {"place": "python", "path": "lib/libpython3.9.so", **facts},
        {"place": "source", "path": "_fast.so", **facts},
        {"place": "system", "path": str(tmp_path / "sys/libc.so.6"), **facts},
        {"place": "system", "path": str(tmp_path / "sys/libplain.so"), **plain},
    ]


def test_what_is_gone_or_odd_is_listed_all_the_same(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/lib\xff.so"
    with open(odd, "wb") as file:
        file.write(made())
    os.mkfifo(tmp_path / "pipe")
    gone = os.fsencode(tmp_path / "gone.so")
    found = native_libraries([odd, gone, gone + b" (deleted)", os.fsencode(tmp_path / "pipe")], [], None)
    assert found is not None and found.problems == ["2 mapped libraries were gone or replaced when the run had ended"]
    assert decode(encode(found.value)) == found.value
    by_name = {each["path"].rpartition("/")[2]: each for each in found.value["libraries"]}
    assert by_name["lib\udcff.so"]["build_id"] == "abcd" and by_name["pipe"]["bytes"] is None
    assert native_libraries([], [], None) is None


def test_count_and_bytes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "MOST_LIBRARIES", 3)
    monkeypatch.setattr(native, "MOST_HASHED", 10)
    for number in range(5):
        (tmp_path / f"{number}").write_bytes(b"sixsix")
    found = native_libraries([os.fsencode(tmp_path / f"{n}") for n in range(5)], [], None)
    assert found is not None and "5 libraries" in found.problems[0]
    assert [each["sha256"] is None for each in found.value["libraries"]] == [False, True, True]


def test_two_processes_of_one_program_agree() -> None:
    with open("/proc/self/maps", "rb") as file:
        lines = [line.split(None, 5) for line in file.read().splitlines()]
    mapped = [words[5] for words in lines if len(words) == 6 and b"x" in words[1] and words[5].startswith(b"/")]
    prefixes = [os.fsencode(os.path.realpath(sys.base_prefix))]
    first, second = native_libraries(mapped, prefixes, None), native_libraries(reversed(mapped), prefixes, None)
    assert first == second and first is not None
    libc = [each for each in first.value["libraries"] if (each.get("soname") or "").startswith("libc.")]
    assert len(libc) == 1 and libc[0]["build_id"]
