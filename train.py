"""Trains a language model. `python train.py --help` lists what can be chosen; `-m` runs a sweep."""

import time

import hydra
from omegaconf import DictConfig

from headscope.app import command

started = time.time()


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
@command.guarded
def main(cfg: DictConfig) -> None:
    from headscope.app import summary  # these import torch: `--help` and `--cfg job` answer without it
    from headscope.app.config import TrainConfig
    from headscope.app.run import log, prepare, validate
    from headscope.app.schema import parse

    config = parse(cfg, TrainConfig)
    run = prepare(config, cfg)
    log.info(f"{run.name}: {run.corpus.name}, {run.corpus.tokens:,} {run.corpus.tokenizer.unit}s")
    log.info(f"on {run.choice}")
    if config.task == "validate":
        log.info(f"val/loss {validate(run):.4f} nats per {run.corpus.tokenizer.unit}")
        return
    status: summary.Status = "failed"
    try:
        run.trainer.fit(run.module, run.data)
        status = "completed"
    finally:
        if run.trainer.is_global_zero:
            result = summary.write(run, status, started)
    if run.trainer.is_global_zero:
        summary.say(run, result)


if __name__ == "__main__":
    command.run(main)
