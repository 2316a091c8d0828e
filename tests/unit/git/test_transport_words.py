"""What is a remote, which one is meant, and what a failure means."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitrun.errors import RemoteFailed, UsageError
from gitrun.git.transport import default_remote, is_address, key_of, open_remote, redacted, remote_names, trouble
from gitrun.git.transport_git import _reaches_gitrun, _result
from tests.git_support import git, init, opened


@pytest.mark.parametrize(
    "text", ["https://h/r.git", "ssh://u@h:22/r", "file:///r", "git@h:team/r.git", "/abs/r.git", "./r", "../r.git"]
)
def test_addresses(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize(
    "text", ["origin", "k3v9tq", "@", "@~2", "@best:max:acc", "tag:best", "metrics.'val/acc' > 1", "lr == 0.1", "a/b"]
)
def test_runs_are_no_addresses(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not is_address(text)


def test_no_word_becomes_an_option_of_git(tmp_path: Path) -> None:
    repo = opened(init(tmp_path / "r"))
    for text in ("--upload-pack=touch x", "-x", "", "nosuch"):
        with pytest.raises(UsageError):
            open_remote(repo, text, {})


def test_passwords_are_in_no_message_and_no_key() -> None:
    assert redacted("https://u:p@h/r.git") == "https://h/r.git"
    assert key_of("https://u:p@h/r.git") == key_of("https://h/r.git/") != key_of("https://h/s.git")
    assert "hunter2" not in trouble("o", "fatal: unable to access 'https://me:hunter2@h/r/': no", "again").message


def test_the_remote_that_git_would_push_to(tmp_path: Path) -> None:
    root = init(tmp_path / "r")
    with pytest.raises(RemoteFailed, match="no remote"):
        default_remote(opened(root))
    git("remote", "add", "one.two", "../x", cwd=root)
    assert default_remote(opened(root)) == "one.two"
    git("remote", "add", "b", "../y", cwd=root)
    assert remote_names(opened(root)) == ["b", "one.two"]
    with pytest.raises(RemoteFailed, match="which remote"):
        default_remote(opened(root))
    git("remote", "add", "origin", "../z", cwd=root)
    assert default_remote(opened(root)) == "origin"
    git("config", "branch.main.remote", "b", cwd=root)
    assert default_remote(opened(root)) == "b"
    git("config", "remote.pushDefault", "one.two", cwd=root)
    assert default_remote(opened(root)) == "one.two"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("ssh: connect to host h port 22: Connection refused", "cannot be reached"),
        ("fatal: unable to access 'https://h/': Could not resolve host: h", "cannot be reached"),
        ("git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.", "does not let us in"),
        ("fatal: could not read Username for 'https://h': terminal prompts disabled", "does not let us in"),
        ("error: insufficient permission for adding an object to repository database", "cannot be written"),
        ("remote: fatal: write error: No space left on device", "no room"),
        ("remote: error: File x is 120.00 MB; this exceeds GitHub's file size limit", "no room"),
        ("fatal: '/x' does not appear to be a git repository", "no repository at"),
        ("fatal: the remote end hung up unexpectedly", "cut off"),
        ("fatal: early EOF\nfatal: index-pack failed", "cut off"),
        ("fatal: something new", "something new"),
    ],
)
def test_what_a_failure_means(words: str, said: str) -> None:
    problem = trouble("origin", words, "gitrun push origin")
    assert said in problem.message and problem.kept and problem.next


@pytest.mark.parametrize(
    ("flag", "summary", "state"),
    [
        ("*", "[new reference]", "done"),
        ("=", "[up to date]", "there"),
        ("!", "[rejected] (stale info)", "taken"),
        ("!", "[rejected] (non-fast-forward)", "taken"),
        ("!", "[remote rejected] (failed to update ref)", "taken"),
        ("!", "[remote rejected] (pre-receive hook declined)", "failed"),
    ],
)
def test_how_a_ref_fared(flag: str, summary: str, state: str) -> None:
    assert _result("refs/gitrun/runs/x", flag, summary).state == state


def test_refspecs_that_would_write_over_our_refs() -> None:
    assert _reaches_gitrun("refs/*") and _reaches_gitrun("refs/gitrun/*") and _reaches_gitrun("refs/gitrun/runs/*")
    assert not _reaches_gitrun("refs/remotes/origin/*") and not _reaches_gitrun("")
