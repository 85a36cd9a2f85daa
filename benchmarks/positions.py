"""Training speed of each positional scheme relative to `position=none`, for `model=nano`.

    python benchmarks/positions.py                 60 rounds of all schemes; takes one minute on 2 cores
    python benchmarks/positions.py 200 fox alibi   200 rounds of fox, alibi and none

The schemes take turns, one step each, because the speed of a shared machine drifts within seconds. Each step is
compared with the step of `none` in the same round. The result is the median of these ratios.
"""

import os
import statistics
import sys
import time

from common import ROOT, save, table

from headscope.waiting import SPIN

os.environ.setdefault("GOMP_SPINCOUNT", SPIN)  # the value that `train.py` sets if cores are free


def contestants(names=()):
    """Returns a function that trains one step, for `none` and each option in `names`; by default, for all."""
    import torch
    import torch.nn.functional as F
    from hydra import compose, initialize_config_dir

    from headscope.config.composed import plain
    from headscope.config.keys import TrainConfig
    from headscope.config.schema import parse
    from headscope.training.hardware import Machine, choose

    def trainer(position):
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            cfg = compose("train", ["model=nano", f"position={position}", "paths.run_dir=unused"])
        ours = parse(plain(cfg), TrainConfig)
        torch.manual_seed(1)
        model = ours.model(65)
        choice = choose(Machine.here(), ours.trainer)
        optimizer = ours.optimizer(model, choice.fused)
        half = torch.autocast("cpu", torch.bfloat16, enabled=choice.precision == "bf16-mixed")
        ids = torch.randint(65, (ours.batch_size, model.block_size + 1))

        def step():
            with half:
                logits = model(ids[:, :-1])
            loss = F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

        return step

    options = sorted(file.stem for file in (ROOT / "conf" / "position").glob("*.yaml"))
    if unknown := set(names) - set(options):
        sys.exit(f"error: there is no position={min(unknown)}; conf/position has {', '.join(options)}")
    return {name: trainer(name) for name in options if not names or name in ("none", *names)}


def main(rounds=60, *names):
    steps = contestants(names)
    seconds = {name: [] for name in steps}
    for _ in range(rounds + 3):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - began)
    seconds = {name: values[3:] for name, values in seconds.items()}  # the first three steps only warm up
    ratio = {
        name: statistics.median(b / a for a, b in zip(values, seconds["none"], strict=True))
        for name, values in seconds.items()
    }
    rows = [(name, f"{1e3 * statistics.median(seconds[name]):.1f}", f"{ratio[name]:.2f}") for name in seconds]
    table([("position", "ms per step", "speed relative to none"), *sorted(rows, key=lambda row: row[2], reverse=True)])
    save("positions", {"seconds": seconds, "ratio": ratio})


if __name__ == "__main__":
    main(int((sys.argv[1:] or ["60"])[0]), *sys.argv[2:])
