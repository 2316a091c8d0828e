"""A training script as most are: options, a positional word, a sub-command, and a type that may raise."""

import argparse
import pathlib


def rate(text):
    if text == "boom":
        raise LookupError("no such rate")
    return float(text)


parser = argparse.ArgumentParser(prog="train")
parser.add_argument("data", type=pathlib.Path)
parser.add_argument("--learning-rate", "-l", dest="lr", type=rate, default="0.1")
parser.add_argument("--verbose", action="store_true")
parser.add_argument("--tags", nargs="*", default=[])
parser.add_argument("--layers", type=int, action="append")
parser.set_defaults(seed=7)
commands = parser.add_subparsers(dest="command")
fit = commands.add_parser("fit")
fit.add_argument("--epochs", type=int, default=3)
args = parser.parse_args()
print(sorted(vars(args).items()))
