"""Small stores to train on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inrgen.core.spec import InrSpec
from inrgen.store.create import create_store
from inrgen.store.layout import Layout
from inrgen.store.records import FitRecord
from inrgen.store.writer import StoreWriter, stage_block


@dataclass(frozen=True)
class LabelledRows:
    """A store's worth of made-up rows whose class lies in their weights, in several views.

    The last layer is the class and a little noise. Parameter 0 is the number of the row over 1,000.
    """

    classes: int = 3
    items: int = 60
    views: int = 4
    label_names: tuple[str, ...] = ("cat", "dog", "eel")
    splits: tuple[str, ...] = ("train", "train", "train", "val", "test")
    widths: tuple[int, ...] = (2, 4, 4, 1)
    seed: int = 0

    def label(self, item: int) -> int:
        """A negative number of classes stands for rows without labels."""
        return -1 if self.classes < 0 else (item // len(self.splits)) % self.classes

    def build(self, path: Path) -> Path:
        spec = InrSpec(widths=self.widths, omega=(30.0,) * (len(self.widths) - 2))
        layout = Layout(rows=self.items * self.views, views=self.views)
        flat = np.random.default_rng(self.seed).normal(size=(layout.rows, spec.num_params)) / 10
        flat[:, 0] = np.arange(layout.rows) / 1000
        labels = [self.label(row // self.views) for row in range(layout.rows)]
        flat[:, -5:] += np.array(labels)[:, None]
        create_store(path, [(spec, layout)], {"seed": self.seed}, {})
        with StoreWriter(path) as writer:
            for block in writer.pending(spec.spec_id):
                rows = layout.block_rows(block)
                records = [self._record(spec, row) for row in rows]
                part = flat[rows.start : rows.stop].astype(np.float32)
                writer.commit(stage_block(path, spec.spec_id, block, part, records))
            writer.finish()
        return path

    def _record(self, spec: InrSpec, row: int) -> FitRecord:
        item, view = divmod(row, self.views)
        label = self.label(item)
        return FitRecord(
            item_id=f"{item:05d}",
            view=view,
            row=row,
            spec_id=spec.spec_id,
            split=self.splits[item % len(self.splits)],
            label=label,
            label_name=self.label_names[label] if label >= 0 else "",
            source_sha256=f"{item:064x}",
            seed=self.seed,
            engine="torch",
            num_steps=1,
            final_loss=0.0,
            psnr_db=20.0,
            iou=float("nan"),
            status="ok",
            reason="",
            duration_s=0.0,
            grid=(),
        )
