"""The sentences about a head state what was measured."""

from headscope.heads.reports import Evidence, HeadReport
from headscope.heads.sentences import sentences


def test_a_role_with_its_evidence():
    evidence = Evidence("local", 0.832, 0.209, 0.21, "text", 0.2857, 0.0358)
    text = sentences(HeadReport(1, 0, "local", {}, evidence, True, stability=0.7, samples=10), "character")
    assert text == (
        "L1H0 puts 83% of its attention on the last five characters. A head that attends to its past evenly scores 21%;"
        " this head's weights, moved to wrong keys, score 21%. It has this role in 7 of 10 text samples. Without this"
        " head, the loss on the validation text rises by 0.29 ± 0.04 nats: the model needs it."
    )


def test_a_head_that_others_stand_in_for():
    evidence = Evidence("induction", 0.91, 0.05, 0.01, "repeated", 0.004, 0.002, 5.156, 0.137)
    text = sentences(HeadReport(1, 0, "induction", {}, evidence, True), "character")
    assert text.endswith(
        "Without this head, the loss on repeated random characters rises by 0.00 ± 0.00 nats: other heads"
        " with this role replace it. Once they are removed too, the loss rises by 5.16 ± 0.14 more: the model needs"
        " one of them."
    )


def test_little_or_nothing():
    evidence = Evidence("induction", 0.6, 0.1, 0.2, "repeated", -0.001, 0.01)
    text = sentences(HeadReport(0, 1, "induction", {}, evidence, False), "word")
    assert "repeated random words falls by 0.00 ± 0.01 nats: this does not show" in text
    text = sentences(HeadReport(0, 1, "none", {}, None, False, stability=0.4, samples=10), "word")
    assert text.startswith("L0H1 has no role: ")
    assert text.endswith(" It has no role in 4 of 10 text samples.")


def test_a_head_that_also_rests_on_the_first_token():
    evidence = Evidence("induction", 0.89, 0.1, 0.02, "repeated", 1.5, 0.1)
    report = HeadReport(18, 6, "induction", {"sink": 0.85}, evidence, True, rests_on_first=True)
    assert sentences(report, "token").startswith(
        "L18H6 puts 89% of its attention on what followed the same token earlier, and rests on the first token of the"
        " validation text (85%). A head"
    )
    sink = HeadReport(0, 0, "sink", {"sink": 0.9}, Evidence("sink", 0.9, 0.1, 0.1, "text", 0, 0), False, True)
    assert "rests on" not in sentences(sink, "token")
