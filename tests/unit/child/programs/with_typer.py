import enum
from pathlib import Path

import typer

app = typer.Typer(pretty_exceptions_enable=False)


class Mode(str, enum.Enum):  # noqa: UP042  typer runs on Pythons without StrEnum
    fast = "fast"
    slow = "slow"


@app.command()
def fit(data: Path, lr: float = 0.1, mode: Mode = Mode.fast, verbose: bool = False):
    if lr < 0:
        raise ValueError("a negative rate")
    print("fit", data, lr, mode.value, verbose)


@app.command()
def test(data: Path):
    print("test", data)


if __name__ == "__main__":
    app()
