import logging
import sys

import hydra


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    print(cfg.lr, cfg.db.name, cfg.path)
    logging.getLogger(__name__).debug("not shown")
    if cfg.lr < 0:
        raise ValueError("a negative rate")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
