"""Pictures of attention maps, and of the table of a positional scheme."""

from lightning import Trainer

from headscope.heads.flow import views_of
from headscope.render.pictures import WINDOW, table_picture
from headscope.run.recorder import recorders
from headscope.show.attention import head_pictures, layer_pictures
from headscope.training.module import LanguageModule
from headscope.watch.corpus import corpus
from headscope.watch.head_viewer import HeadView, HeadViewer

HEAD = "head_attention"  #: group of the pictures with one head each; dashboards sort it after `attention`


class Heatmaps(HeadViewer):
    """Draws all heads on the first of the run's texts, before the first step and after at most nine validations.

    Each layer has one picture of attention weights and one of norm-weighted attention. One picture shows the rollout
    through all layers, and each head has a larger picture of its weights. A positional scheme that has a table gets a
    picture of it, too.
    """

    def needs(self, trainer: Trainer) -> bool:
        return bool(recorders(trainer)) and super().needs(trainer)

    def show(self, trainer: Trainer, module: LanguageModule, view: HeadView) -> None:
        step, tokenizer = trainer.global_step, corpus(trainer).tokenizer
        tokens = [tokenizer.show(i) for i in view.text[0].tolist()]
        seen = views_of(view.model, view.cache.maps[:, :1], view.cache.values[:, :1])
        rest = tokens, f"step {step}", view.titles, WINDOW
        pictures = layer_pictures(seen, *rest)
        pictures |= {f"{HEAD}/{name}": rgb for name, rgb in head_pictures(seen.weights, *rest).items()}
        position = view.model.position
        if (table := position.table()) is not None:
            title = f"{type(position).__name__}, step {step}"
            pictures["positions"] = table_picture(table.double().cpu().numpy(), title)
        for logger in recorders(trainer):
            for tag, rgb in pictures.items():
                logger.record_picture(tag, rgb, step)
