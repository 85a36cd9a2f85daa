"""Generates text with a trained model: `python generate.py prompt="ROMEO:" max_new_tokens=500`. See also `--help`."""

import hydra
from omegaconf import DictConfig

from headscope.cli import command

typed = command.take_prompt()  # before Hydra, which would interpret commas, quotes, ${} and newlines


@hydra.main(version_base="1.3", config_path="conf", config_name="generate")
def main(cfg: DictConfig) -> None:
    from headscope.cli.generate import write  # imported here, because --help does not need torch
    from headscope.config.composed import plain
    from headscope.config.generate_keys import GenerateConfig
    from headscope.config.schema import parse

    write(parse(plain(cfg), GenerateConfig), typed)


if __name__ == "__main__":
    command.run(main)
