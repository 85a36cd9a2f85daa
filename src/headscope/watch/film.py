"""Keeps maps and roles of all heads over the training, for the page of `show=page`."""

from lightning import Trainer

from headscope.files import write_atomically
from headscope.heads import film
from headscope.heads.film import Film as Frames
from headscope.run.folder import RunFolder
from headscope.training.module import LanguageModule
from headscope.watch.head_viewer import HeadView, HeadViewer


class Film(HeadViewer):
    """Keeps the maps of every head on the first of the run's texts, with one byte per weight, at each picture step.

    A model without heads has no film. Ten frames of `nano` take 100 to 200 kB.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: str) -> None:
        self.file = RunFolder(folder).film_file
        self.frames: Frames | None = None

    def on_train_start(self, trainer: Trainer, module: LanguageModule) -> None:
        super().on_train_start(trainer, module)
        if trainer.is_global_zero and trainer.global_step > 0 and self.file.exists():
            try:  # a resumed run keeps the frames up to its checkpoint
                self.frames = Frames.from_bytes(self.file.read_bytes()).until(trainer.global_step)
            except ValueError:
                self.frames = None  # a damaged film starts again

    def show(self, trainer: Trainer, module: LanguageModule, view: HeadView) -> None:
        step, ids = trainer.global_step, view.text[0].tolist()
        earlier = self.frames.until(step - 1).frames if self.frames and self.frames.ids == ids else []
        self.frames = Frames(ids, [*earlier, film.frame(step, view.cache.maps[:, :1], view.titles)])
        write_atomically(self.file, self.frames.to_bytes())
