"""Which repository we are in, and whether it is one that gitrun may and can work with.

`discovery` and `configfile` follow Git's rules and cost a tenth of asking git, which counts on the
way to every command. Git itself (`git rev-parse` and `git config`, side by side) is asked where it
knows more: before a refusal, and where its configuration may lie in other places than these.
A feature that gitrun does not know is refused here, once, and never guessed about.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gitrun.errors import GitrunError, NotARepository, UnsafeRepository, UnsupportedRepository
from gitrun.git import discovery
from gitrun.git.config import Config, parse_list
from gitrun.git.configfile import read_config
from gitrun.git.executable import Argument, Git, Running, clean_environment, failure, find_git
from gitrun.git.hashing import RAW_BYTES

_KNOWN_EXTENSIONS = frozenset(
    {
        *("noop", "noop-v1", "preciousobjects", "partialclone", "worktreeconfig", "relativeworktrees"),
        *("objectformat", "refstorage"),  # checked by their values
    }
)
# Where distributions install git, which is where /etc/gitconfig is its system-wide configuration.
_DISTRIBUTION = ("/usr/bin", "/bin")
_ASKED = ("--is-bare-repository", "--absolute-git-dir", "--git-common-dir", "--git-path", "objects")


class Repository(NamedTuple):
    """A repository, as seen from one of its working trees; directories are absolute."""

    worktree: str | None
    git_dir: str
    common_dir: str
    objects_dir: str
    object_format: str
    git: Git | None
    config: Config
    environ: Mapping[str, str]

    @property
    def hash_len(self) -> int:
        """Bytes of a raw object id."""
        return RAW_BYTES[self.object_format]

    @property
    def is_shallow(self) -> bool:
        """Whether history was cut off when this was cloned."""
        return os.path.exists(os.path.join(self.common_dir, "shallow"))

    @property
    def ref_storage(self) -> str:
        """How refs are kept: "files" or "reftable"."""
        return (self.config.get("extensions.refstorage") or "files").partition(":")[0].lower()

    @property
    def extensions(self) -> frozenset[str]:
        """The names of the repository's extensions, lower-case."""
        return frozenset(key.partition(".")[2] for key in self.config.keys("extensions."))

    def gitrun_dir(self, environ: Mapping[str, str]) -> str:
        """Where the part of the archive that is not Git lives: GITRUN_DIR, else inside the common Git directory."""
        return os.path.abspath(environ.get("GITRUN_DIR") or os.path.join(self.common_dir, "gitrun"))

    def environment(self, **extra: str) -> dict[str, str]:
        """The environment for a git that works on this repository and no other."""
        env = clean_environment(self.environ)
        env["GIT_DIR"] = self.git_dir
        if self.worktree is not None:
            env["GIT_WORK_TREE"] = self.worktree
        if "GIT_COMMON_DIR" in self.environ:
            env["GIT_COMMON_DIR"] = self.common_dir
        if "GIT_OBJECT_DIRECTORY" in self.environ:
            env["GIT_OBJECT_DIRECTORY"] = self.objects_dir
        env.update(extra)
        return env

    def require_git(self, what: str) -> Git:
        """The git executable; raises UnsupportedRepository naming `what` needs it."""
        if self.git is None:
            raise UnsupportedRepository(f"{what} needs a git executable, and there is none", next="install git")
        return self.git

    def start(self, args: Sequence[Argument], *, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Running:
        """Start git on this repository, at the top of the working tree; `env` adds to `environment()`."""
        git = self.require_git(f"git {os.fsdecode(args[0])}")
        return git.start(args, cwd=self.worktree or self.git_dir, stdin=stdin, env=self.environment(**(env or {})))

    def run(
        self,
        args: Sequence[Argument],
        *,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> bytes:
        """What git says on stdout; raises GitFailed unless `check` is false."""
        return self.start(args, stdin=stdin, env=env).result(check)


def discover(start: str, git: Git | None, environ: Mapping[str, str], *, bare_ok: bool = False) -> Repository:
    """The repository around the directory `start`, or the one GIT_DIR and GIT_WORK_TREE name.

    Raises NotARepository, UnsafeRepository (safe.directory), or UnsupportedRepository for a feature
    gitrun does not know and, unless `bare_ok`, where there is no working tree.
    """
    start = os.path.abspath(start)
    repo = _find(start, git, environ)
    _check_supported(repo)
    if repo.worktree is None and not bare_ok:
        raise UnsupportedRepository(
            f"{repo.git_dir} has no working tree here, so there are no files to record",
            next="run this in a working tree (git worktree add)",
        )
    return repo


def archive_of(repo: Repository | None, environ: Mapping[str, str], *, git: Git | None = None) -> Repository:
    """The repository whose refs/gitrun/ hold the runs: GITRUN_ARCHIVE, else `repo`; raises NotARepository."""
    place = environ.get("GITRUN_ARCHIVE")
    if not place:
        if repo is None:
            raise NotARepository("there is no Git repository here", next="git init")
        return repo
    git = repo.git if repo is not None else git or find_git(environ)
    try:
        return discover(place, git, clean_environment(environ), bare_ok=True)
    except NotARepository as problem:
        raise NotARepository(f"GITRUN_ARCHIVE: {problem}", next="unset GITRUN_ARCHIVE") from problem


def _find(start: str, git: Git | None, environ: Mapping[str, str]) -> Repository:
    if git is None:
        return _by_search(start, None, environ)
    if "GIT_CONFIG_PARAMETERS" in environ or os.path.dirname(os.path.realpath(git.path)) not in _DISTRIBUTION:
        return _by_git(start, git, environ)
    try:
        return _by_search(start, git, environ)
    except GitrunError:
        return _by_git(start, git, environ)  # a refusal is Git's to make, and it has the words for it


def _by_git(start: str, git: Git, environ: Mapping[str, str]) -> Repository:
    if not os.path.isdir(start):
        raise NotARepository(f"{start} is no directory")
    env = {name: value for name, value in environ.items() if name not in ("GIT_INDEX_FILE", "GIT_PREFIX")}
    env.update(LANGUAGE="en", GIT_OPTIONAL_LOCKS="0")
    asked = git.start(["rev-parse", *_ASKED, "--show-toplevel"], cwd=start, env=env)
    listed = git.start(["config", "--list", "-z"], cwd=start, env=env)
    places, settings = asked.finish(), listed.finish()
    lines = places.out.decode("utf-8", "surrogateescape").split("\n")[:-1]
    if len(lines) < 4:
        raise _refusal(start, failure(["rev-parse"], places))
    if len(lines) > 5:  # a newline in a directory's name: ask one by one
        lines = [_ask(git, start, env, question) for question in (*_ASKED[:3], _ASKED[3:], "--show-toplevel")]
    if settings.code != 0:
        raise failure(["config"], settings)
    config = parse_list(settings.out)
    bare, git_dir, common_dir, objects_dir = lines[:4]
    worktree = lines[4] if len(lines) == 5 and lines[4] and bare == "false" else None
    return Repository(
        worktree,
        git_dir,
        os.path.realpath(os.path.join(start, common_dir)),
        os.path.realpath(os.path.join(start, objects_dir)),
        _object_format(config),
        git,
        config,
        environ,
    )


def _ask(git: Git, start: str, env: Mapping[str, str], question: str | tuple[str, ...]) -> str:
    words = (question,) if isinstance(question, str) else question
    answer = git.run(["rev-parse", *words], cwd=start, env=env, check=False)
    return answer.decode("utf-8", "surrogateescape").removesuffix("\n")


def _refusal(start: str, problem: Exception) -> Exception:
    words = str(problem)
    if isinstance(problem, UnsafeRepository):
        return problem
    if "not a git repository" in words:
        return NotARepository(f"there is no Git repository around {start}", next="git init")
    if "extension" in words or "repo version" in words or "safe.bareRepository" in words:
        return UnsupportedRepository(words)
    return problem


def _by_search(start: str, git: Git | None, environ: Mapping[str, str]) -> Repository:
    place = discovery.search(start, environ)
    config = read_config(place.git_dir, place.common_dir, environ, strict=git is not None)
    objects_dir = environ.get("GIT_OBJECT_DIRECTORY") or os.path.join(place.common_dir, "objects")
    return Repository(
        discovery.worktree_of(place, config, environ),
        place.git_dir,
        place.common_dir,
        os.path.realpath(os.path.join(start, objects_dir)),
        _object_format(config),
        git,
        config,
        environ,
    )


def _object_format(config: Config) -> str:
    name = (config.get("extensions.objectformat") or "sha1").lower()
    if name not in RAW_BYTES:
        raise UnsupportedRepository(f"object format {name!r} is not one gitrun knows (sha1, sha256)")
    return name


def _check_supported(repo: Repository) -> None:
    if unknown := sorted(repo.extensions - _KNOWN_EXTENSIONS):
        raise UnsupportedRepository(f"{repo.common_dir} uses an extension gitrun does not know: {', '.join(unknown)}")
    if (version := repo.config.get_int("core.repositoryformatversion")) > 1:
        raise UnsupportedRepository(f"{repo.common_dir} has repository format {version}; gitrun knows 0 and 1")
    if repo.ref_storage not in ("files", "reftable"):
        raise UnsupportedRepository(f"{repo.common_dir} keeps its refs in an unknown way: {repo.ref_storage!r}")
    if repo.ref_storage == "reftable":
        repo.require_git("a repository with reftable refs")
