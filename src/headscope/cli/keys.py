"""What to say of a key that the config does not have."""

import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from headscope.run.folder import flat
from headscope.run.mistakes import unknown_key
from headscope.training.options import TrainerOptions

TYPED = ("prompt", "resume")  #: keys that Hydra never sees


def nearest(key: str) -> str:
    """One line on an unknown key, naming the key that was probably meant."""
    script = Path(sys.argv[0]).stem
    addable = [f"trainer.{f.name}" for f in fields(TrainerOptions)] if script == "train" else []
    if key in addable:
        return f"{key} is not in conf/trainer; add it with a +, as in +{key}=…"
    for name, reason in TrainerOptions.REFUSED.items():
        if key == f"trainer.{name}":
            return f"{key} cannot be set: {reason}"
    GlobalHydra.instance().clear()
    from hydra import initialize_config_dir

    with initialize_config_dir(str(Path(sys.argv[0]).resolve().parent / "conf"), version_base="1.3"):
        groups = [a for a in sys.argv[1:] if "=" in a and "." not in a.split("=")[0] and "," not in a]
        cfg = compose(script, [g for g in groups if not g.startswith(("-", f"{key}="))])
        known = flat(cast(dict[str, Any], OmegaConf.to_container(cfg)))
    if key in known:  # with the defaults, but not with every option that is swept
        return f"not every option that is swept has the key {key}; sweep those that have it in a sweep of their own"
    return str(unknown_key(key, [*known, *addable, *TYPED]))
