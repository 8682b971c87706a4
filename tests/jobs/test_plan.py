"""Plans cover every row once and keep to their memory."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrgen.core.spec import InrSpec
from inrgen.jobs.plan import (
    _BYTES_LATER,
    derive_cost,
    derived_layout,
    parent_rows,
    plan_concurrency,
)
from inrgen.store.layout import Layout

SPEC = InrSpec(widths=(2, 32, 32, 1), omega=(30.0, 30.0))
layouts = st.builds(
    lambda items, views: Layout(rows=items * views, views=views),
    st.integers(1, 3_000),
    st.integers(1, 20),
)


@settings(deadline=None, max_examples=40)
@given(parent=layouts, copies=st.integers(1, 9))
def test_blocks_take_whole_items_and_every_row_once(parent, copies):
    layout = derived_layout(parent, copies)
    assert layout.rows == parent.rows * copies
    end = 0
    for block in range(layout.num_blocks):
        rows = parent_rows(layout, block, copies)
        assert rows.start == end
        assert rows.start % parent.views == 0
        assert len(rows) * copies == len(layout.block_rows(block))
        end = rows.stop
    assert end == parent.rows


@settings(deadline=None)
@given(
    parent=layouts,
    copies=st.integers(1, 9),
    workers=st.integers(1, 64),
    memory_mb=st.integers(1, 4000),
    held=st.integers(0, 500_000_000),
)
def test_a_limit_is_kept_or_refused(parent, copies, workers, memory_mb, held):
    cost = derive_cost(SPEC, parent, copies)
    least = cost.bytes_for(cost.least_rows)
    before, held = held, held + _BYTES_LATER
    if held + least > memory_mb * 1e6:
        with pytest.raises(ValueError, match="memory_mb must be at least"):
            plan_concurrency([cost], workers, memory_mb, before)
        return
    concurrency = plan_concurrency([cost], workers, memory_mb, before)
    assert 1 <= concurrency.blocks <= workers
    assert concurrency.rows_at_once >= parent.views
    assert concurrency.rows_at_once % parent.views == 0
    assert held + concurrency.blocks * cost.bytes_for(concurrency.rows_at_once) <= memory_mb * 1e6
    # Blocks fill the workers before rows at a time grow.
    assert (
        concurrency.blocks == workers or held + (concurrency.blocks + 1) * least > memory_mb * 1e6
    )


def test_the_least_memory_that_is_named_is_enough():
    cost = derive_cost(SPEC, Layout(rows=40_000, views=10), 2)
    with pytest.raises(ValueError, match=r"at least \d+: ") as refused:
        plan_concurrency([cost], 4, 1, 50_000_000)
    named = float(str(refused.value).split("at least ")[1].split(":")[0])
    assert plan_concurrency([cost], 4, named, 50_000_000).blocks == 1
