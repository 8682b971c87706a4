"""One INR a file, as an ordered state dict of torch: how tensors are called, and safe reading."""

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inrgen.core.spec import InrSpec
from inrgen.exchange.conventions import pictures_as
from inrgen.exchange.files import MAX_PARAMS, BadEntry, inside, write_whole
from inrgen.exchange.formats.base import Entry, Loaded, Writing
from inrgen.exchange.moments import Moments


def _numpy_scalars() -> list[Any]:
    """What published files of sine curves hold beside tensors: NumPy's scalars, and no more.

    The same function has two names, by the version of NumPy that wrote the file.
    """
    scalar = np.float64(0.0).__reduce__()[0]
    kinds = (np.float64, np.float32, np.int64, np.int32)
    return [
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        np.dtype,
        *(type(np.dtype(kind)) for kind in kinds),
    ]


def seq_names(num_layers: int) -> list[str]:
    """Names of the DWSNets family: seq.0.weight, seq.0.bias, seq.1.weight, ..."""
    return [f"seq.{i}.{kind}" for i in range(num_layers) for kind in ("weight", "bias")]


def net_names(num_layers: int) -> list[str]:
    """SIREN's and NFN's names: the sine layers wrap a linear one, the last is one."""
    layers = [*(f"net.{i}.linear" for i in range(num_layers - 1)), f"net.{num_layers - 1}"]
    return [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]


def _save(value: dict[str, Any], path: Path) -> None:
    """torch.save through an open file: given a path, it writes the path's name into the file."""
    with path.open("wb") as file:
        torch.save(value, file)


def write_statistics(writing: Writing, moments: Moments) -> None:
    """statistics.pth: weights (in, out, 1), biases (out, 1), over the training rows.

    Left out where fewer than two training rows went out: there is no deviation to divide by.
    """
    if moments.count < 2:
        return
    mean, std = moments.mean_and_std(writing.target.spec)
    named = {"mean": mean, "std": std}
    found = {
        "weights": {
            name: [w[0].mT[..., None].clone() for w in p.weights] for name, p in named.items()
        },
        "biases": {name: [b[0][:, None].clone() for b in p.biases] for name, p in named.items()},
    }
    write_whole(writing.folder / "statistics.pth", lambda made: _save(found, made))


def _check_archive(path: Path, name: str) -> None:
    """Hold a file to what torch.save writes: a zip of stored members, so as large as it says."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise BadEntry(f"{name} is no file of torch.save's: {error}") from error
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise BadEntry(f"{name} is compressed, as no file of torch.save's is")


def _read_state(path: Path, name: str) -> dict[Any, Any]:
    _check_archive(path, name)
    try:
        with torch.serialization.safe_globals(_numpy_scalars()):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError as error:
        raise BadEntry(f"{name} asks for more memory than there is") from error
    except Exception as error:
        # torch's reader raises whatever a damaged file makes it stumble over
        first = (str(error).splitlines() or [""])[0]
        raise BadEntry(f"{name} cannot be read: {type(error).__name__}: {first:.200}") from error
    if not isinstance(state, dict):
        raise BadEntry(f"{name} holds no state dict but {type(state).__name__}")
    return state


def _tensor(name: str, key: str, value: object) -> Tensor:
    if not isinstance(value, Tensor):
        raise BadEntry(f"{name}: {key} is no tensor")
    plain = value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized
    if not plain or not value.is_floating_point():
        raise BadEntry(f"{name}: {key} is no plain tensor of floating-point numbers")
    if value.numel() > MAX_PARAMS:
        raise BadEntry(f"{name}: {key} has {value.numel():,} numbers, too many")
    return value.detach()


def chain_widths(
    name: str, shapes: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]
) -> tuple[int, ...]:
    """The widths of layers of (out, in) and (out,) that follow one another."""
    if len(shapes) < 2:
        raise BadEntry(f"{name} has {len(shapes)} layers; an INR has two or more")
    widths: list[int] = []
    for weight, bias in shapes:
        fits = len(weight) == 2 and bias == weight[:1] and (not widths or weight[1] == widths[-1])
        if not fits or min(weight) < 1:
            raise BadEntry(f"{name}: layers of {list(shapes)!r:.200} do not follow one another")
        widths += [weight[1], weight[0]] if not widths else [weight[0]]
    return tuple(widths)


def _label(name: str, value: object) -> int:
    if isinstance(value, Tensor | np.generic) and np.size(value) == 1:
        value = value.item()
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise BadEntry(f"{name}: label must be a whole number; got {value!r:.100}")
    return value


def read_model(folder: Path, name: str, widths: tuple[int, ...] | None) -> Loaded:
    """One INR: weights are the keys with "weight" in them, biases those with "bias", in order.

    Raises BadEntry, whatever is wrong.
    """
    state = _read_state(inside(folder, name), name)
    found: dict[str, list[Tensor]] = {"weight": [], "bias": []}
    for key, value in state.items():
        for kind, tensors in found.items():
            if isinstance(key, str) and kind in key:
                tensors.append(_tensor(name, key, value))
    if len(found["weight"]) != len(found["bias"]):
        raise BadEntry(f"{name} has weights and biases in different number")
    pairs = list(zip(found["weight"], found["bias"], strict=True))
    has = chain_widths(name, [(tuple(w.shape), tuple(b.shape)) for w, b in pairs])
    label = _label(name, state["label"]) if "label" in state else -1
    if widths is not None and has != widths:
        return Loaded(widths=has, flat=None, label=label)
    flat = torch.cat([part.float().flatten() for pair in pairs for part in pair])
    return Loaded(widths=has, flat=flat, label=label)


def load_models(
    folder: Path, entries: Sequence[Entry], widths: tuple[int, ...] | None
) -> Iterator[Loaded | BadEntry]:
    """read_model of each entry, with what is wrong in the place of what cannot be read."""
    for entry in entries:
        try:
            yield read_model(folder, entry.path, widths)
        except BadEntry as error:
            yield error


def dws_family(spec: InrSpec, omega: float | None) -> InrSpec:
    """The DWSNets family's conventions: xy, [0, 1], network + 0.5, omega 30 unless told."""
    return pictures_as(
        spec,
        coord_order="xy",
        value_range=(0.0, 1.0),
        output_offset=0.5,
        omega=omega or (30.0 if spec.activation == "sine" else None),
    )
