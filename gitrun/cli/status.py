"""`gitrun status`: what is running, what exists only here, what needs attention."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gitrun.archive.archive import Archive
from gitrun.archive.harmless import harmless
from gitrun.archive.run import Run
from gitrun.cli.common import JSON_HELP, open_archive, print_json
from gitrun.model.ids import short
from gitrun.model.listing import plural
from gitrun.remote.known import only_here
from gitrun.ui.terminal import Screen, stdout
from gitrun.ui.words import duration


def register(app: typer.Typer) -> None:
    """Add `status` to the application."""
    app.command("status")(status)


def status(json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False) -> None:
    """Show what is running and what needs attention.

    Which runs are running, how many exist only in this clone, what was left behind or is damaged. No remote is asked:
    what one holds is what the last `gitrun push` or `gitrun fetch` has seen of it.
    A run is `running` until it is proved dead; one on another machine shows that machine's name
    and how long ago it was last heard of.
    """
    with open_archive() as archive:
        report = survey(archive)
    if json:
        print_json(report)
    else:
        _page(stdout(), report)


def survey(archive: Archive) -> dict[str, Any]:
    """The state of an archive: `{running, sealed, only_here, leftovers, problems}`."""
    live = archive.live_runs()
    runs = list(archive.newest_first())
    sealed = sum(1 for run in runs if not run.is_live)
    return {
        "running": [_running(run) for run in live],
        "sealed": sealed,
        "only_here": len(only_here(archive.repo, archive.gitrun_dir, (run.id for run in runs if not run.is_live))),
        "leftovers": archive.live_leftovers(),
        "problems": [*_run_problems(runs), *_foreign(archive)],
    }


def _running(run: Run) -> dict[str, Any]:
    summary = run.summary
    return {"id": run.id, "name": summary.name, "command": summary.command, "liveness": run.liveness}


def _run_problems(runs: list[Run]) -> list[dict[str, Any]]:
    return [
        {"code": run.problem.code, "where": f"run {run.id}", "what": run.problem.what, "runs": [run.id]}
        for run in runs
        if run.problem is not None
    ]


def _foreign(archive: Archive) -> list[dict[str, Any]]:
    return [
        {"code": "W013", "where": ref.name, "what": f"not a run ({ref.why}), left alone", "runs": []}
        for ref in archive.foreign_refs()
    ]


def _page(screen: Screen, report: dict[str, Any]) -> None:
    screen.line(f"{plural(len(report['running']), 'run')} running")
    for run in report["running"]:
        screen.line(f"  {screen.style(short(run['id']), 'bold')}  {_last_heard(run['liveness'])}  {run['command']}")
    screen.line(f"{plural(report['sealed'], 'run')} sealed; {report['only_here']:,} of them only in this clone")
    if report["leftovers"]:
        count = len(report["leftovers"])
        screen.line(f"{count} sealed, its live directory left over; next: gitrun recover")
    if report["problems"]:
        screen.line(screen.style(plural(len(report["problems"]), "problem"), "red"))
    for problem in report["problems"]:
        screen.line(f"  {problem['code']} {harmless(problem['where'])}: {harmless(problem['what'])}")


def _last_heard(liveness: dict[str, Any]) -> str:
    host = harmless(liveness["host"] or "unknown host")
    age = liveness["heartbeat_age_s"]
    return f"on {host}" + ("" if age is None else f", heard of {duration(age)} ago")
