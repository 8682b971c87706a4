"""Diversity tells views of an item from other items, on a sample named by its seed."""

import numpy as np
import pytest
import torch

from inrgen.commands.diversity import DiversityConfig, diversity
from inrgen.core import rng, symmetry
from inrgen.core.params import Params


@pytest.fixture
def turned(made_up, tmp_path):
    """A store in which the views of an item are one network with its units reordered."""
    made_up = type(made_up)()
    spec, views = made_up.spec, made_up.views
    flat = torch.from_numpy(made_up.flat.copy())
    firsts = flat[1::views].nan_to_num().repeat_interleave(views, dim=0)
    keys = rng.keys(0, "turn", torch.arange(len(flat)))
    moved = symmetry.permute(
        Params.from_flat(spec, firsts), symmetry.random_permutations(spec, keys)
    ).flat()
    made_up.flat = torch.where(flat.isnan(), flat, moved).numpy()
    return made_up.build(tmp_path / "turned")


def test_alignment_brings_views_together_and_leaves_strangers_apart(turned):
    summary = diversity(DiversityConfig(store=turned, pairs=40, match=("permutation",)))
    (found,) = summary.specs
    by_name = {(r.pairs, r.alignment): r for r in found.rows}
    views, strangers = by_name["views", "permutation"], by_name["items", "permutation"]
    # A descent may end in a local minimum now and then.
    assert views.distance < 0.5 * by_name["views", "none"].distance
    assert strangers.distance > views.distance
    assert by_name["views", "none"].function_rms < 1e-5 < strangers.function_rms
    assert found.num_items == 40
    assert views.num_pairs <= 40
    assert len(summary.text().splitlines()) == 2 + len(found.rows)


def test_a_sample_is_that_of_its_seed_and_split(made_up, parent):
    def rows(**other):
        return diversity(DiversityConfig(store=parent, pairs=10, match=(), **other)).specs[0].rows

    assert rows() == rows() != rows(seed=1)
    assert rows(split="val") != rows()
    assert all(np.isfinite(row.distance) for row in rows(split="test"))


def test_a_wrong_number_of_pairs_is_refused(parent):
    with pytest.raises(ValueError, match=r"pairs must be in 1..2000; got 0"):
        DiversityConfig(store=parent, pairs=0)


def test_midpoints_are_drawn_if_items_have_two_views(turned, tmp_path):
    summary = diversity(DiversityConfig(store=turned, pairs=4, out=tmp_path / "figures"))
    assert (tmp_path / "figures" / "midpoints.png").stat().st_size > 1000
    assert summary.text().endswith("midpoints.png")


def test_a_figure_without_two_views_is_refused(made_up, tmp_path):
    single = type("Single", (type(made_up),), {"views": 1})(rows=512).build(tmp_path / "single")
    with pytest.raises(ValueError, match="no item of all has two"):
        diversity(DiversityConfig(store=single, pairs=4, out=tmp_path))
