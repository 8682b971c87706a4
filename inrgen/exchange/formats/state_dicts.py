"""A file for each INR, as an ordered state dict of torch: names, fast writing, safe reading.

Networks of one architecture and class make files that differ in their numbers alone. So torch
saves the first one, and each further file is that one with other numbers and the checksums that
the archive (a zip, by PKWARE's APPNOTE) keeps of them. This is many times faster than torch.save.
"""

import io
import reprlib
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inrgen.core.atomic import write_whole
from inrgen.core.memory import check_memory, too_large
from inrgen.core.moments import Moments
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.exchange.conventions import ExportOptions
from inrgen.exchange.conversion import image_spec
from inrgen.exchange.files import MAX_PARAMS, BadEntry, inside
from inrgen.exchange.formats.base import (
    Entry,
    ExportContext,
    Format,
    Loaded,
    PathOf,
    Row,
    Target,
    mean_and_std,
)

# Fixed parts of a zip member's local header and of its entry in the central directory.
_LOCAL_BYTES, _ENTRY_BYTES = 30, 46
# General purpose flag bit 3: the checksum follows the data, after an optional signature.
_DESCRIPTOR_FOLLOWS = 0x08
_DESCRIPTOR = b"PK\x07\x08"


def seq_names(num_layers: int) -> list[str]:
    """Names of the DWSNets family: seq.0.weight, seq.0.bias, seq.1.weight, ..."""
    return [f"seq.{i}.{kind}" for i in range(num_layers) for kind in ("weight", "bias")]


def net_names(num_layers: int) -> list[str]:
    """Names of SIREN and NFN: sine layers wrap a linear layer, the last layer is one."""
    layers = [*(f"net.{i}.linear" for i in range(num_layers - 1)), f"net.{num_layers - 1}"]
    return [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]


def dws_target(spec: InrSpec, source: str, options: ExportOptions) -> Target:
    """Conventions of the DWSNets family: xy, values in [0, 1], network + 0.5, omega 30."""
    default = 30.0 if spec.activation == "sine" else None
    made = image_spec(
        spec,
        coord_order="xy",
        value_range=(0.0, 1.0),
        output_offset=0.5,
        omega=options.omega or default,
    )
    return Target(spec=made)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Member:
    """Bytes of a stored member within an archive, and the two places that hold their CRC."""

    start: int
    size: int
    crcs: tuple[int, int]

    def put(self, data: bytearray, content: bytes) -> None:
        """Overwrite the member with other content of the same size."""
        assert len(content) == self.size, "files of one template have one size"
        data[self.start : self.start + self.size] = content
        for at in self.crcs:
            struct.pack_into("<I", data, at, zlib.crc32(content))


def _members(data: bytes) -> dict[str, _Member]:
    """All uncompressed members of an archive, by name."""
    found = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        at = archive.start_dir
        for info in archive.infolist():
            # lengths of name and extra field; the local extra field may differ from info.extra
            lengths = struct.unpack_from("<HH", data, info.header_offset + 26)
            start = info.header_offset + _LOCAL_BYTES + sum(lengths)
            # CRC-32: byte 14 of the local header, or first in the data descriptor; byte 16 below
            crc = info.header_offset + 14
            if info.flag_bits & _DESCRIPTOR_FOLLOWS:
                crc = start + info.file_size
                crc += 4 * (data[crc : crc + 4] == _DESCRIPTOR)
            found[info.filename] = _Member(start=start, size=info.file_size, crcs=(crc, at + 16))
            at += _ENTRY_BYTES + sum(struct.unpack_from("<HHH", data, at + 28))
    return found


class _FileTemplate:
    """The file of one INR, refilled for others of the same shapes and class."""

    def __init__(self, names: Sequence[str], tensors: Sequence[Tensor], label: int | None) -> None:
        # clones: torch saves the whole memory that a view looks into
        state: dict[str, Any] = {n: t.clone() for n, t in zip(names, tensors, strict=True)}
        if label is not None:
            state["label"] = label
        file = io.BytesIO()
        torch.save(state, file)
        self._data = bytearray(file.getvalue())
        members = _members(bytes(self._data))
        self._tensors = [members[f"archive/data/{k}"] for k in range(len(names))]
        self._identity = members["archive/.data/serialization_id"]

    def fill(self, row: bytes) -> bytearray:
        """The file of a network with these numbers, one tensor after the other.

        torch's identity of a file ends in 20 digits that depend on the content.
        """
        at = 0
        for member in self._tensors:
            member.put(self._data, row[at : at + member.size])
            at += member.size
        identity = self._identity
        kept = bytes(self._data[identity.start : identity.start + identity.size - 20])
        identity.put(self._data, kept + b"%020d" % zlib.crc32(row))
        return self._data


def write_models(
    names: Sequence[str], params: Params, places: Iterable[tuple[Path, int | None]]
) -> None:
    """Write each INR of a batch as an ordered state dict, as torch.save does.

    Args:
        names: names of the tensors: each layer's weight, then its bias.
        places: file of each INR, and the class to store in it as "label", or None for no label.
    """
    tensors = [t for pair in zip(params.weights, params.biases, strict=True) for t in pair]
    rows = params.flat().to(dtype=torch.float32).contiguous().numpy()
    # labels are few, and each changes the pickled part of a file
    templates: dict[int | None, _FileTemplate] = {}
    for row, (path, label) in zip(rows, places, strict=True):
        if label not in templates:
            templates[label] = _FileTemplate(names, [tensor[0] for tensor in tensors], label)
        file = templates[label].fill(row.tobytes())
        write_whole(path, lambda staged, file=file: staged.write_bytes(file), durable=False)


