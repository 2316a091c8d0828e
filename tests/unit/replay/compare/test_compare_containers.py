"""gzip, zip, tar and what is in them: times say nothing, all else does, and hostile archives are bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib

import pytest

from tests.unit.replay.compare.pairs import found, level, npy, tarred, zipped

MEMBERS = {"a.txt": b"first\n", "dir/b.npy": npy([1.0, 2.0])}
NEAR = {**MEMBERS, "dir/b.npy": npy([1.0, 2.0 + 1e-9])}
FAR = {**MEMBERS, "dir/b.npy": npy([1.0, 2.5])}


def gz(data: bytes, mtime: int = 1, name: str = "", level: int = 6) -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(name, "wb", level, out, mtime) as file:
        file.write(data)
    return out.getvalue()


def test_gzip_times_names_and_compression_say_nothing() -> None:
    content = b"a,b\n1,0.5\n" * 100
    assert level("t.csv.gz", gz(content), gz(content, 2)) == "semantic"
    assert level("t.csv.gz", gz(content), gz(content, 1, "other.csv", 1)) == "semantic"
    assert level("t.csv.gz", gz(content), gz(content[:500]) + gz(content[500:])) == "semantic"
    assert level("t.csv.gz", gz(content), gz(content.replace(b"0.5", b"0.5000001"), 2)) == "tolerance"
    assert level("t.csv.gz", gz(content), gz(content.replace(b"1,", b"2,"), 2)) == "differs"


def test_other_compressions_are_looked_into() -> None:
    a, b = b"x\n1.5\n", b"x\n1.5000001\n"
    for pack, ending in ((bz2.compress, "bz2"), (lzma.compress, "xz")):
        assert level(f"t.csv.{ending}", pack(a), pack(b)) == "tolerance"
        assert level(f"t.csv.{ending}", pack(a), pack(a)[:-4]) == "differs"
        assert level(f"t.csv.{ending}", pack(a), pack(a) + b"\0") == "differs"
    assert level("t.bz2", bz2.compress(a * 9000, 1), bz2.compress(a * 9000, 9)) == "semantic"


@pytest.mark.parametrize("spoil", [slice(None, -1), slice(None, -8), slice(None, 12)])
def test_a_cut_gzip_file_differs(spoil: slice) -> None:
    whole = gz(b"content" * 50)
    assert level("x.gz", whole, whole[spoil]) == "differs"
    assert level("x.gz", gz(b"content" * 50, 2)[spoil], whole[spoil]) == "differs"


def test_gzip_with_a_wrong_sum_or_with_more_behind_differs() -> None:
    one, other = gz(b"content"), gz(b"content", 2)
    wrong = other[:-8] + bytes([other[-8] ^ 1]) + other[-7:]
    assert level("x.gz", one, wrong) == "differs"
    assert level("x.gz", one, other + b"\0\0") == "differs"
    assert level("x.gz", one, other + b"more") == "differs"
    comment = other[:3] + b"\x10" + other[4:10] + b"a comment\0" + other[10:]
    assert level("x.gz", one, comment) == "differs"


def test_zip_times_order_and_compression_say_nothing() -> None:
    one = zipped(MEMBERS)
    assert level("a.zip", one, zipped(MEMBERS, 2025)) == "semantic"
    assert level("a.zip", one, zipped(dict(reversed(MEMBERS.items())))) == "semantic"
    assert level("a.zip", one, zipped(MEMBERS, method=zipfile.ZIP_DEFLATED)) == "semantic"
    assert "times" in found("a.zip", one, zipped(MEMBERS, 2025)).detail
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
        same = zipped(MEMBERS, 2024, method)
        assert level("a.zip", same, zipped(NEAR, 2025, method)) == "tolerance"
        assert level("a.zip", same, zipped(FAR, 2025, method)) == "differs"
    told = found("a.zip", one, zipped(FAR))
    assert told.first == "dir/b.npy: [1]" and told.detail.startswith("dir/b.npy: 2.0 against 2.5 at [1]")


def test_zip_members_names_modes_and_comments_count() -> None:
    one = zipped(MEMBERS)
    assert level("a.zip", one, zipped({**MEMBERS, "more": b""})) == "differs"
    assert level("a.zip", one, zipped({"A.txt": b"first\n", "dir/b.npy": MEMBERS["dir/b.npy"]})) == "differs"
    assert level("a.zip", one, zipped(MEMBERS, external_attr=0o755 << 16)) == "differs"
    assert level("a.zip", one, zipped(MEMBERS, comment=b"x")) == "differs"
    assert level("a.zip", one, zipped(MEMBERS, extra=b"\x99\x99\x01\x00x")) == "differs"


def test_a_hostile_zip_is_bytes() -> None:
    one, other = zipped(MEMBERS), zipped(MEMBERS, 2025)
    assert level("a.zip", one, b"#!/bin/sh\n" + other) == "differs"  # a prefix
    assert level("a.zip", one, other + b"x") == "differs"
    at = other.index(b"PK\x01\x02")
    assert level("a.zip", one, other[:at] + b"hidden" + other[at:]) == "differs"
    crc = other.index(struct.pack("<I", zlib.crc32(b"first\n")))
    for place in (4, 6, 8, crc, 26, 30):  # version, flags, method, checksum, lengths, the name in front
        spoiled = other[:place] + bytes([other[place] ^ 1]) + other[place + 1 :]
        assert level("a.zip", one, spoiled) == "differs"
    content = other.index(b"first\n")
    damaged = other[:content] + b"F" + other[content + 1 :]
    assert level("a.zip", damaged, one) == "differs"
    with pytest.warns(UserWarning, match="Duplicate"):
        out = io.BytesIO(other)
        with zipfile.ZipFile(out, "a") as archive:
            archive.writestr("a.txt", b"first\n")
    assert level("a.zip", one, out.getvalue()) == "differs"


def test_tar_times_owners_order_and_layout_say_nothing() -> None:
    one = tarred(MEMBERS)
    assert level("a.tar", one, tarred(MEMBERS, 2.5)) == "semantic"
    assert level("a.tar", one, tarred(MEMBERS, uid=7, gname="them")) == "semantic"
    assert level("a.tar", one, tarred(dict(reversed(MEMBERS.items())))) == "semantic"
    for layout in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT):
        long = {"d" * 90 + "/" + "e" * 60: b"x"}
        assert level("a.tar", tarred(long), tarred(long, layout=layout)) == "semantic"
    assert level("a.tar", one, tarred(NEAR)) == "tolerance"
    assert level("a.tar", one, tarred(FAR)) == "differs"


def test_tar_names_modes_and_links_count() -> None:
    one = tarred(MEMBERS)
    assert level("a.tar", one, tarred({**MEMBERS, "more": b""})) == "differs"
    assert level("a.tar", one, tarred(MEMBERS, mode=0o755)) == "differs"
    link = tarred({"l": b""}, type=tarfile.SYMTYPE, linkname="here")
    assert level("a.tar", link, tarred({"l": b""}, 2, type=tarfile.SYMTYPE, linkname="here")) == "semantic"
    assert level("a.tar", link, tarred({"l": b""}, type=tarfile.SYMTYPE, linkname="there")) == "differs"
    assert level("a.tar", link, tarred({"l": b""}, type=tarfile.LNKTYPE, linkname="here")) == "differs"
    assert level("a.tar", one, tarred(MEMBERS, pax_headers={"SCHILY.xattr.user.a": "b"})) == "differs"


def test_a_hostile_tar_is_bytes() -> None:
    one, other = tarred(MEMBERS), tarred(MEMBERS, 2)
    for at in (0, 100, 136, 148, 156, 257, 345, 505):  # a header's own sum tells
        spoiled = other[:at] + bytes([other[at] ^ 1]) + other[at + 1 :]
        assert level("a.tar", one, spoiled) == "differs"
    assert level("a.tar", one, other[:512] + b"first\nhidden" + other[524:]) == "differs"
    assert level("a.tar", one, other[:-100]) == "differs"
    assert level("a.tar", one, other + b"x" * 512) == "differs"
    twice = other[:1024] + other
    assert level("a.tar", one, twice) == "differs"


def test_containers_are_judged_by_what_is_in_them() -> None:
    def packed(members: dict[str, bytes], when: int) -> bytes:
        return gz(tarred({"run/arrays.npz": zipped(members, 2000 + when)}, when), when)

    assert level("out.tgz", packed(MEMBERS, 1), packed(MEMBERS, 2)) == "semantic"
    assert level("out.tgz", packed(MEMBERS, 1), packed(NEAR, 2)) == "tolerance"
    told = found("out.tgz", packed(MEMBERS, 1), packed(FAR, 2))
    assert told.level.word == "differs" and told.first == "run/arrays.npz: dir/b.npy: [1]"


def test_containers_too_deep_are_bytes() -> None:
    a, b = b"x", b"x"
    for when in range(8):
        a, b = gz(a, when), gz(b, when + 1)
    assert level("x.gz", a, b) == "differs"


def test_a_bomb_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitrun.replay.compare.contents.UNPACKED_BYTES", 1 << 20)
    bombs = [gz(b"\0" * (32 << 20) + end) for end in (b"a", b"b")]
    assert level("x.gz", *bombs) == "differs"
    many = [zipped({"z": b"\0" * (32 << 20) + end}, method=zipfile.ZIP_DEFLATED) for end in (b"a", b"b")]
    assert level("x.zip", *many) == "differs"
