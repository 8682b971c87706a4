"""The piece of code in a card that loads a store without inrgen, and runs as it stands."""

from pathlib import PurePosixPath

_EXAMPLE = '''\
import numpy as np
import pyarrow.dataset as ds
import zarr

store = {store!r}  # relative to this file
group = zarr.open_group(store, mode="r")[{spec_id!r}]
params = group["params"]  # (rows, parameters); fast for many rows at once, as in params[0:1000]
records = ds.dataset(f"{{store}}/records", format="parquet")

# The record of one row that holds weights, and the row itself.
served = ds.field("status").isin(["ok", "below_target"])
record = records.filter(served).head(1).to_pylist()[0]
row = params[record["row"]]


def evaluate(row, coords):
    """One network's values at coords (n, d_in), built from the group's attributes alone."""
    spec, layers, h = group.attrs["spec"], group.attrs["layers"], coords
    activations = {{"sine": np.sin, "tanh": np.tanh, "relu": lambda z: np.maximum(z, 0)}}
    parts = [row[x["offset"] :][: np.prod(x["shape"])].reshape(x["shape"]) for x in layers]
    for layer, (weight, bias) in enumerate(zip(parts[0::2], parts[1::2])):
        h = h @ weight.T + bias
        if layer < len(spec["omega"]):
            h = activations[spec["activation"]](spec["omega"][layer] * h)
    return h + spec["output_offset"]


centre = np.array([group.attrs["spec"]["coord_center"]])
print(record["item_id"], record["split"], record["label_name"], evaluate(row, centre))'''


def loading_example(spec_id: str, folder: PurePosixPath) -> str:
    """Code for a spec of the store in folder, which is relative to where the code runs."""
    return _EXAMPLE.format(store=folder.as_posix(), spec_id=spec_id)
