"""Makes `files/`: what real libraries write, twice, for `test_real_files.py`.

    python tests/unit/replay/compare/make_files.py    (with torch, safetensors, tensorboard and matplotlib)

They are kept because the suite's environment does not have these libraries. Each pair was written by two calls
in one process, as a run and its replay would have written it.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import torch
from safetensors.torch import save_file
from torch.utils.tensorboard import SummaryWriter

HERE = Path(__file__).parent / "files"


def state(bias: float = 0.0, epoch: int = 3) -> dict:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(5, 4)).sum().backward()
    optimizer.step()
    with torch.no_grad():
        model[0].bias += bias
    narrow = {"bf16": torch.ones(3, dtype=torch.bfloat16), "f8": torch.ones(3).to(torch.float8_e4m3fn)}
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch, "loss": 0.25, **narrow}


def tensors(scale: float = 1.0) -> dict:
    return {"w": torch.arange(6.0).reshape(2, 3) * scale, "n": torch.arange(3)}


def figure(path: Path, middle: float = 1.0) -> None:
    made, axes = plt.subplots(figsize=(1, 1))
    axes.plot([0, 1, 2], [0, middle, 1], marker="o")
    axes.set_axis_off()
    axes.set_title("loss")
    made.savefig(path)
    plt.close(made)


def events(name: str, shift: float = 0.0) -> None:
    place = HERE / "events"
    writer = SummaryWriter(str(place))
    for step in range(5):
        writer.add_scalar("loss", 1 / (step + 1) + shift, step)
    writer.close()
    (made,) = [each for each in os.listdir(place) if each.startswith("events.out")]
    os.rename(place / made, place / f"{name}.tfevents")


def main() -> None:
    shutil.rmtree(HERE, ignore_errors=True)
    (HERE / "events").mkdir(parents=True)
    torch.save(state(), HERE / "best.pt")
    torch.save(state(), HERE / "the_last_one.pt")
    torch.save(state(bias=1e-7), HERE / "near.pt")
    torch.save(state(epoch=4), HERE / "epoch.pt")
    save_file(tensors(), HERE / "a.safetensors", {"run": "1"})
    save_file(tensors(1 + 2e-7), HERE / "near.safetensors", {"run": "1"})
    for kind in ("svg", "pdf", "png"):
        figure(HERE / f"a.{kind}")
        time.sleep(1.1)  # a PDF's date has no fractions
        figure(HERE / f"b.{kind}")
        figure(HERE / f"other.{kind}", 1.5)
    events("a")
    events("b")
    events("near", 1e-7)
    events("far", 1e-2)


if __name__ == "__main__":
    main()
