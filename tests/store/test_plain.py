"""A store opens with zarr, pyarrow and polars alone, and its networks can be rebuilt."""

import json

import numpy as np
import polars
import pyarrow.parquet as pq
import torch
import zarr

from inrgen.core.params import Params
from inrgen.core.siren import evaluate


def test_networks_rebuilt_from_attributes(sample, store):
    group = zarr.open_group(store, mode="r")
    assert sorted(group) == [sample.spec_id]
    assert sorted(group[sample.spec_id]) == ["params"]
    attributes = json.loads(json.dumps(dict(group[sample.spec_id].attrs)))
    params = group[f"{sample.spec_id}/params"]
    assert params.dtype == np.float32
    np.testing.assert_array_equal(params[:], sample.flat)

    flat, spec = params[3:5], attributes["spec"]
    layers = {
        layer["name"]: flat[
            :, layer["offset"] : layer["offset"] + int(np.prod(layer["shape"]))
        ].reshape(-1, *layer["shape"])
        for layer in attributes["layers"]
    }
    assert attributes["num_params"] == flat.shape[1]
    assert (spec["activation"], spec["coord_order"]) == ("sine", "xy")
    x = np.random.default_rng(0).uniform(*spec["coord_range"], size=(7, spec["widths"][0]))
    h = x
    for l, omega in enumerate(spec["omega"]):
        w, b = layers[f"{l}.weight"], layers[f"{l}.bias"]
        h = np.sin(omega * (h @ w.transpose(0, 2, 1) + b[:, None]))
    last = len(spec["omega"])
    y = h @ layers[f"{last}.weight"].transpose(0, 2, 1) + layers[f"{last}.bias"][:, None]
    y = y + spec["output_offset"]

    ours = Params.from_flat(sample.spec, torch.from_numpy(sample.flat[3:5]).double())
    expected = evaluate(sample.spec, ours, torch.from_numpy(x))
    np.testing.assert_allclose(y, expected.numpy(), rtol=1e-6)


def test_records_are_one_data_set(sample, store):
    by_arrow = pq.read_table(store / "records")
    by_polars = polars.read_parquet(store / "records" / "*.parquet")
    assert by_arrow.num_rows == by_polars.height == sample.layout.rows
    assert by_polars["row"].to_list() == list(range(sample.layout.rows))
    assert by_polars["grid"][0].to_list() == [4, 5]


def test_a_missing_shard_is_nan_to_zarr(sample, store):
    (store / sample.spec_id / "params/c/1/0").unlink()
    params = zarr.open_array(store / sample.spec_id / "params", mode="r")
    assert np.isnan(params[258:516]).all()
    np.testing.assert_array_equal(params[516:], sample.flat[516:])
