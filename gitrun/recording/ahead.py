"""What sealing may need, loaded while the command still runs: then nobody waits for it.

A run that ends at once loads of this what it has something to tell for. Arrow is not among it: it is large, and what
takes so much memory is not kept for hours beside a command.
"""

from collections.abc import Iterator
from importlib import import_module

MODULES = (
    "archive.traces capture.edited_loaded capture.exposed capture.inputs capture.native capture.processes "
    "recording.actual_environment recording.bugs recording.claiming recording.configuring recording.exposing "
    "recording.logged recording.measuring recording.remembering recording.seal recording.storing_inputs "
    "recording.storing_outputs recording.surveying recording.system_series store.blobs ui.words"
).split()


def loading() -> Iterator[None]:
    """Loads them, and stops before each of them: its user goes on as long as the command has not ended."""
    for name in MODULES:
        yield
        import_module(f"gitrun.{name}")
