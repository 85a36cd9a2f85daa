"""Trains a language model: `--help` lists what can be chosen, `-m` runs a sweep, `resume=DIR` goes on with a run."""

import hydra
from omegaconf import DictConfig

from headscope.app import command
from headscope.errors import Interrupted


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
@command.guarded
def main(cfg: DictConfig) -> None:
    from headscope.app import summary  # these import torch: `--help` and `--cfg job` answer without it
    from headscope.app.config import TrainConfig
    from headscope.app.run import log, prepare, validate
    from headscope.app.schema import parse

    config = parse(cfg, TrainConfig)
    run = prepare(config, cfg, command.started)
    log.info(f"{run.name}: {run.corpus.name}, {run.corpus.tokens:,} {run.corpus.tokenizer.unit}s")
    log.info(f"on {run.choice}")
    if config.task == "validate":
        log.info(f"val/loss {validate(run):.4f} nats per {run.corpus.tokenizer.unit}")
        return
    status: summary.Status = "failed"
    try:
        run.trainer.fit(run.module, run.data, ckpt_path=run.resume_from, weights_only=True)
        status = "completed"
    except Interrupted:
        status = "interrupted"
        raise
    finally:
        result = summary.write(run, status)
    summary.say(run, result)


if __name__ == "__main__":
    command.run(main, resume=True)
