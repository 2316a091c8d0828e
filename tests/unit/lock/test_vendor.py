"""Wheels made again of what is installed: they install to the same, and are the same every time."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gitrun.capture.distributions import canonical_record
from gitrun.capture.lock.making import Subject
from gitrun.capture.lock.pins import Pin, read_pins
from gitrun.capture.lock.places import compress_tags, find_distributions
from gitrun.capture.lock.running import GivenUp
from gitrun.capture.lock.vendor import Bundle, NotVendored, choose, plan_wheel, store_wheel
from gitrun.store.blobs import BlobStore
from tests.package_index import Installation, make_wheel

ENTRY_POINTS = "[console_scripts]\nalpha-tool = alpha:main\n"


def pin_of(installation: Installation, subject: Callable[..., Subject]) -> Pin:
    (pin,) = read_pins(subject(os.environ).environment["distributions"])[0]
    return pin


def plan(installation: Installation, pin: Pin) -> Bundle:
    return plan_wheel(pin, find_distributions([bytes(installation.site)]).get(pin.name))


def store(bundle: Bundle, tmp_path: Path) -> tuple[dict[str, object], bytes]:
    home = tmp_path / "gitrun"
    home.mkdir(exist_ok=True)
    blobs = BlobStore(str(home))
    with blobs.session() as session:
        line = store_wheel(bundle, session, str(tmp_path), lambda: False)
        session.commit()
    return line, b"".join(blobs.read([(blob, size) for blob, size in line["chunks"]]))


def test_a_wheel_installs_to_the_same_record(
    installation: Installation, subject: Callable[..., Subject], tmp_path: Path
) -> None:
    tag = "cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64"
    more = {"entry_points.txt": ENTRY_POINTS}
    installation.install(make_wheel("two-words", "1.0", tag=tag, files={"two_words/data, 1.txt": "x"}, **more))
    pin = pin_of(installation, subject)
    line, data = store(plan(installation, pin), tmp_path)
    assert line["wheel"] == f"two_words-1.0-{tag}.whl" and line["bytes"] == len(data)

    other = Installation(tmp_path / "other")
    other.install((str(line["wheel"]), data))
    record = (other.site / "two_words-1.0.dist-info/RECORD").read_bytes()
    assert canonical_record(record) == pin.record
    assert (other.site / "two_words/data, 1.txt").read_text() == "x"
    assert not any("INSTALLER" in name for name in zipfile.ZipFile(io.BytesIO(data)).namelist())


def test_the_same_bytes_whatever_the_times_are(
    installation: Installation, subject: Callable[..., Subject], tmp_path: Path
) -> None:
    installation.install(make_wheel("alpha", "1.0"))
    pin = pin_of(installation, subject)
    first = store(plan(installation, pin), tmp_path)
    os.utime(installation.site / "alpha/__init__.py", (1, 1))
    (installation.site / "alpha/__pycache__").mkdir()
    (installation.site / "alpha/__pycache__/x.pyc").write_bytes(b"")
    assert store(plan(installation, pin), tmp_path) == first


def test_scripts_and_data_come_along_and_entry_points_do_not(
    installation: Installation, subject: Callable[..., Subject], tmp_path: Path
) -> None:
    installation.install(make_wheel("alpha", "1.0", **{"entry_points.txt": ENTRY_POINTS}))
    (installation.prefix / "share").mkdir()
    outside = {"bin/alpha-tool": "#!x\n", "bin/plain.sh": f"#!{installation.python}\nprint(1)\n", "share/note": "data"}
    with open(installation.site / "alpha-1.0.dist-info/RECORD", "a") as record:
        for name, text in outside.items():
            (installation.prefix / name).write_text(text)
            record.write(f"../../../{name},,\n")
        record.write("../../../../../etc/passwd,,\n/etc/passwd,,\n")
    _, data = store(plan(installation, pin_of(installation, subject)), tmp_path)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [name for name in archive.namelist() if ".data/" in name]
        assert names == ["alpha-1.0.data/data/share/note", "alpha-1.0.data/scripts/plain.sh"]
        assert archive.read("alpha-1.0.data/scripts/plain.sh") == b"#!python\nprint(1)\n"


def test_an_edited_file_comes_along_as_it_is(
    installation: Installation, subject: Callable[..., Subject], tmp_path: Path
) -> None:
    installation.install(make_wheel("alpha", "1.0"))
    pin = pin_of(installation, subject)
    (installation.site / "alpha/__init__.py").write_text("version = 'edited'\n")
    _, data = store(plan(installation, pin), tmp_path)
    assert zipfile.ZipFile(io.BytesIO(data)).read("alpha/__init__.py") == b"version = 'edited'\n"


def test_what_cannot_be_made_again_says_why(installation: Installation, subject: Callable[..., Subject]) -> None:
    installation.install(make_wheel("alpha", "1.0"))
    pin = pin_of(installation, subject)
    with pytest.raises(NotVendored, match="something else"):
        plan(installation, pin._replace(record="0" * 64))
    with pytest.raises(NotVendored, match="no WHEEL"):
        plan(installation, pin._replace(tags=frozenset()))
    (installation.site / "alpha/__init__.py").unlink()
    with pytest.raises(NotVendored, match="No such file"):
        plan(installation, pin)
    (installation.site / "alpha/__init__.py").symlink_to("/dev/zero")
    with pytest.raises(NotVendored, match="is no file"):
        plan(installation, pin)
    with pytest.raises(NotVendored, match="cannot be found"):
        plan_wheel(pin, None)


def test_it_can_be_given_up(installation: Installation, subject: Callable[..., Subject], tmp_path: Path) -> None:
    installation.install(make_wheel("alpha", "1.0"))
    bundle = plan(installation, pin_of(installation, subject))
    with BlobStore(str(tmp_path)).session() as session, pytest.raises(GivenUp):
        store_wheel(bundle, session, str(tmp_path), lambda: True)


def test_small_ones_first_up_to_the_bound() -> None:
    bundles = [Bundle(Pin(name, "1"), name, [], b"", "", size) for name, size in (("a", 50), ("b", 10), ("c", 60))]
    fitting, beyond = choose(bundles, 60)
    assert [bundle.name for bundle in fitting] == ["b", "a"] and [bundle.name for bundle in beyond] == ["c"]


def test_tags_are_spelled_as_a_wheels_name_spells_them() -> None:
    assert compress_tags({"py2-none-any", "py3-none-any"}) == "py2.py3-none-any"
    assert compress_tags({"cp311-cp311-a", "cp312-cp312-a"}) == "cp311-cp311-a"
    assert compress_tags({"x/../y-none-any"}) is None and compress_tags(()) is None
