"""What a head does, as sentences for people."""

from headscope.heads.reports import HeadReport

#: What the score of each role says of a head, with its share of attention in place of {}.
SAID = {
    "previous_token": "puts {} of its attention on the {unit} just before",
    "duplicate_token": "puts {} of its attention on earlier copies of the same {unit}",
    "induction": "puts {} of its attention on what followed the same {unit} earlier",
    "sink": "puts {} of its attention on the first {unit} of the text",
    "local": "puts {} of its attention on the last five {unit}s",
    "evenness": "looks at its whole past evenly: {} of the largest possible entropy",
}


def sentences(report: HeadReport, unit: str) -> str:
    """A head's role with the evidence for it.

    Args:
        report: of the head.
        unit: what a token is: character, word, token.
    """
    e = report.evidence
    if e is None:
        return f"{report.name} has no role: none of its scores stands out from chance."
    does = SAID[e.score].format(f"{e.value:.0%}", unit=unit)
    text = "the validation text" if e.probe == "text" else f"repeated random {unit}s"
    chance = f"A head that looks at its past evenly scores {e.uniform:.0%}; its own weights on the wrong keys score"
    change = f"{'rises' if e.cost >= 0 else 'falls'} by {abs(e.cost):.2f} ± {e.error:.2f} nats"
    if e.needed:
        needs = "the model needs it"
    elif e.shared:
        needs = (
            "others of its layer with this role stand in for it. Once they are gone too,"
            f" it rises by {e.last:.2f} ± {e.last_error:.2f} more: the model needs one of them"
        )
    else:
        needs = "that is too little to say that the model needs it"
    return f"{report.name} {does}. {chance} {e.shuffled:.0%}. Without it, the loss on {text} {change}: {needs}."
