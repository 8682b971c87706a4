"""A file of torch.save's for each INR, many times faster than torch.save writes them.

Networks of one architecture and class make files that differ in their numbers alone. So the first
one is saved by torch, and the numbers of each further one are put in their places, with the
checksums that the archive (a zip, as PKWARE's APPNOTE has it) keeps of them.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inrgen.core.params import Params
from inrgen.exchange.files import write_whole

# Ends of a member's local header and of its entry in the directory, less names and extras.
_LOCAL_BYTES, _ENTRY_BYTES = 30, 46
_DESCRIPTOR_FOLLOWS = 0x08
_DESCRIPTOR = b"PK\x07\x08"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Member:
    """Where a stored member's bytes lie in an archive, and the two places that tell their CRC."""

    start: int
    size: int
    crcs: tuple[int, int]

    def put(self, data: bytearray, content: bytes) -> None:
        """Write other content of the same size."""
        assert len(content) == self.size, "files of one mould are of one size"
        data[self.start : self.start + self.size] = content
        for at in self.crcs:
            struct.pack_into("<I", data, at, zlib.crc32(content))


def _members(data: bytes) -> dict[str, _Member]:
    """All members of an archive whose content is stored as it is, by name."""
    found = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        at = archive.start_dir
        for info in archive.infolist():
            lengths = struct.unpack_from("<HH", data, info.header_offset + 26)
            start = info.header_offset + _LOCAL_BYTES + sum(lengths)
            told = info.header_offset + 14
            if info.flag_bits & _DESCRIPTOR_FOLLOWS:
                told = start + info.file_size
                told += 4 * (data[told : told + 4] == _DESCRIPTOR)
            found[info.filename] = _Member(start=start, size=info.file_size, crcs=(told, at + 16))
            at += _ENTRY_BYTES + sum(struct.unpack_from("<HHH", data, at + 28))
    return found


class _Mould:
    """The file of one INR, for others of the same shapes and class to be cast in."""

    def __init__(self, names: Sequence[str], tensors: Sequence[Tensor], label: int | None) -> None:
        # dense tensors of their own: torch saves the whole memory that a view looks into
        state: dict[str, Any] = {n: t.clone() for n, t in zip(names, tensors, strict=True)}
        if label is not None:
            state["label"] = label
        file = io.BytesIO()
        torch.save(state, file)
        self._data = bytearray(file.getvalue())
        members = _members(bytes(self._data))
        self._tensors = [members[f"archive/data/{k}"] for k in range(len(names))]
        self._identity = members["archive/.data/serialization_id"]

    def cast(self, row: bytes) -> bytearray:
        """The file of a network whose numbers, one tensor after the other, are these.

        The name that torch gives to what is in a file ends in 20 digits of its content.
        """
        at = 0
        for member in self._tensors:
            member.put(self._data, row[at : at + member.size])
            at += member.size
        name = self._identity
        kept = bytes(self._data[name.start : name.start + name.size - 20])
        name.put(self._data, kept + b"%020d" % zlib.crc32(row))
        return self._data


def write_models(
    names: Sequence[str], params: Params, places: Iterable[tuple[Path, int | None]]
) -> None:
    """Write each INR of a batch as an ordered state dict, as torch.save does.

    Args:
        names: of the tensors: each layer's weight, then its bias.
        places: the file of each INR, and its class where that goes into the file, as "label".
    """
    tensors = [t for pair in zip(params.weights, params.biases, strict=True) for t in pair]
    rows = params.flat().to(dtype=torch.float32).contiguous().numpy()
    moulds: dict[int | None, _Mould] = {}
    for row, (path, label) in zip(rows, places, strict=True):
        if label not in moulds:
            moulds[label] = _Mould(names, [tensor[0] for tensor in tensors], label)
        file = moulds[label].cast(row.tobytes())
        write_whole(path, lambda made, file=file: made.write_bytes(file))
