"""The reports of heads as a table."""

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from headscope.heads import HeadReport, table
from headscope.heads.reports import Evidence

ROLES = ("previous token", "induction", "sink", "uniform", "none")


def report(layer, head, role, confirmed=True, value=0.9):
    evidence = None if role == "none" else Evidence(role, value, 0.2, 0.1, "text", 0.05, 0.001)
    scores, confirmed = {"sink": value, "local": math.nan}, confirmed and role != "none"
    return HeadReport(layer, head, role, scores, evidence, confirmed, stability=0.7, samples=10)


def test_a_table_is_read_as_it_was_written():
    rows = table.rows([report(0, 0, "sink"), report(0, 1, "none")], 20)
    text = table.to_csv(rows)
    columns = "step,layer,head,role,confirmed,value,uniform,shuffled,cost,error,last,last_error,sink,local"
    columns += ",probe,rests_on_first,stability,recovered,recovered_full"
    columns += ",part_place,part_structure,part_identity,part_content"
    assert text.splitlines()[0] == columns
    assert table.from_csv(text) == rows
    assert rows[0]["local"] == rows[1]["value"] == "", "unknown values must be empty"


def test_a_table_without_the_later_columns_goes_on_with_them():
    """This happens when a run of an earlier version is resumed."""
    old = table.from_csv("step,layer,head,role,confirmed,cost\n10,0,0,sink,True,0.05\n")
    new = table.rows([report(0, 0, "sink")], 20)
    text = table.append_rows(table.to_csv(old), new)
    both = table.from_csv(text)
    assert text == table.to_csv(old + new)
    assert [row["step"] for row in both] == [10, 20]
    assert (both[0]["cost"], both[0]["last"]) == (0.05, "")
    assert both[1] == new[0]


def test_a_table_that_grows_is_the_text_of_all_its_rows():
    text, rows = "", []
    for step in range(3):
        more = table.rows([report(0, 0, "sink", value=step / 7), report(0, 1, "none")], step)
        rows, text = rows + more, table.append_rows(text, more)
        assert text == table.to_csv(rows)


@given(st.integers(0, 400))
def test_a_line_that_was_cut_off_is_dropped(length):
    whole = table.to_csv(table.rows([report(0, h, "sink") for h in range(4)], 5))
    rows = table.from_csv(whole[:length])
    assert rows == table.from_csv(whole)[: len(rows)]
    assert len(rows) == max(0, whole[:length].count("\n") - 1)


def test_a_role_forms_with_its_first_confirmed_head():
    rows = [
        *table.rows([report(0, 0, "uniform"), report(0, 1, "sink", confirmed=False)], 0),
        *table.rows([report(0, 0, "none"), report(0, 1, "sink")], 10),
        *table.rows([report(0, 0, "sink"), report(0, 1, "induction")], 20),
    ]
    history = [{"step": 10, "val_loss": 3.0}, {"step": 20, "val_loss": 2.0}]
    assert table.first_formed(rows, history) == {
        "sink": {"step": 10, "head": "L0H1", "val_loss_before": None, "val_loss": 3.0},
        "induction": {"step": 20, "head": "L0H1", "val_loss_before": 3.0, "val_loss": 2.0},
    }


def test_people_read_the_role_with_its_evidence():
    lines = table.as_text([report(0, 0, "sink"), report(1, 3, "induction", confirmed=False), report(1, 4, "none")])
    header, sink, induction, none, *_ = lines.splitlines()
    assert header.split()[:4] == ["head", "role", "score", "value"]
    numbers = ["0.900", "0.200", "0.100", "text", "+0.0500", "±", "0.0010"]
    assert sink.split() == ["L0H0", "sink", "sink", *numbers, "confirmed", "7/10"]
    assert induction.split()[-2:] == ["unconfirmed", "7/10"]
    assert none.split() == ["L1H4", "none", "7/10"]


def test_people_read_that_a_head_also_rests_on_the_first_token():
    both = replace(report(0, 0, "induction"), rests_on_first=True)
    _, induction, sink, *_ = table.as_text([both, replace(report(0, 1, "sink"), rests_on_first=True)]).splitlines()
    assert induction.startswith("L0H0  induction; rests on the first token  induction")
    assert "rests on" not in sink
    row, _ = table.from_csv(table.to_csv(table.rows([both, report(0, 1, "sink")], 5)))
    assert (row["role"], row["rests_on_first"], row["stability"], row["probe"]) == ("induction", True, 0.7, "text")


def test_the_table_has_the_cost_after_others_if_it_was_measured():
    alone = report(0, 0, "sink")
    shared = replace(alone, head=1, evidence=replace(alone.evidence, cost=0.002, last=1.5, last_error=0.25))
    header, one, other, *_ = table.as_text([alone, shared]).splitlines()
    at = header.index("cost after others")
    assert one[at:].split() == ["confirmed", "7/10"]
    assert other[at:].split() == ["+1.5000", "±", "0.2500", "confirmed", "7/10"]
    assert "cost after others" not in table.as_text([alone]).splitlines()[0]
