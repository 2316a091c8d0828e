"""`gitrun env`: the environment of a run, described, or made again in a directory of its own."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from gitrun.archive.harmless import harmless
from gitrun.archive.selectors import resolve
from gitrun.cli.common import JSON_HELP, RUN_HELP, open_archive, print_json
from gitrun.errors import GitrunError, UsageError
from gitrun.model.ids import short
from gitrun.model.listing import plural
from gitrun.remote.reach import Reach
from gitrun.replay.environments import create, describe_environment
from gitrun.ui.terminal import Screen, stderr, stdout
from gitrun.ui.words import lock_words

ALLOW_HELP = "Also take same-version: another build of the same Python, or wheels that cannot be compared."
_CREATE_HELP = "Build it in this new or empty directory, and print that directory alone."


def register(app: typer.Typer) -> None:
    """Add `env` to the application."""
    app.command("env")(env)


def env(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)],
    directory: Annotated[str | None, typer.Option("--create", metavar="DIR", help=_CREATE_HELP)] = None,
    allow: Annotated[str | None, typer.Option("--allow", metavar="LEVEL", help=ALLOW_HELP)] = None,
    json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False,
) -> None:
    """Say what a run's environment is and whether it can be had here, or build it.

    It is built from the run's lockfile and the wheels in the store, by uv or pip, on the same build of Python, and
    every file of it is verified. A replay does the same, and keeps what it built in your cache directory; `gitrun gc`
    takes away what no replay has used for 30 days.
    """
    check_allow(allow)
    with open_archive() as archive:
        found = resolve(archive, run)
        if directory is None:
            described = describe_environment(archive, found)
            if json:
                print_json(described)
            else:
                _print(stdout(), found.id, described)
            return
        with Reach(archive, archive.monitor) as reach:
            reach.source(found, environment=True)
            built = create(archive, found, directory, allow=allow, monitor=archive.monitor)
    if built is None or built.directory is None:
        what = f"the program of run {found.id} was no Python, so there is no environment to build"
        raise GitrunError(what, next=f"gitrun show {short(found.id)}")
    tell(built.level, built.notes)
    stdout().data(os.fsencode(built.directory) + b"\n")


def check_allow(allow: str | None) -> None:
    """Raises UsageError for a level that a directory cannot be made at."""
    if allow not in (None, "same-version"):
        what = f"--allow {allow}: an environment that is made is of the same-version or better"
        raise UsageError(what, next="gitrun env --help")


def tell(level: str, notes: tuple[str, ...]) -> None:
    """How near a built environment is to the recorded one."""
    stderr().line(f"gitrun: the environment is of the {level}")
    for note in notes:
        stderr().line(f"gitrun: {harmless(note)}")


def _print(screen: Screen, run_id: str, said: dict[str, Any] | None) -> None:
    if said is None:
        screen.line(f"{run_id}  no Python program; there is no environment to have again")
        return
    python, lock = said["python"], said["lock"]
    count = plural(said["distributions"], "distribution")
    conda = f", {plural(said['conda'], 'conda package')}" if said["conda"] else ""
    lines = [
        ("python", f"{python.get('implementation')} {python.get('version')}"),
        ("packages", f"{count}{conda}"),
        ("digest", said["digest"]),
        ("lock", lock_words(lock)),
    ]
    if said["editable"]:
        lines.append(("editable", ", ".join(said["editable"])))
    if said["available"] is not None:
        exact = "" if said["available"] == said["level"] else f" ({said['level']})"
        where = f", {said['directory']}" if said["available"] != "can be built" else ""
        lines.append(("here", f"{said['available']}{exact}{where}"))
    if said["reason"]:
        lines.append(("not built", said["reason"]))
    if said["available"] == "can be built":
        lines.append(("next", f"gitrun env {short(run_id)} --create DIR"))
    elif said["next"] and said["available"] is None:
        lines.append(("next", said["next"]))
    screen.line(run_id)
    for name, text in lines:
        screen.line(f"  {name:<10} {harmless(str(text))}")
