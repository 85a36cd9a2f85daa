"""Trains a language model: `--help` lists the options, `-m` runs a sweep, `resume=DIR` resumes a run or a sweep."""

import hydra
from omegaconf import DictConfig

from headscope.cli import command


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> float | None:
    from headscope.cli.early import import_lightning, refuse_early  # here, because --help and --cfg job need no torch

    refuse_early(cfg)
    import_lightning()
    from headscope.cli.train import train

    return train(cfg)


if __name__ == "__main__":
    command.run(main, resume=True)
