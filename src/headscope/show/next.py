"""`show=next`: the most likely next tokens and their probabilities."""

from rich import box
from rich.table import Table
from rich.text import Text

from headscope.generation.text import next_tokens
from headscope.render.labels import label
from headscope.shell import console
from headscope.show.request import ShowRequest

ROWS = 10  #: default number of tokens in the table


def show(request: ShowRequest) -> None:
    """Prints a table of tokens and their probabilities on standard output."""
    table = Table("next", "probability", "", box=box.SIMPLE)
    for token, p in next_tokens(request.model, request.tokenizer, request.prompt, request.rows or ROWS):
        table.add_row(Text(label(token)), f"{p:.4f}", "█" * round(p * 40))
    console().print(table)
