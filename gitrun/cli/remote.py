"""`gitrun remote`: which remotes there are, where their blobs go, and what they take."""

from __future__ import annotations

from typing import Annotated

import typer

from gitrun.archive.archive import Archive
from gitrun.archive.harmless import harmless
from gitrun.cli.common import JSON_HELP, open_archive, print_json
from gitrun.errors import UsageError
from gitrun.git.transport import default_remote, open_remote, redacted, remote_names
from gitrun.monitor import SILENT
from gitrun.remote.checking import FAIL, check_remote
from gitrun.remote.known import Known, runs_in
from gitrun.remote.stores.opening import check_url, key_of, store_url
from gitrun.remote.stores.protocol import shown
from gitrun.ui.checks import print_checks
from gitrun.ui.table import Cell, print_lines, print_table
from gitrun.ui.terminal import stderr, stdout

INSIDE = "inside Git"
_URL_HELP = "file:///DIRECTORY, s3://BUCKET/PREFIX (gs://, abfs://), or git for inside Git."


def register(app: typer.Typer) -> None:
    """Add `remote` and what is below it to the application."""
    family = typer.Typer(add_completion=False, rich_markup_mode=None)
    family.callback(invoke_without_command=True)(remote)
    family.command("add")(add)
    family.command("set-store")(set_store)
    family.command("check")(check)
    app.add_typer(family, name="remote")


def remote(context: typer.Context, json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False) -> None:
    """Which remotes there are, how many runs each has, and where the blobs of its runs go.

    Nobody is asked: what a remote has is what was seen of it last.
    """
    if context.invoked_subcommand is not None:
        return
    with open_archive(tidy=False) as archive:
        rows = [_row(archive, name) for name in remote_names(archive.repo)]
    if json:
        print_json([dict(zip(("name", "url", "runs", "store"), row, strict=True)) for row in rows])
        return
    screen = stdout()
    texts = [[harmless(str("" if cell is None else cell)) for cell in row] for row in rows]
    if not rows:
        stderr().line("gitrun: this repository has no remote, next: gitrun remote add origin URL")
    elif screen.is_terminal:
        print_table(screen, ("remote", "url", "runs", "store"), [[Cell(text) for text in row] for row in texts])
    else:
        print_lines(screen, texts)


def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is to be called, such as origin.")],
    url: Annotated[str, typer.Argument(metavar="URL", help="The address of a Git repository.")],
    store: Annotated[str | None, typer.Option("--store", metavar="URL", help=f"Where blobs go: {_URL_HELP}")] = None,
) -> None:
    """Add a Git remote, as `git remote add` does, and say where the blobs of its runs go."""
    with open_archive(tidy=False) as archive:
        if store is not None:
            _check(store)
        archive.repo.run(["remote", "add", "--", name, url])
        if store is not None:
            _set(archive, name, store)
    stderr().line(f"gitrun: {harmless(name)} was added, next: gitrun push {harmless(name)}")


def set_store(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A remote, such as origin.")],
    url: Annotated[str, typer.Argument(metavar="URL", help=_URL_HELP)],
) -> None:
    """Say where the blobs of a remote's runs go: a directory, an object store, or inside Git.

    It is kept in this clone's Git configuration (`remote.<name>.gitrun-store`), and each clone says it for itself.
    What was sent to another place before stays there, and is found there only if that was inside Git. Keys come from
    where every tool takes them: AWS_* variables, ~/.aws. A server of one's own is named in the URL:
    s3://bucket/runs?endpoint_override=HOST:PORT&scheme=http.
    """
    with open_archive(tidy=False) as archive:
        if name not in remote_names(archive.repo):
            raise UsageError(f"there is no remote {harmless(name)!r}", next="gitrun remote add NAME URL")
        _check(url)
        _set(archive, name, url)
    where = INSIDE if url == "git" else shown(url)
    stderr().line(
        f"gitrun: blobs of {harmless(name)} go to {harmless(where)}, next: gitrun remote check {harmless(name)}"
    )


def check(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A remote; else the one push takes.")] = None,
    json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False,
) -> None:
    """Find out what a remote takes, by trying: whether it answers, lets runs and packs in, and gives them back.

    A pack of a few thousand bytes is put there, read back and removed again. Exit status 1 where something does not
    work.
    """
    with open_archive(tidy=False) as archive:
        asked = open_remote(archive.repo, name or default_remote(archive.repo), archive.environ)
        findings = list(check_remote(archive, asked, SILENT))
    if json:
        print_json([finding._asdict() for finding in findings])
    else:
        print_checks(stdout(), findings)
    if any(finding.state == FAIL for finding in findings):
        raise typer.Exit(1)


def _check(url: str) -> None:
    if url != "git":
        check_url(url)


def _set(archive: Archive, name: str, url: str) -> None:
    if url != "git":
        archive.repo.run(["config", "--local", key_of(name), url])
    elif store_url(archive, name) is not None:
        archive.repo.run(["config", "--local", "--unset-all", key_of(name)])


def _row(archive: Archive, name: str) -> tuple[str, str, int | None, str]:
    url = archive.repo.config.get(f"remote.{name}.url") or archive.repo.config.get(f"remote.{name}.pushurl") or ""
    known = Known(archive.gitrun_dir, open_remote(archive.repo, name, archive.environ).key)
    store = store_url(archive, name)
    return (
        name,
        redacted(url),
        len(runs_in(known.refs())) if known.is_there else None,
        shown(store) if store else INSIDE,
    )
