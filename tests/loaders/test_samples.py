"""The MixUp partner of a sample is another sample of its pool, chosen by its number alone."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from inrgen.loaders.keys import KeyColumns
from inrgen.loaders.order import NUM_STREAMS
from inrgen.loaders.samples import EpochSamples
from inrgen.loaders.selection import Selection
from inrgen.store.layout import Layout

COUNTS = st.lists(st.integers(1, 9), min_size=1, max_size=6)


def samples_of(counts, epoch=0):
    """An epoch of made-up rows, with the given number in each shard."""
    layout = Layout(rows=256 * len(counts), views=1)
    rows = np.concatenate([256 * shard + np.arange(num) for shard, num in enumerate(counts)])
    every = np.arange(layout.rows)
    keys = KeyColumns(rows=rows.astype(np.uint16), num_views=1, labels=every % 3, items=every)
    selection = Selection.from_keys([keys], [layout], None)
    assert np.diff(selection.shard_starts).tolist() == counts
    return EpochSamples(selection, seed=0, epoch=epoch, pool_shards=2)


def pools_of(order):
    """The samples of each pool of an epoch."""
    for stream in range(min(NUM_STREAMS, order.num_samples)):
        pool = order.pool_at(stream, 0)
        while pool is not None:
            yield np.arange(pool.start, pool.stop) * NUM_STREAMS + stream
            pool = order.pool_after(pool)


@settings(deadline=None, max_examples=15)
@given(counts=COUNTS, epoch=st.integers(0, 3))
def test_a_partner_is_another_sample_of_the_same_pool(counts, epoch):
    epoch_samples = samples_of(counts, epoch)
    every = np.arange(sum(counts))
    units, partners = epoch_samples.units(every)[0], epoch_samples.partners(every)[0]
    assert np.array_equal(epoch_samples.partners(every[1::3])[0], partners[1::3])
    for samples in pools_of(epoch_samples.order):
        assert np.isin(partners[samples], units[samples]).all()
        is_own = partners[samples] == units[samples]
        assert is_own.all() if len(samples) == 1 else not is_own.any()


def test_every_other_sample_of_a_pool_is_as_likely_a_partner():
    epoch_samples = samples_of([101] * 16)
    (samples, *_) = pools_of(epoch_samples.order)
    assert len(samples) == 202
    found = np.concatenate([samples + stream for stream in range(NUM_STREAMS)])
    units, partners = epoch_samples.units(found)[0], epoch_samples.partners(found)[0]
    place = np.empty_like(units)
    place[units] = np.arange(len(units))
    steps = (place[partners] - np.arange(len(units))) % 202
    # 1,616 steps, uniform from 1 to 201: each eighth of the range holds 202, with deviation 13.
    counts, _ = np.histogram(steps, bins=8, range=(1, 202))
    assert steps.min() >= 1
    assert (np.abs(counts - 202) < 65).all()
