"""The sentences about a head state what was measured."""

from headscope.heads.reports import Evidence, HeadReport
from headscope.heads.sentences import sentences


def test_a_role_with_its_evidence():
    evidence = Evidence("local", 0.832, 0.209, 0.21, "text", 0.2857, 0.0358)
    text = sentences(HeadReport(1, 0, "local", {}, evidence, True), "character")
    assert text == (
        "L1H0 puts 83% of its attention on the last five characters. A head that attends to its past evenly scores 21%;"
        " this head's weights, moved to wrong keys, score 21%. Without this head, the loss on the validation text rises"
        " by 0.29 ± 0.04 nats: the model needs it."
    )


def test_a_head_that_others_stand_in_for():
    evidence = Evidence("induction", 0.91, 0.05, 0.01, "repeated", 0.004, 0.002, 5.156, 0.137)
    text = sentences(HeadReport(1, 0, "induction", {}, evidence, True), "character")
    assert text.endswith(
        "Without this head, the loss on repeated random characters rises by 0.00 ± 0.00 nats: other heads of its layer"
        " with this role replace it. Once they are removed too, the loss rises by 5.16 ± 0.14 more: the model needs"
        " one of them."
    )


def test_little_or_nothing():
    evidence = Evidence("induction", 0.6, 0.1, 0.2, "repeated", -0.001, 0.01)
    text = sentences(HeadReport(0, 1, "induction", {}, evidence, False), "word")
    assert "repeated random words falls by 0.00 ± 0.01 nats: this does not show" in text
    assert "has no role" in sentences(HeadReport(0, 1, "none", {}, None, False), "word")
