"""Code on a data card: the command that builds the store again, and Python that loads it."""

import shlex
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Any

from inrgen.core.activations import ACTIVATIONS, ActivationName
from inrgen.core.config import InitConfig
from inrgen.core.encoding import Encoding, encoding_text
from inrgen.core.spec import InrSpec

# Keys that only the identity of a built store has.
_BUILD_KEYS = {"source", "recipe", "spec", "fit", "engine", "seed", "views", "min_psnr_db"}

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
    activations = {{{activations}}}{encoding}
    parts = [row[x["offset"] :][: np.prod(x["shape"])].reshape(x["shape"]) for x in layers]
    for layer, (weight, bias) in enumerate(zip(parts[0::2], parts[1::2])):
        h = h @ weight.T + bias
        if layer < len(spec["omega"]):
            h = activations[spec["activation"]](spec["omega"][layer] * h)
    return h + spec["output_offset"]


centre = np.array([group.attrs["spec"]["coord_center"]])
print(record["item_id"], record["split"], record["label_name"], evaluate(row, centre))'''


_ENCODE = """
    h = 2 * np.pi * coords @ np.array(spec["encoding"]["frequencies"]).T
    h = np.concatenate([np.cos(h), np.sin(h)], axis=1)"""
# Activations that every example knows, so that cards of the same store stay the same.
_SHOWN: tuple[ActivationName, ...] = ("sine", "tanh", "relu")


def _source_words(source: dict[str, Any]) -> list[Any]:
    words: list[Any] = [source["name"], "--out", "STORE"]
    # digits ship with scikit-learn
    if source["name"] != "digits":
        words += ["--data", "DIR"]
    # The identity leaves out the order of older stores, which is not today's default.
    if source.get("limit") is not None:
        source = {**source, "limit_order": source.get("limit_order", "first")}
    defaults = {"split": "all", "limit": None, "limit_order": None, "channels": "auto"}
    defaults |= {"max_side": None, "max_pixels": None, "copies": 0, "shift": 0}
    for name, default in defaults.items():
        if (value := source.get(name, default)) != default:
            words += [f"--{name.replace('_', '-')}", value]
    if source.get("follow_links"):
        words.append("--follow-links")
    if source.get("flip"):
        words.append("--flip")
    for name, value in source.get("shape", {}).items():
        # the identity records the order of axes, but no option sets it
        if name != "axes":
            words += [
                f"--{name.replace('_', '-')}",
                *(value if isinstance(value, list) else [value]),
            ]
    return words


def _recipe_words(name: str, spec: dict[str, Any], fit: dict[str, Any]) -> dict[str, list[Any]]:
    """Options that a recipe settles; a learned start leaves no choice of them."""
    others: dict[str, list[Any]] = {}
    if spec["activation"] != "sine":
        others["--activation"] = [spec["activation"]]
        # Spelled out, because the usual start of an activation may change.
        init = asdict(InitConfig(**fit["init"]))
        del init["shared"]  # an option of its own
        others["--recipe"] = [",".join([name, *(f"{key}={value}" for key, value in init.items())])]
    if "encoding" in spec:
        others["--encoding"] = [encoding_text(Encoding.from_dict(spec["encoding"]))]
    return others | {
        "--hidden": spec["widths"][1:-1],
        "--omega": [spec["omega"][0]],
        "--points-per-step": [fit["points_per_step"]],
        "--lr": [fit["lr"]],
        # no fit meets an infinite target, so none stops early
        "--stop-psnr": ["inf" if fit["stop_psnr_db"] is None else fit["stop_psnr_db"]],
    }


def build_command(identity: dict[str, Any]) -> str | None:
    """The command that makes a store of this identity again; None if no build made the store.

    Spells out every choice, so that the command outlives changes of defaults. The reader fills in
    the folder of the data (DIR), of the store (STORE) and the learned start (START).
    """
    if not set(identity) >= _BUILD_KEYS:
        return None
    fit = identity["fit"]
    choices = {
        "--views": [identity["views"]],
        "--recipe": [identity["recipe"]],
        "--num-steps": [fit["num_steps"]],
        "--engine": [identity["engine"]],
        "--seed": [identity["seed"]],
    }
    words = ["inrgen", "build", *_source_words(identity["source"])]
    if "start" in identity:
        choices |= {"--start": ["START"], "--points-per-step": [fit["points_per_step"]]}
        words += ["--curvature"] * fit.get("curvature", False)
    else:
        choices |= _recipe_words(identity["recipe"], identity["spec"], fit)
        if fit["init"]["shared"]:
            words.append("--shared")
    for flag, values in choices.items():
        words += [flag, *values]
    if identity["min_psnr_db"] is not None:
        words += ["--min-psnr", identity["min_psnr_db"]]
    return shlex.join(map(str, words))


def loading_example(spec: InrSpec, folder: PurePosixPath) -> str:
    """Python that loads rows of a spec without inrgen, from a store relative to the card."""
    names = dict.fromkeys((*_SHOWN, spec.activation))
    codes = {name: ACTIVATIONS[name].numpy for name in names}
    lines = [f'"{n}": {code}'.replace("OMEGA", 'spec["omega"][layer]') for n, code in codes.items()]
    return _EXAMPLE.format(
        store=folder.as_posix(),
        spec_id=spec.spec_id,
        activations=", ".join(lines),
        encoding=_ENCODE if spec.encoding else "",
    )
