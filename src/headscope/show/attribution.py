"""`show=attribution`: which parts of the model make the next token likely."""

import torch
from rich import box
from rich.table import Table
from rich.text import Text

from headscope.generation.sampling import finite
from headscope.heads.attribution import attribute
from headscope.render.labels import label
from headscope.shell import console
from headscope.show.request import ShowRequest

ROWS = 24  #: default number of parts in the table
BAR = 16  #: characters in the longest bar
FROZEN = (
    "The final norm divides the residual stream by a scale that depends on all parts of the model. This table treats"
    " the scale as a constant, so that each part has its own contribution and the contributions add up to the logit."
)


def show(request: ShowRequest) -> None:
    """Prints a table on standard output: how much each part of the model adds to the logit of the most likely token.

    Probabilities depend only on differences of logits, so a second column shows the lead over the second most likely
    token.
    """
    model, ids = request.transformer(), request.context()
    with torch.no_grad():
        p = finite(model(ids)[0, -1]).double().softmax(-1)  # (V,)
    order = p.sort(descending=True, stable=True).indices
    first, second = order[:1], order[1:2] if len(order) > 1 else order[:1]
    to_logit, to_lead = attribute(model, ids, first), attribute(model, ids, first, second)
    token, other = (Text(label(request.tokenizer.show(int(i)))) for i in (first, second))
    contributions = [(name, x, lead) for (name, x), (_, lead) in zip(to_logit.named(), to_lead.named(), strict=True)]
    console().print(Text.assemble("most likely next: ", (str(token), "bold"), f", probability {float(p[first]):.4f}"))
    table = Table(box=box.SIMPLE)
    table.add_column("part", no_wrap=True)
    table.add_column(Text.assemble("logit of ", token), justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column(Text.assemble("lead over ", other), justify="right", no_wrap=True)
    rows = largest(contributions, request.rows or ROWS)
    longest = max(abs(x) for _, x, _ in rows)
    for name, x, lead in rows:
        bar = ("█" if x > 0 else "░") * round(abs(x) / max(longest, 1e-9) * BAR)
        table.add_row(name, f"{x:+.4f}", bar, f"{lead:+.4f}")
    table.add_section()
    table.add_row("sum", f"{float(to_logit.logit):+.4f}", "", f"{float(to_lead.logit):+.4f}")
    console().print(table)
    console().print(FROZEN, soft_wrap=True)


def largest(contributions: list[tuple[str, float, float]], rows: int) -> list[tuple[str, float, float]]:
    """Returns the `rows` contributions of the largest size and the sum of the others, in descending order of value."""
    by_size = sorted(contributions, key=lambda part: -abs(part[1]))
    kept, rest = by_size[:rows], by_size[rows:]
    if rest:
        kept.append((f"{len(rest)} others", sum(x for _, x, _ in rest), sum(lead for _, _, lead in rest)))
    return sorted(kept, key=lambda part: -part[1])
