"""WAV files: PCM and floating-point samples, decoded to [-1, 1] by the file's own header.

Headers are read here because the wave module knows no floating-point samples, and scipy's reader
returns the first part of a file that was cut short without an error.
"""

import struct
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from inrgen.sources.base import BadSignal

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_OTHERS = {2: "ADPCM", 6: "A-law", 7: "mu-law", 0x55: "MP3"}
# Memory of a sample from file to signal, with the bytes of the file: float32, checks and copies.
_COPIES = 16
_MOST_CHUNKS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class WaveHeader:
    """The format of a WAV file's samples, and the place of their bytes.

    Attributes:
        rate_hz: samples a second.
        bits: of one sample as it is stored: 8, 16, 24 or 32, or 32 or 64 for floating point.
        start: the first byte of the samples in the file.
        num_frames: samples of each channel.
    """

    channels: int
    rate_hz: int
    bits: int
    is_float: bool
    start: int
    num_frames: int


def _read_format(text: bytes) -> tuple[int, int, int, bool]:
    """Channels, rate, bits and kind of the samples from a format chunk. Raises BadSignal."""
    if len(text) < 16:
        raise BadSignal("has a format chunk that was cut short")
    tag, channels, rate, _, frame_bytes, bits = struct.unpack("<HHIIHH", text[:16])
    if tag == _EXTENSIBLE and len(text) >= 26:
        # The subformat's first two bytes are the tag that a plain header would have.
        tag = struct.unpack("<H", text[24:26])[0]
    if tag not in (_PCM, _FLOAT):
        raise BadSignal(f"holds {_OTHERS.get(tag, f'format {tag}')}; PCM and float are read")
    if bits not in ((8, 16, 24, 32) if tag == _PCM else (32, 64)):
        raise BadSignal(f"has {'float ' * (tag == _FLOAT)}samples of {bits} bits")
    if channels < 1 or rate < 1 or frame_bytes != channels * bits // 8:
        raise BadSignal(
            f"has a header that contradicts itself: {channels} channels of {bits} bits in "
            f"{frame_bytes} bytes, at {rate} Hz"
        )
    return channels, rate, bits, tag == _FLOAT


def read_header(file: BufferedReader, size_bytes: int) -> WaveHeader:
    """Read the chunks of an open WAV file up to its samples. Raises BadSignal.

    Args:
        size_bytes: of the whole file; chunks that claim more mean that it was cut short.
    """
    head = file.read(12)
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
        raise BadSignal("is no WAV file: it does not begin with RIFF and WAVE")
    found = None
    for _ in range(_MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            break
        name, length = struct.unpack("<4sI", head)
        start = file.tell()
        if start + length > size_bytes:
            raise BadSignal(
                f"was cut short: a chunk of {length:,} bytes begins {size_bytes - start:,} bytes "
                "before its end"
            )
        if name == b"fmt ":
            found = _read_format(file.read(min(length, 64)))
        elif name == b"data":
            if found is None:
                raise BadSignal("has samples before their format")
            channels, rate, bits, is_float = found
            frames = length // (channels * bits // 8)
            return WaveHeader(
                channels=channels,
                rate_hz=rate,
                bits=bits,
                is_float=is_float,
                start=start,
                num_frames=frames,
            )
        file.seek(start + length + length % 2)  # chunks begin at even bytes
    raise BadSignal("has no samples: no data chunk follows the header")


def _scaled(raw: np.ndarray, header: WaveHeader) -> Float32[np.ndarray, " n"]:
    """Bytes of samples as numbers, where full scale is 1."""
    if header.is_float:
        return raw.view(f"<f{header.bits // 8}").astype(np.float32)
    if header.bits == 8:  # the only width whose samples are unsigned
        return (raw.astype(np.float32) - 128) / np.float32(128)
    if header.bits == 24:
        wide = np.zeros((len(raw) // 3, 4), dtype=np.uint8)
        wide[:, 1:] = raw.reshape(-1, 3)
        return wide.view("<i4")[:, 0].astype(np.float32) / np.float32(2**31)
    full = np.float32(2 ** (header.bits - 1))
    return raw.view(f"<i{header.bits // 8}").astype(np.float32) / full


def read_wave(
    path: Path, memory_bytes: int
) -> tuple[Float32[np.ndarray, "n channels"], WaveHeader]:
    """Read the samples of a WAV file, in [-1, 1], and their format.

    Raises BadSignal for a file that is damaged, of another format, or larger than memory_bytes
    once decoded; its header decides before any sample is read.
    """
    with path.open("rb") as file:
        header = read_header(file, path.stat().st_size)
        count = header.num_frames * header.channels
        needed = count * (header.bits // 8 + _COPIES)
        if needed > memory_bytes:
            raise BadSignal(
                f"has {header.num_frames:,} samples of {header.channels} channels, which take "
                f"{needed / 1e9:.1f} GB: more than the {memory_bytes / 1e9:g} GB of --memory-limit"
            )
        if header.num_frames < 2:
            raise BadSignal(f"has {header.num_frames} samples; a sound needs two")
        file.seek(header.start)
        raw = np.frombuffer(file.read(count * header.bits // 8), dtype=np.uint8)
    values = _scaled(raw, header)
    peak = float(np.abs(values).max())
    if not peak <= 1:  # true for NaN, too
        raise BadSignal(f"has floating-point samples outside [-1, 1] or not finite: {peak:g}")
    return values.reshape(-1, header.channels), header
