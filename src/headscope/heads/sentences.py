"""Describes a head in sentences."""

from headscope.heads.reports import HeadReport
from headscope.heads.roles import ROLE_RULES, SINK


def sentences(report: HeadReport, unit: str) -> str:
    """Returns sentences about a head's role and the evidence for it. `unit` names a token: character, word or token."""
    e, samples = report.evidence, f"in {report.same_role} of {report.samples} text samples"
    if e is None:
        reason = "no score stands out from chance, or two stand out equally"
        return f"{report.name} has no role: {reason}. It has no role {samples}."
    does = ROLE_RULES[report.role].sentence.format(share=f"{e.value:.0%}", unit=unit)
    if report.rests_on_first and report.role != SINK:
        does += f", and rests on the first {unit} of the validation text ({report.scores[ROLE_RULES[SINK].score]:.0%})"
    text = "the validation text" if e.probe == "text" else f"repeated random {unit}s"
    even = f"A head that attends to its past evenly scores {e.uniform:.0%}"
    chance = f"{even}; this head's weights, moved to wrong keys, score {e.shuffled:.0%}."
    stable = f"It has this role {samples}."
    change = f"{'rises' if e.cost >= 0 else 'falls'} by {abs(e.cost):.2f} ± {e.error:.2f} nats"
    if e.needed:
        verdict = "the model needs it"
    elif e.shared:
        verdict = (
            "other heads with this role replace it. Once they are removed too,"
            f" the loss rises by {e.last:.2f} ± {e.last_error:.2f} more: the model needs one of them"
        )
    else:
        verdict = "this does not show that the model needs it"
    effect = f"Without this head, the loss on {text} {change}: {verdict}."
    return f"{report.name} {does}. {chance} {stable} {effect}"
