"""Which text `task=validate` measures: the checkpoint's own data, unless the user chooses other data."""

from typing import Any

import yaml

from headscope.config.composed import Composed
from headscope.config.keys import TrainConfig
from headscope.config.overrides import split
from headscope.config.schema import parse
from headscope.data.corpus import Corpus
from headscope.data.pydoc import PyDoc
from headscope.errors import UserError
from headscope.installed import CONF
from headscope.run.start import Start


def with_own_data(config: TrainConfig, composed: Composed, start: Start) -> TrainConfig:
    """Returns the config with the data that the checkpoint was trained on; unchanged if it trains or data was chosen.

    Only the kind of data comes from the checkpoint, while downloads and other files stay in `paths.data_dir`. Raises
    `UserError` if the recorded data cannot be used.
    """
    recorded = _recorded(start)
    if config.task != "validate" or _was_chosen(composed) or not recorded:
        return config
    try:
        return parse(composed.config | {"data": _here(recorded, composed, start)}, TrainConfig, composed.choices)
    except UserError as e:
        raise UserError(
            f"{start.path} was trained on data that cannot be used: {e}; choose the text with data=…"
        ) from e


def measured_text(config: TrainConfig, corpus: Corpus, start: Start) -> str:
    """Returns the unit of the loss and the measured text, and how it differs from the text of the training."""
    own, text = _about(start, "data"), f"nats per {corpus.tokenizer.unit} on {corpus.name}"
    if own.get("sha256") not in (None, corpus.sha256):
        if own.get("name") == corpus.name:
            return f"{text}, which has changed since the model was trained on it"
        return f"{text}; the model was trained on {own.get('name')}"
    recorded, chosen = _recorded(start), getattr(config.data, "keywords", {})
    splits = [data.get("split", "last") for data in (recorded, chosen)]
    if recorded and splits[0] != splits[1]:
        return f"{text}, which training split differently: data.split={splits[0]}"
    return text


def _recorded(start: Start) -> dict[str, Any]:
    """Returns the node `data` of the config in the checkpoint; empty if it has none, as in other programs' files."""
    data = _about(start, "config").get("data")
    return dict(data) if isinstance(data, dict) and "_target_" in data else {}


def _about(start: Start, key: str) -> dict[str, Any]:
    """Returns one of the mappings that a checkpoint records about its run; empty if there is none."""
    found = start.earlier.about.get(key) if start.earlier else None
    return found if isinstance(found, dict) else {}


def _was_chosen(composed: Composed) -> bool:
    """Whether the command line chooses the data, with `data=…`, `data.KEY=…` or an experiment."""
    defaults = yaml.safe_load((CONF / "train.yaml").read_text(encoding="utf-8"))["defaults"]
    default = next(entry["data"] for entry in defaults if isinstance(entry, dict) and "data" in entry)
    keys = {split(override)[0].partition(".")[0] for override in composed.overrides}
    return "data" in keys or composed.choices.get("data", default) != default


def _here(recorded: dict[str, Any], composed: Composed, start: Start) -> dict[str, Any]:
    """Returns recorded data for this machine: with this machine's folder, and with the text that replaced another."""
    if "data_dir" in recorded:
        recorded["data_dir"] = composed.config["paths"]["data_dir"]
    if recorded.get("fallback") == _about(start, "data").get("name") == PyDoc.name:  # the download had failed
        kept = {key: recorded[key] for key in ("tokenizer", "vocab_size", "split") if key in recorded}
        return {"_target_": f"{PyDoc.__module__}.{PyDoc.__name__}"} | kept
    return recorded
