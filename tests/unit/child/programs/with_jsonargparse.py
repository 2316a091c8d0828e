from dataclasses import dataclass

from jsonargparse import ActionConfigFile, ArgumentParser


@dataclass
class Model:
    depth: int = 2
    name: str = "net"


parser = ArgumentParser(prog="train", env_prefix="TRAIN", default_env=True)
parser.add_argument("--config", action=ActionConfigFile)
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--model", type=Model, default=Model())
cfg = parser.parse_args()
print(cfg.lr, cfg.seed, cfg.model.depth, cfg.model.name)
