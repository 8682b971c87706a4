"""Sounds of INRs over time: their samples at any rate, and WAV files of them."""

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from inrgen.core.geometry import grid_coords, noted_grid
from inrgen.core.siren import evaluate
from inrgen.store.queries import read_usable_records
from inrgen.store.reader import Store

# Samples are evaluated in parts, so that an hour of sound needs no more memory than a second.
_SAMPLES_AT_ONCE = 65_536
_MOST_CHANNELS = 2
_FULL_SCALE = 2**15 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class RowSound:
    """The sound of one row of a store; full scale is 1."""

    item_id: str
    view: int
    samples: Float32[np.ndarray, "n channels"]
    rate_hz: int

    @property
    def num_clipped(self) -> int:
        """Samples beyond full scale, which a file of PCM samples cuts off."""
        return int((np.abs(self.samples) > 1).sum())

    def write(self, out: Path) -> None:
        """Write a WAV file of 16-bit PCM samples, which every program plays."""
        whole = np.rint(self.samples.clip(-1, 1) * _FULL_SCALE).astype("<i2")
        with wave.open(str(out), "wb") as file:
            file.setparams((whole.shape[1], 2, self.rate_hz, len(whole), "NONE", ""))
            file.writeframes(whole.tobytes())


def extract_sound(
    store: Store, row: int, rate_hz: int | None = None, spec_id: str | None = None
) -> RowSound:
    """Evaluate one row over time, from the first sample that it was fitted to to the last.

    The records of an audio-folder hold the duration, so any rate gives the same sound with more or
    fewer samples. A series of another source keeps its samples, and rate_hz says how fast they
    follow each other. The largest value of the store's range is full scale.

    Raises ValueError for INRs that are no sounds, a row without weights, and a rate that is
    missing.
    """
    if spec_id is not None and spec_id not in store.specs:
        raise ValueError(f"spec must be one of {', '.join(store.specs)}; got {spec_id!r}")
    spec = store.specs[spec_id] if spec_id else store.spec
    if spec.d_in != 1 or spec.d_out > _MOST_CHANNELS:
        raise ValueError(
            f"a sound needs INRs of 1 input and 1 or 2 outputs; got {spec.architecture}"
        )
    columns = ["item_id", "view", "grid", "center", "scale"]
    (record,) = read_usable_records(store, [row], spec.spec_id, columns)
    (num,) = noted_grid(spec, record["grid"])
    low, high = spec.coord_range
    if len(record["center"]) == 1:
        seconds = (high - low) / record["scale"]
        rate_hz = rate_hz or round((num - 1) / seconds)
        num = round(seconds * rate_hz) + 1
    elif rate_hz is None:
        raise ValueError(f"rate must be given: {store.path} records no rate of its samples")
    params, coords = store.read([row], spec.spec_id), grid_coords(spec, (num,))
    parts = [evaluate(spec, params, some)[0].numpy() for some in coords.split(_SAMPLES_AT_ONCE)]
    peak = np.float32(max(map(abs, spec.value_range)))
    samples = np.concatenate(parts) / peak
    return RowSound(
        item_id=record["item_id"], view=record["view"], samples=samples, rate_hz=rate_hz
    )
