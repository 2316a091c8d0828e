"""What a repeated command finds around it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitrun.replay.surroundings import Move, interpreter_of, surroundings


@pytest.fixture
def move(tmp_path: Path) -> Move:
    (tmp_path / "checkout" / "src").mkdir(parents=True)
    (tmp_path / "checkout" / "train.py").write_text("")
    return Move("/work/repo", str(tmp_path / "checkout"))


@pytest.mark.parametrize(
    ("word", "moved"),
    [
        ("/work/repo/train.py", "{}/train.py"),
        ("--script=/work/repo/train.py", "{}/train.py"),
        ("/work/repo", "{}"),
        ("/work/repo/.venv/bin/python", None),
        ("/work/repo-other/train.py", None),
        ("train.py", None),
        ("/work/repo/train.py.bak", None),
    ],
)
def test_words_that_name_the_source_are_moved(move: Move, tmp_path: Path, word: str, moved: str | None) -> None:
    wanted = word if moved is None else moved.format(tmp_path / "checkout")
    assert move.word(word).removeprefix("--script=") == wanted


def test_search_paths_are_moved_part_by_part(move: Move, tmp_path: Path) -> None:
    moved = move.variable("/work/repo/src:/opt/lib:/work/repo/build")
    assert moved == f"{tmp_path}/checkout/src:/opt/lib:/work/repo/build"


def test_without_a_recorded_worktree_nothing_moves() -> None:
    for worktree in (None, "/"):
        assert Move(worktree, "/tmp/x").word("/etc/passwd") == "/etc/passwd"


def around(recorded: dict[str, str], environ: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    made = surroundings(["true"], recorded, environ, (), Move(None, "/x"))
    return made.variables, made.missing_secrets


def test_recorded_settings_replace_the_present_ones_and_absent_ones_are_removed() -> None:
    variables, missing = around(
        {"OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "0", "SLURM_JOB_ID": "7"},
        {"OMP_NUM_THREADS": "8", "PYTHONPATH": "/late", "HOME": "/home/me", "MY_OWN": "kept", "SLURM_JOB_ID": "9"},
    )
    assert variables == {
        "OMP_NUM_THREADS": "2",
        "PYTHONHASHSEED": "0",
        "HOME": "/home/me",
        "MY_OWN": "kept",
        "SLURM_JOB_ID": "9",
    }
    assert missing == []


def test_git_is_not_pointed_at_the_users_repository() -> None:
    mine = {"GIT_DIR": "/r/.git", "GIT_INDEX_FILE": "/r/i", "GITRUN_RUN_ID": "x", "GIT_EDITOR": "vi"}
    variables, _ = around({}, mine)
    assert variables == {"GIT_EDITOR": "vi"}


def test_secrets_are_asked_from_the_environment() -> None:
    made = surroundings(
        ["train", "--token=<secret:HF_TOKEN>", "x<secret:OTHER>y"], {}, {"HF_TOKEN": "hunter22"}, (), Move(None, "/x")
    )
    assert made.command == ["train", "--token=hunter22", "x<secret:OTHER>y"]
    assert made.missing_secrets == ["OTHER"]
    assert made.notes == []


def test_a_virtual_environment_beside_the_source_is_used_where_it_is(tmp_path: Path) -> None:
    old, new = tmp_path / "repo", tmp_path / "checkout"
    (old / ".venv" / "bin").mkdir(parents=True)
    new.mkdir()
    (old / ".venv" / "bin" / "python").symlink_to("/bin/sh")
    (old / "tool").symlink_to("/bin/sh")
    program = [".venv/bin/python", "train.py"]
    assert interpreter_of(program, str(new), str(old)) is None
    (old / ".venv" / "pyvenv.cfg").write_text("")
    assert interpreter_of(program, str(new), str(old)) == str(old / ".venv" / "bin" / "python")
    assert interpreter_of(["./tool"], str(new), str(old)) is None
    assert interpreter_of(["python"], str(new), str(old)) is None
    assert interpreter_of(program, str(new), None) is None
