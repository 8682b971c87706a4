"""Pictures that Pillow opens, decoded to intensities in [0, 1] and turned into signals."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from inrgen.sources.base import BadSignal, Signal
from inrgen.sources.config import SourceConfig

_GRAY_MODES = frozenset({"1", "L", "LA", "La", "I", "F"})
_ALPHA_MODES = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
# Luma of ITU-R BT.601, the weights that Pillow uses when it converts to gray.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
# Tags of TIFF 6.0, and the interpretation in which zero is white.
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0
# Memory of a pixel from file to signal, with coordinates: opaque, with alpha, and if it is shrunk.
_OPAQUE_BYTES, _CLEAR_BYTES, _SHRUNK_BYTES = 48, 64, 16


@contextmanager
def one_bad_picture() -> Iterator[None]:
    """Turn every error of one picture into BadSignal, with a reason for its record.

    Reasons name no folder, so records do not depend on where the pictures lie.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (BadSignal, MemoryError):
        raise
    except UnidentifiedImageError:
        raise BadSignal("not an image that Pillow knows") from None
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise BadSignal(f"has more than {most:,} pixels, which Pillow refuses") from None
    except OSError as error:
        if error.errno is not None:
            raise BadSignal(f"cannot be read: {error.strerror}") from error
        raise BadSignal(f"damaged image: {error}") from error
    # Decoders fail on damaged files with struct.error, IndexError, SyntaxError and more; such a
    # file must not end a build.
    except Exception as error:
        raise BadSignal(f"damaged image: {type(error).__name__}: {error}") from error


