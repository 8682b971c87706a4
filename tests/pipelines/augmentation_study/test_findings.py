"""Which rows may be compared."""

from dataclasses import replace

from pipelines.augmentation_study.findings import claims, find
from pipelines.augmentation_study.rows import Row, table_row


def test_only_rows_that_answered_for_the_same_items_are_compared(outcome):
    plain = outcome(Row(), 0.5)
    other = outcome(table_row("SIREN negation", "dws", 1), 0.9)
    assert [claim.verdict for claim in claims(find([plain, other]), 10)] == ["better"]
    items = tuple(f"elsewhere/{item}" for item in other.result.items)
    moved = replace(other, result=replace(other.result, items=items))
    assert claims(find([plain, moved]), 10) == []
