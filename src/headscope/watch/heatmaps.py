"""Pictures of what the heads attend to, and of what the model knows about positions."""

from lightning import Trainer

from headscope.model.transformer import TransformerLM
from headscope.render.maps import WINDOW
from headscope.render.pictures import table_picture
from headscope.run.recorder import recorders
from headscope.show.attention import head_pictures, layer_pictures
from headscope.training.callback import Callback
from headscope.training.module import LanguageModule
from headscope.watch.heads import roles
from headscope.watch.picture_steps import is_picture_step
from headscope.watch.probe import corpus, probe

HEAD = "head_attention"  #: the group with a picture for each head; it sorts behind that of the layers


class Heatmaps(Callback):
    """Draws all heads of each layer on a fixed text: the beginning of the validation split.

    One picture a layer shows their weights, one what they move, one picture for all layers the rollout, and a larger
    one each head. Drawn before the first step and after at most nine validations. A positional scheme that has a table
    gets a picture of it, too.
    """

    def on_train_start(self, trainer: Trainer, module: LanguageModule) -> None:
        if trainer.global_step == 0:
            self._draw(trainer, module)

    def on_validation_end(self, trainer: Trainer, module: LanguageModule) -> None:
        self._draw(trainer, module)

    def _draw(self, trainer: Trainer, module: LanguageModule) -> None:
        loggers = recorders(trainer)
        if not loggers or not is_picture_step(trainer):
            return
        step = trainer.global_step
        pictures = {}
        if isinstance(module.model, TransformerLM):
            ids = probe(trainer)
            tokens = [corpus(trainer).tokenizer.show(i) for i in ids[0].tolist()]
            seen = module.model, ids.to(module.device), tokens, f"step {step}", roles(trainer)
            pictures = layer_pictures(*seen, WINDOW)
            pictures |= {f"{HEAD}/{name}": rgb for name, rgb in head_pictures(*seen, WINDOW).items()}
        position = getattr(module.model, "position", None)
        table = position.table() if position is not None else None
        if table is not None:
            title = f"{type(position).__name__}, step {step}"
            pictures["positions"] = table_picture(table.double().cpu().numpy(), title)
        for logger in loggers:
            for tag, rgb in pictures.items():
                logger.record_picture(tag, rgb, step)
