"""Would a recording that is started here work, all of it? Tried, before a job waits in a queue for it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from gitrun.doctor.archive import Heard
from gitrun.doctor.check import WARN, Check, examine, is_well
from gitrun.doctor.place import Place, find_place, on_problem, repository, space, writable
from gitrun.doctor.settings import settings_in_force
from gitrun.doctor.trial import try_recording
from gitrun.doctor.verdicts import judge
from gitrun.monitor import SILENT, Monitor


def examine_recording(start: str, environ: Mapping[str, str], monitor: Monitor = SILENT) -> list[Check]:
    """Try all that a recording needs, for a command started in the directory `start`.

    A trial recording is only made where the place takes one. Raises what `gitrun record` would refuse.
    """
    place = find_place(start, environ)
    had_home = os.path.isdir(place.gitrun_dir)
    try:
        return _examine(place, start, monitor)
    finally:
        if not had_home:
            _remove_empty(os.path.join(place.gitrun_dir, "live"), place.gitrun_dir)


def _examine(place: Place, start: str, monitor: Monitor) -> list[Check]:
    checks = examine(
        [
            ("repository", lambda: repository(place)),
            ("settings", lambda: settings_in_force(place.repo, place.settings)),
            ("archive", lambda: writable(place)),
            ("space", lambda: space(place)),
            ("trouble", lambda: on_problem(place)),
        ]
    )
    if is_well(checks):
        with monitor.task("a trial recording"):
            checks += examine([("recording", lambda: _trial(place, start))])
    return checks


def _trial(place: Place, start: str) -> list[Check]:
    heard = Heard()
    checks = list(judge(try_recording(place, start, heard)))
    return checks + [Check("recording", WARN, warning) for warning in heard.warnings]


def _remove_empty(*directories: str) -> None:
    for directory in directories:
        try:
            os.rmdir(directory)
        except OSError:
            return  # the archive has come to life meanwhile
