"""Layouts cut any rows and views into whole items and chunks, and cover every row once."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrgen.store.layout import (
    Layout,
    fragment_name,
    index_key,
    parse_fragment_name,
    parse_index_name,
)


@settings(deadline=None)
@given(
    items=st.integers(1, 10**8), views=st.integers(1, 5000), most=st.sampled_from([1, 16, 100, 256])
)
def test_cuts(items, views, most):
    layout = Layout(rows=items * views, views=views, max_chunk_rows=most)
    assert layout.chunk_rows % views == 0
    assert layout.chunk_rows <= max(most, views)
    assert layout.shard_rows % layout.chunk_rows == 0
    assert layout.shard_rows <= max(4000 * most // 256, layout.chunk_rows)
    last = layout.block_rows(layout.num_blocks - 1)
    assert last.stop == layout.rows
    assert 0 < len(last) <= layout.shard_rows
    if layout.num_blocks > 1:
        assert layout.block_rows(0) == range(layout.shard_rows)
        assert layout.block_rows(1).start == layout.shard_rows


@pytest.mark.parametrize(
    ("rows", "views", "chunk", "shard"),
    [
        (700_000, 10, 250, 4000),
        (30, 3, 255, 255),
        (100_000_000, 100, 200, 4000),
        (3 * 999, 999, 999, 999),
        (16 * 512, 1, 256, 512),
    ],
)
def test_known_cuts(rows, views, chunk, shard):
    layout = Layout(rows=rows, views=views)
    assert (layout.chunk_rows, layout.shard_rows) == (chunk, shard)


@pytest.mark.parametrize(
    ("rows", "views", "chunk", "shard"),
    [(480, 2, 16, 16), (123_110, 10, 10, 250), (40, 20, 20, 20)],
)
def test_cuts_of_rows_that_take_long_to_make(rows, views, chunk, shard):
    layout = Layout(rows=rows, views=views, max_chunk_rows=16)
    assert (layout.chunk_rows, layout.shard_rows) == (chunk, shard)


@pytest.mark.parametrize(("rows", "views"), [(0, 1), (-3, 1), (7, 2), (4, 0)])
def test_impossible_layouts(rows, views):
    with pytest.raises(ValueError, match=r"(rows|views) must be"):
        Layout(rows=rows, views=views)
    with pytest.raises(ValueError, match="max_chunk_rows must be at least 1; got 0"):
        Layout(rows=4, views=1, max_chunk_rows=0)


def test_blocks_out_of_range():
    with pytest.raises(ValueError, match=re.escape("block must be in 0..0; got 1")):
        Layout(rows=5, views=5).block_rows(1)


@settings(deadline=None)
@given(block=st.integers(0, 10**9))
def test_names_say_what_they_hold(block):
    assert parse_fragment_name(fragment_name("2-3-1_ab", block)) == ("2-3-1_ab", block)
    name = index_key("2-3-1_ab", range(block, block + 7)).removeprefix("index/")
    assert parse_index_name(name) == ("2-3-1_ab", range(block, block + 7))
    assert parse_fragment_name(name) is None
