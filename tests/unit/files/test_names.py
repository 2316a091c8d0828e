import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitrun.errors import HostilePath
from gitrun.files.names import check_component, check_path

HOSTILE = [
    b"", b".", b"..", b"a\0b", b"a/b", b"x" * 256,
    b".git", b".GIT", b".gIt", b".git.", b".git ", b".git . .", b".git::$INDEX_ALLOCATION", b".git:x",
    b"git~1", b"GIT~1", b"git~1.", b"git~1:x", b".git\\config", b"a\\.git", b"a\\.GIT \\b", b"git~1\\x",
    ".g\u200cit".encode(), ".\ufeffgit".encode(), "\u206a.git".encode(), ".git\u202e".encode(), ".GI\u200dT".encode(),
]  # fmt: skip
FINE = [
    b"a", b"-", b".gitignore", b".gitmodules", b".github", b"git", b"git~2", b"gitx", b"a.git", b"...", b"a..b",
    b"\xff\xfe", "é".encode(), "\u200c.gitx".encode(), b"a\\b", b"..\\x", b"CON", b"nul.txt", b"a:b", b"a ", b"a.",
    b"x" * 255, b"\n", b"-rf", b"~", b"$(x)",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused_everywhere(name: bytes) -> None:
    for system in ("linux", "darwin", "win32"):
        with pytest.raises(HostilePath):
            check_component(name, system)


@pytest.mark.parametrize("name", FINE)
def test_ordinary_names_of_linux_are_taken_there(name: bytes) -> None:
    check_component(name, "linux")


@pytest.mark.parametrize(
    "name",
    [
        b"CON",
        b"con.txt",
        b"Nul ",
        b"com1",
        b"LPT9.x",
        b"CONIN$",
        b"a:b",
        b"a\\b",
        b"a?",
        b"a ",
        b"a.",
        b"\x01",
        b"\xff",
    ],
)
def test_names_that_windows_cannot_hold_are_refused_there(name: bytes) -> None:
    with pytest.raises(HostilePath, match="Windows"):
        check_component(name, "win32")


def test_macos_holds_only_utf8() -> None:
    check_component("é".encode(), "darwin")
    with pytest.raises(HostilePath, match="macOS"):
        check_component(b"\xff", "darwin")


@pytest.mark.parametrize(
    "path", [b"/a", b"a/", b"a//b", b"a/../b", b"../a", b"a/.git/hooks/x", b"/".join([b"a"] * 2100)]
)
def test_hostile_paths_are_refused(path: bytes) -> None:
    with pytest.raises(HostilePath):
        check_path(path, "linux")


def test_a_message_shows_no_control_characters() -> None:
    with pytest.raises(HostilePath) as caught:
        check_path(b"\x1b[2J\n/..", "linux")
    assert str(caught.value).isprintable()


@given(st.binary(min_size=1, max_size=12))
def test_no_accepted_name_is_a_disguised_git_directory(name: bytes) -> None:
    try:
        check_component(name, "linux")
    except HostilePath:
        return
    assert b"/" not in name and b"\0" not in name and name not in (b".", b"..")
    assert name.lower().rstrip(b". ").partition(b":")[0].rstrip(b". ") not in (b".git", b"git~1")
