"""Maps and roles of all heads over the training, kept in the run's folder for the page that holds the model."""

from lightning import Trainer

from headscope.files import write_atomically
from headscope.heads import film, look
from headscope.heads.film import Film as Frames
from headscope.model.transformer import TransformerLM
from headscope.run.folder import RunFolder
from headscope.training.callback import Callback
from headscope.training.module import LanguageModule
from headscope.watch.heads import roles
from headscope.watch.picture_steps import is_picture_step
from headscope.watch.probe import corpus


class Film(Callback):
    """Keeps what every head attends to in a fixed text, a byte a weight: at the first step and at each picture step.

    Nothing is kept of a model without heads. Ten pictures of `nano` are 100 to 200 kB.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: str) -> None:
        self.file = RunFolder(folder).film_file
        self.frames: Frames | None = None

    def on_train_start(self, trainer: Trainer, module: LanguageModule) -> None:
        if not trainer.is_global_zero or not isinstance(module.model, TransformerLM):
            return
        if trainer.global_step == 0:
            self._keep(trainer, module)
        elif self.file.exists():  # a resumed run keeps again whatever came after its checkpoint
            try:
                self.frames = Frames.from_bytes(self.file.read_bytes()).until(trainer.global_step)
            except ValueError:
                self.frames = None  # damaged: begun anew

    def on_validation_end(self, trainer: Trainer, module: LanguageModule) -> None:
        if trainer.is_global_zero and is_picture_step(trainer) and isinstance(module.model, TransformerLM):
            self._keep(trainer, module)

    def _keep(self, trainer: Trainer, module: LanguageModule) -> None:
        model, step = module.model, trainer.global_step
        assert isinstance(model, TransformerLM)
        ids = corpus(trainer).passages(1, film.LONGEST)
        before = self.frames.until(step - 1).frames if self.frames else []
        maps = look(model, ids.to(module.device), "maps").maps
        self.frames = Frames(ids[0].tolist(), [*before, film.frame(step, maps, roles(trainer))])
        write_atomically(self.file, self.frames.to_bytes())
