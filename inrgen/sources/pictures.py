"""Pictures as Pillow opens them, decoded to intensities in [0, 1]."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageOps, UnidentifiedImageError

from inrgen.sources.base import BadSignal

_GRAY_MODES = frozenset({"1", "L", "LA", "La", "I", "F"})
_ALPHA_MODES = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})


@contextmanager
def one_bad_picture() -> Iterator[None]:
    """Turn whatever goes wrong with one picture into BadSignal with a reason that fits a record.

    Reasons name no folder, so that records do not depend on where the pictures lie.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Pillow only warns of up to twice its limit, which is too large to fit all the same.
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
    # A damaged file makes decoders fail in every way there is (struct.error, IndexError,
    # SyntaxError, ...), and one such file must not end a build.
    except Exception as error:
        raise BadSignal(f"damaged image: {type(error).__name__}: {error}") from error


def is_gray(image: Image.Image) -> bool:
    """Whether a picture is gray by its header alone; a palette counts as gray if all of it is."""
    if image.mode == "P" and image.palette is not None and image.palette.rawmode in (None, "RGB"):
        entries = np.frombuffer(bytes(image.palette.palette), dtype=np.uint8)
        entries = entries[: len(entries) // 3 * 3].reshape(-1, 3)
        return bool((entries == entries[:, :1]).all())
    return image.mode in _GRAY_MODES or image.mode.startswith("I;16")


def _deep_gray(image: Image.Image, file_format: str | None) -> Float[np.ndarray, "rows columns"]:
    """Gray pixels of more than eight bits, in [0, 1]."""
    values = np.asarray(image)
    if image.mode == "F":
        if not np.isfinite(values).all():
            raise BadSignal("has pixels that are not finite")
        if values.min() < 0 or values.max() > 1:
            raise BadSignal(
                f"has floating-point pixels outside [0, 1]: {values.min():g} to {values.max():g}"
            )
        return values.astype(np.float32)
    # Pillow opens 16-bit PNG and PGM files as 32-bit integers in some versions.
    if image.mode == "I" and file_format not in ("PNG", "PPM"):
        raise BadSignal("has 32-bit integer pixels, whose range no header states")
    return values.astype(np.float32) / np.float32(65535)


def decode(image: Image.Image) -> Float[np.ndarray, "rows columns c"]:
    """The pixels of a picture as it should be looked at, in [0, 1], of one channel or three.

    Turned as its EXIF orientation says; what is transparent lies on white; of an animation the
    first frame; palettes, CMYK and the like become RGB. Gray keeps 16 bits; colour has eight, as
    Pillow reads it. Raises BadSignal for pixels that are no intensities.
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