def write_statistics(context: ExportContext, moments: Moments) -> None:
    """Write statistics.pth over the training rows: weights (in, out, 1), biases (out, 1).

    Writes nothing for fewer than two training rows, which have no deviation to divide by.
    """
    if moments.count < 2:
        return
    mean, std = mean_and_std(moments, context.target.spec)
    named = {"mean": mean, "std": std}
    found = {
        "weights": {
            name: [w[0].mT[..., None].clone() for w in p.weights] for name, p in named.items()
        },
        "biases": {name: [b[0][:, None].clone() for b in p.biases] for name, p in named.items()},
    }
    # given a path, torch.save writes the path's name into the file; so give it bytes
    file = io.BytesIO()
    torch.save(found, file)
    path = context.folder / "statistics.pth"
    write_whole(path, lambda staged: staged.write_bytes(file.getvalue()), durable=False)


def _numpy_scalars() -> list[Any]:
    """NumPy's scalar types, which published files of sine curves hold beside tensors.

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


def _check_archive(path: Path, name: str) -> None:
    """Refuse anything but a zip of stored members, whose size bounds what it unpacks to."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise BadEntry(f"{name} is no file of torch.save's: {error}") from error
    check_memory(sum(member.file_size for member in members), name)
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise BadEntry(f"{name} is compressed, as no file of torch.save's is")


def _read_state(path: Path, name: str) -> dict[Any, Any]:
    _check_archive(path, name)
    try:
        with torch.serialization.safe_globals(_numpy_scalars()):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError as error:
        raise BadEntry(f"{name} takes {too_large()}") from error
    except Exception as error:
        # torch's reader raises any exception that a damaged file provokes
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
    # an expanded view claims any shape with a few bytes
    if value.untyped_storage().nbytes() < value.numel() * value.itemsize:
        raise BadEntry(f"{name}: {key} has {value.numel():,} numbers, more than the file holds")
    return value.detach()


def chain_widths(
    name: str, shapes: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]
) -> tuple[int, ...]:
    """The widths of layers that follow one another. Raises BadEntry if they do not.

    Args:
        name: the file's name, for messages.
        shapes: (out, in) and (out,) of each layer.
    """
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
        raise BadEntry(f"{name}: label must be a whole number; got {reprlib.repr(value):.100}")
    return value


def read_model(folder: Path, name: str, widths: tuple[int, ...] | None) -> Loaded:
    """Read one INR: weights are the keys that contain "weight", biases "bias", in order.

    Raises BadEntry for any defect.
    """
    state = _read_state(inside(folder, name), name)
    found: dict[str, list[Tensor]] = {"weight": [], "bias": []}
    for key, value in state.items():
        for kind, tensors in found.items():
            if isinstance(key, str) and kind in key:
                tensors.append(_tensor(name, key, value))
    if len(found["weight"]) != len(found["bias"]):
        raise BadEntry(f"{name} has weights and biases in different number")
    # the loaders of the DWSNets family pair them up in the same way
    pairs = list(zip(found["weight"], found["bias"], strict=True))
    has = chain_widths(name, [(tuple(w.shape), tuple(b.shape)) for w, b in pairs])
    total = sum(tensor.numel() for pair in pairs for tensor in pair)
    if total > MAX_PARAMS:  # many views of one storage claim a multiple of it
        raise BadEntry(f"{name} has {total:,} numbers, too many")
    label = _label(name, state["label"]) if "label" in state else -1
    # the caller reports the widths, so this is no BadEntry
    if widths is not None and has != widths:
        return Loaded(widths=has, flat=None, label=label)
    flat = torch.cat([part.float().flatten() for pair in pairs for part in pair])
    return Loaded(widths=has, flat=flat, label=label)


def _read_file(
    folder: Path, entries: Sequence[Entry], widths: tuple[int, ...] | None
) -> list[Loaded]:
    return [read_model(folder, entry.path, widths) for entry in entries]


def split_folder(row: Row) -> str:
    """Folder of a row's file: val items are numbered among the training files."""
    return "test" if row["split"] == "test" else "train"


def models_format(
    path_of: PathOf,
    *,
    label_inside: bool,
    names: Callable[[int], list[str]] = seq_names,
    target: Callable[[InrSpec, str, ExportOptions], Target] = dws_target,
    **facts: Any,
) -> Format:
    """A format of labelled INRs with one state dict a file.

    Args:
        path_of: path of a row's file, relative to the export's folder.
        label_inside: whether a file holds its class under "label".
        names: names of the tensors for a number of layers.
        facts: the other fields of the format.
    """

    def write(context: ExportContext, part: int, rows: Sequence[Row], params: Params) -> None:
        places = [
            (context.folder / path_of(context, row), row["label"] if label_inside else None)
            for row in rows
        ]
        write_models(names(len(params.weights)), params, places)

    return Format(
        target=target,
        write=write,
        read_file=_read_file,
        rows_per_part=500,
        labelled=True,
        **facts,
    )
