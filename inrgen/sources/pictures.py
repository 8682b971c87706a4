"""Pictures that Pillow opens, decoded to intensities in [0, 1] and turned into signals."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps, UnidentifiedImageError

from inrgen.sources.base import BadSignal, Signal

_GRAY_MODES = frozenset({"1", "L", "LA", "La", "I", "F"})
_ALPHA_MODES = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
# Luma of ITU-R BT.601, the weights that Pillow uses when it converts to gray.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@contextmanager
def one_bad_picture() -> Iterator[None]:
    """Turn every error of one picture into BadSignal, with a reason for its record.

    Reasons name no folder, so records do not depend on where the pictures lie.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Pillow only warns below twice its limit, but such pictures are too large to fit, too.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (BadSignal, MemoryError):
        raise
    except UnidentifiedImageError:
        raise BadSignal("not an image that Pillow knows") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise BadSignal(f"more than {Image.MAX_IMAGE_PIXELS} pixels") from None
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


def _deep_gray(image: Image.Image, file_format: str | None) -> Float[np.ndarray, "rows columns"]:
    """Scale gray pixels of more than eight bits to [0, 1]."""
    values = np.asarray(image)
    if image.mode == "F":
        if not np.isfinite(values).all():
            raise BadSignal("has pixels that are not finite")
        if values.min() < 0 or values.max() > 1:
            raise BadSignal(
                f"has floating-point pixels outside [0, 1]: {values.min():g} to {values.max():g}"
            )
        return values.astype(np.float32)
    # Some versions of Pillow open 16-bit PNG and PGM files as 32-bit integers.
    if image.mode == "I" and file_format not in ("PNG", "PPM"):
        raise BadSignal("has 32-bit integer pixels, whose range no header states")
    return values.astype(np.float32) / np.float32(65535)


def decode(image: Image.Image) -> Float[np.ndarray, "rows columns c"]:
    """Decode a picture to intensities in [0, 1], of one channel or three, as a viewer shows it.

    EXIF orientation is applied, transparency is laid on white, and an animation gives its first
    frame. Palettes, CMYK and other colour spaces become RGB. Gray keeps 16 bits; colour has eight,
    as Pillow reads it.

    Raises:
        BadSignal: the pixels are no intensities.
    """
    if min(image.size) < 1:
        raise BadSignal(f"has no pixels: {image.size[0]} x {image.size[1]}")
    file_format = image.format
    gray = is_gray(image)
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _deep_gray(image, file_format)[:, :, None]
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        image = image.convert("RGBA")
        pixels = np.asarray(image).astype(np.float32) / np.float32(255)
        alpha = pixels[:, :, 3:]
        values = pixels[:, :, :3] * alpha + (1 - alpha)
        return values[:, :, :1] if gray else values
    pixels = np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))
    values = pixels.astype(np.float32) / np.float32(255)
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
