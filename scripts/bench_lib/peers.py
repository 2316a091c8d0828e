"""Programs that log the same three metrics with other means: each defines `log(values, step)`, and is timed by call."""

from __future__ import annotations

YARDSTICKS = {
    "JSON lines, flushed": """
import json
file = open("metrics.jsonl", "a")
def log(values, step):
    file.write(json.dumps({"step": step, "time": time.time(), **values}) + "\\n")
    file.flush()
""",
    "sqlite": """
import sqlite3
database = sqlite3.connect("metrics.db", isolation_level=None)
database.execute("pragma journal_mode=wal")
database.execute("pragma synchronous=off")
database.execute("create table points (name text, step integer, time real, value real)")
def log(values, step):
    now = time.time()
    database.execute("begin")
    database.executemany("insert into points values (?, ?, ?, ?)", [(n, step, now, v) for n, v in values.items()])
    database.execute("commit")
""",
}

# What to install, and the program.
PEERS = {
    "sacred": (
        "sacred setuptools<81",
        """
from sacred import Experiment
from sacred.observers import FileStorageObserver
experiment = Experiment("bench", save_git_info=False, interactive=True)
experiment.observers.append(FileStorageObserver("runs"))
@experiment.main
def main(_run):
    def log(values, step):
        for name, value in values.items():
            _run.log_scalar(name, value, step)
    measure(log)
experiment.run()
""",
    ),
    "trackio": (
        "trackio",
        """
import trackio
trackio.init(project="bench")
def log(values, step): trackio.log(values, step=step)
""",
    ),
    "tensorboardX": (
        "tensorboardX",
        """
from tensorboardX import SummaryWriter
writer = SummaryWriter("runs")
def log(values, step):
    for name, value in values.items():
        writer.add_scalar(name, value, step)
""",
    ),
    "aim": (
        "aim",
        """
from aim import Run
run = Run(repo=".", capture_terminal_logs=False, system_tracking_interval=None)
def log(values, step):
    for name, value in values.items():
        run.track(value, name=name, step=step)
""",
    ),
    "wandb, offline": (
        "wandb",
        """
import os
os.environ["WANDB_MODE"] = "offline"
import wandb
run = wandb.init(project="bench", dir=".")
def log(values, step): run.log(values, step=step)
""",
    ),
    "mlflow": (
        "mlflow",
        """
import mlflow
mlflow.set_tracking_uri("sqlite:///mlflow.db")
mlflow.start_run()
def log(values, step): mlflow.log_metrics(values, step=step)
""",
    ),
}

_MEASURE = """
import json, sys, time
def measure(log):
    values, clock, times = {"loss": 0.25, "acc": 0.5, "lr": 1e-3}, time.perf_counter_ns, []
    end = clock() + 3_000_000_000
    for step in range(20_000):
        began = clock(); log(values, step); times.append(clock() - began)
        if began > end: break
    times.sort()
    print(json.dumps([times[len(times) // 2], times[len(times) * 99 // 100]]), flush=True)
    import os; os._exit(0)  # what they still do at their end is not timed
"""


def program(setup: str) -> str:
    """The program that times a peer, for three seconds or 20,000 calls, and prints median and 99 % in nanoseconds."""
    return f"{_MEASURE}\n{setup}\nmeasure(log)\n"