def is_gray(image: Image.Image) -> bool:
    """Tell from the header alone whether a picture is gray; a palette is gray if every entry is."""
    if image.mode == "P" and image.palette is not None and image.palette.rawmode in (None, "RGB"):
        entries = np.frombuffer(bytes(image.palette.palette), dtype=np.uint8)
        entries = entries[: len(entries) // 3 * 3].reshape(-1, 3)
        return bool((entries == entries[:, :1]).all())
    return image.mode in _GRAY_MODES or image.mode.startswith("I;16")


def check_size(image: Image.Image, config: SourceConfig) -> None:
    """Judge a picture by its header, before any pixel is decoded. Raises BadSignal."""
    columns, rows = image.size
    if min(columns, rows) < 1:
        raise BadSignal(f"has no pixels: {columns} x {rows}")
    if config.max_pixels is not None and columns * rows > config.max_pixels:
        raise BadSignal(
            f"has {columns * rows:,} pixels, more than the {config.max_pixels:,} of --max-pixels"
        )
    shrinks = config.max_side is not None and max(columns, rows) > config.max_side
    if shrinks:
        a_pixel = _SHRUNK_BYTES
    else:
        a_pixel = _CLEAR_BYTES if _is_clear(image) else _OPAQUE_BYTES
    if columns * rows * a_pixel > config.memory_bytes:
        raise BadSignal(
            f"has {columns:,} x {rows:,} pixels, which take {columns * rows * a_pixel / 1e9:.1f} "
            f"GB: more than the {config.memory_limit:g} GB of --memory-limit (--max-side shrinks)"
        )


def _is_clear(image: Image.Image) -> bool:
    return image.mode in _ALPHA_MODES or "transparency" in image.info


def _shrink(image: Image.Image, max_side: int | None) -> Image.Image:
    """Shrink a picture to a longer side of max_side, antialiased (Lanczos)."""
    if max_side is None or max(image.size) <= max_side:
        return image
    scale = max_side / max(image.size)
    columns, rows = (max(1, round(side * scale)) for side in image.size)
    return image.resize((columns, rows), Image.Resampling.LANCZOS)


@dataclass(frozen=True, kw_only=True, slots=True)
class _GrayScale:
    """Meaning of gray values beyond eight bits as intensities, by a file's own header."""

    peak: float = 65535.0  # Pillow scales PNG, PGM and JPEG 2000 to 16 bits
    white_is_zero: bool = False
    clear: int | None = None  # the value that is transparent
    states_range: bool = True

    @classmethod
    def read(cls, image: Image.Image) -> "_GrayScale":
        clear = image.info.get("transparency")
        clear = clear if isinstance(clear, int) else None
        if not isinstance(image, TiffImageFile):
            # Some versions of Pillow open 16-bit PNG and PGM files as 32-bit integers.
            states_range = image.mode != "I" or image.format in ("PNG", "PPM")
            return cls(clear=clear, states_range=states_range)
        bits = image.tag_v2.get(_BITS_PER_SAMPLE, 16)
        bits = bits[0] if isinstance(bits, tuple) else bits
        return cls(
            peak=2.0**bits - 1,
            white_is_zero=image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO,
            states_range=image.mode != "I",
        )


def _deep_gray(
    image: Image.Image, scale: _GrayScale, max_side: int | None
) -> Float[np.ndarray, "rows columns"]:
    """Scale gray pixels of more than eight bits to [0, 1]."""
    values = np.asarray(image)
    if image.mode == "F":
        if not np.isfinite(values).all():
            raise BadSignal("has pixels that are not finite")
        if values.min() < 0 or values.max() > 1:
            raise BadSignal(
                f"has floating-point pixels outside [0, 1]: {values.min():g} to {values.max():g}"
            )
        intensities = values.astype(np.float32)
    elif not scale.states_range:
        raise BadSignal("has signed or 32-bit integer pixels, whose range no header states")
    else:
        intensities = values.astype(np.float32) / np.float32(scale.peak)
    if scale.white_is_zero:  # Pillow turns only eight bits and fewer
        intensities = 1 - intensities
    if scale.clear is not None:
        intensities[values == scale.clear] = 1
    if max_side is not None:
        # Lanczos overshoots at edges.
        intensities = np.asarray(_shrink(Image.fromarray(intensities), max_side)).clip(0, 1)
    return intensities


def _unit(pixels: np.ndarray) -> Float[np.ndarray, "..."]:
    values = pixels.astype(np.float32)
    values /= np.float32(255)  # in place, as large pictures fill the memory
    return values


def decode(image: Image.Image, config: SourceConfig) -> Float[np.ndarray, "rows columns c"]:
    """Decode a picture to intensities in [0, 1], of one channel or three, as a viewer shows it.

    EXIF orientation is applied, transparency is laid on white, and an animation gives its first
    frame. Palettes, CMYK and other colour spaces become RGB. Gray keeps up to 16 bits and follows
    the file's own bits and photometric interpretation; colour has eight bits, as Pillow reads it.
    Pictures above config.max_side are shrunk, antialiased.

    Raises:
        BadSignal: the pixels are no intensities, or more than config allows.
    """
    check_size(image, config)
    gray, scale = is_gray(image), _GrayScale.read(image)
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _deep_gray(image, scale, config.max_side)[:, :, None]
    clear = image.info.get("transparency")
    if isinstance(clear, tuple) and max(clear) > 255:
        # Pillow cuts 16-bit colour to eight bits and leaves the transparent colour at sixteen.
        image.info["transparency"] = tuple(value >> 8 for value in clear)
    if _is_clear(image):
        pixels = _unit(np.asarray(_shrink(image.convert("RGBA"), config.max_side)))
        values, alpha = pixels[:, :, :3], pixels[:, :, 3:]
        values *= alpha
        values += 1 - alpha
        return values[:, :, :1] if gray else values
    flat = image.convert("L" if image.mode in ("1", "L") else "RGB")
    values = _unit(np.asarray(_shrink(flat, config.max_side)))
    if values.ndim == 2:
        return values[:, :, None]
    return values[:, :, :1] if gray else values


def match_channels(
    values: Float[np.ndarray, "rows columns c"], d_out: int
) -> Float[np.ndarray, "rows columns d_out"]:
    """Repeat one channel as three, or reduce three to their luma, to give d_out channels."""
    channels = values.shape[2]
    if channels == d_out:
        return values
    if (channels, d_out) == (1, 3):
        return values.repeat(3, axis=2)
    if (channels, d_out) == (3, 1):
        return (values @ _LUMA)[:, :, None]
    raise ValueError(f"d_out must be 1 or 3 for a picture of {channels} channels; got {d_out}")


def picture_signal(values: Float[np.ndarray, "rows columns c"], d_out: int) -> Signal:
    """Make the signal of a picture with intensities in [0, 1]: one point a pixel, row-major."""
    matched = np.ascontiguousarray(match_channels(values, d_out), dtype=np.float32)
    rows, columns, _ = matched.shape
    return Signal(values=torch.from_numpy(matched).flatten(0, 1), grid=(rows, columns))
