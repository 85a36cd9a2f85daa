"""A page that contains a model, in a notebook or as a file."""

from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from headscope.files import write_atomically

HEIGHT = 800  #: pixels of the frame in a notebook


@dataclass(frozen=True)
class Page:
    """One HTML document that runs the model as you type, without a network.

    A notebook shows it in a sandboxed frame: its script has no access to the notebook.

    >>> page = headscope.load(folder).page("I love")
    >>> page
    Page of 0.1 MB
    >>> page.save("model.html").name
    'model.html'

    Attributes:
        html: the document.
    """

    html: str = field(repr=False)

    def save(self, path: str | Path) -> Path:
        """Writes the document; returns its path.

        Raises:
            UserError: the file cannot be written.
        """
        write_atomically(Path(path), self.html.encode())
        return Path(path)

    def __repr__(self) -> str:
        return f"Page of {len(self.html.encode()) / 1e6:.1f} MB"

    def _repr_html_(self) -> str:
        style = f"width: 100%; height: {HEIGHT}px; border: 0"
        frame = f'<iframe sandbox="allow-scripts" title="a model and its heads" style="{style}"'
        return f'{frame} srcdoc="{escape(self.html)}"></iframe>'
