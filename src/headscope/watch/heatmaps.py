"""Pictures of what the heads attend to, and of what the model knows about positions."""

from lightning import Callback, Trainer
from torch import Tensor

from headscope.heads.trace import trace
from headscope.model.transformer import TransformerLM
from headscope.render.pictures import heads_picture, table_picture
from headscope.training.module import LanguageModule
from headscope.watch.board import board, corpus, is_picture_step

LONGEST = 256  #: tokens of the probe: more would not be legible


class Heatmaps(Callback):
    """One picture a layer with all its heads, on a fixed text: the beginning of the validation split.

    Drawn at ten validations at most, spread over the run. So is a table of positions, where there is one.
    """

    def on_validation_end(self, trainer: Trainer, module: LanguageModule) -> None:
        writer = board(trainer)
        if writer is None or not is_picture_step(trainer):
            return
        step = trainer.global_step
        if isinstance(module.model, TransformerLM):
            ids = probe(trainer)
            tokens = [corpus(trainer).tokenizer.show(i) for i in ids[0].tolist()]
            maps = trace(module.model, ids.to(module.device)).maps  # (L, 1, H, T, T)
            for layer, heads in enumerate(maps[:, 0].double().cpu().numpy()):
                title = f"layer {layer}, step {step}: every row attends to its columns"
                writer.add_image(
                    f"attention/layer_{layer}", heads_picture(heads, tokens, title), step, dataformats="HWC"
                )
        position = getattr(module.model, "position", None)
        table = position.table() if position is not None else None
        if table is not None:
            picture = table_picture(table.double().cpu().numpy(), f"{type(position).__name__}, step {step}")
            writer.add_image("positions", picture, step, dataformats="HWC")
        writer.flush()


def probe(trainer: Trainer) -> Tensor:
    """Ids (1, T) of the first validation window, as long as a picture can show."""
    x, _ = next(iter(corpus(trainer).val.once(1)))
    return x[:, :LONGEST]
