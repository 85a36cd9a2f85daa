"""The schema of `conf/generate.yaml`: the keys of generate.py and the types of their values."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le, Lt

from headscope.errors import UserError
from headscope.generation.sampling import Sampling
from headscope.training.options import Threads


@dataclass(frozen=True)
class RunsPath:
    """The folder that contains the runs."""

    runs: str


@dataclass(frozen=True)
class GenerateConfig(Sampling):
    """The config of generate.py, including the sampling options."""

    checkpoint: str | None = None
    prompt_file: str | None = None
    max_new_tokens: Annotated[int, Ge(1), Le(10_000_000)] = 500
    num_samples: Annotated[int, Ge(1), Le(10_000)] = 1
    show: Literal["next", "attribution", "attention", "heads", "page"] | None = None
    out: str | None = None
    seed: Annotated[int, Ge(0), Lt(2**32)] = 1
    threads: Threads | None = None
    paths: RunsPath = RunsPath("outputs")

    def __post_init__(self) -> None:
        if self.out is not None and self.show not in ("attention", "heads", "page"):
            raise UserError(f"out={self.out} needs show=attention, heads or page; to save generated text, add > FILE")
