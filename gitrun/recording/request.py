"""What is asked of the recorder, and what it answers: plain values, so that the command line and replays share them."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.recording.console import collect, read_stream

if TYPE_CHECKING:
    from gitrun.capture.snapshot import Snapshot
    from gitrun.recording.watching import Running


class Earlier(NamedTuple):
    """The run that a new one goes on from, and the `source` of its record."""

    run_id: str
    source: dict[str, Any]


class Join(NamedTuple):
    """The run to be a member of: its key, how many members there will be, the rank of this one; None: not known."""

    key: str
    members: int | None = None
    rank: int | None = None


class Started(NamedTuple):
    """A run whose command starts now: its id and how many files of its source differ from the base.

    `member` is its number in a run of several. `resumes` is the run that it goes on from, `drift` the files of its
    source that differ from that one's; None where that cannot be told.
    """

    run_id: str
    changes: int
    member: int = 0
    resumes: str | None = None
    drift: list[str] | None = None


class Finished(NamedTuple):
    """A run whose command has ended, before it is sealed: its record so far, and its member's directory."""

    record: dict[str, Any]
    member: str

    def console(self) -> Iterator[tuple[int, int, bytes]]:
        """(stream, time_ns, bytes) of what the command wrote; stream 0 stands for bytes that were not kept."""
        return read_stream(b"".join(collect(self.member)))


class View(NamedTuple):
    """What the command sees that the recorder does not: `enter` runs in its process before it becomes the command.

    `seen` gives the name that a path of ours has in there, `pairs` all names that differ, as (seen there, real here).
    """

    enter: Callable[[], None]
    seen: Callable[[str], str]
    pairs: tuple[tuple[str, str], ...]


class RecordRequest(NamedTuple):
    """A command to record, and how.

    `workdir` is where the command runs when that is not the current directory, `worktree` the top of the files it
    runs in when that is not the worktree around us, `source` the snapshot it runs from when that is not to be taken
    now. `resume` is the run to go on from, as a user writes it, `earlier` that run once it is found. `inputs`,
    `outputs`, `keep` and `no_keep` are patterns, `metrics` files that the command writes. `variables` is its
    environment when that is not ours. `view` is what the command sees that we do not, `window` the size (rows,
    columns) of its pseudo-terminal when that is not the user's. `settings` are flags (key -> text). `owns_process`: the
    process exists for this run, so its descriptors may be given up. `watcher` is called in a thread of its own while
    the command runs.
    """

    command: list[bytes]
    name: str | None = None
    tags: tuple[str, ...] = ()
    note: str | None = None
    claims: tuple[str, ...] = ()
    group: str | None = None
    config_files: tuple[bytes, ...] = ()
    inputs: tuple[bytes, ...] = ()
    outputs: tuple[bytes, ...] = ()
    keep: tuple[bytes, ...] = ()
    no_keep: tuple[bytes, ...] = ()
    metrics: tuple[bytes, ...] = ()
    links: Mapping[str, str] = {}
    resume: str | None = None
    earlier: Earlier | None = None
    join: Join | None = None
    settings: Mapping[str, str] = {}
    view: View | None = None
    window: tuple[int, int] | None = None
    run_id: str | None = None
    id_file: str | None = None
    workdir: str | None = None
    worktree: str | None = None
    source: "Snapshot | None" = None
    variables: Mapping[str, str] | None = None
    terminal_mode: str | None = None
    owns_process: bool = False
    on_start: Callable[[Started], None] | None = None
    before_seal: Callable[[Finished], Mapping[str, bytes]] | None = None
    watcher: "Callable[[Running], None] | None" = None


class Recorded(NamedTuple):
    """A recorded run.

    `exit_code` is what the shell shall see. Not `sealed`: everything is in the live directory, `problem` says why.
    `failure` is the line for a command that could not be executed, `left_out_bytes` counts source the guards left out.
    """

    run_id: str
    exit_code: int
    status: str
    sealed: bool
    commit: str | None
    duration_s: float | None
    stored_bytes: int
    left_out_bytes: int
    failure: str | None = None
    problem: str | None = None
    others: int = 0  # members of the run that go on: the last of them seals it
