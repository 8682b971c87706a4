"""ModelNet40: from meshes to a network that classifies shapes by their INRs' weights.

    python -m pipelines.modelnet40 --data DIR --out OUT

DIR has ModelNet's own layout, CLASS/train|test/*.off. Each view of a shape takes about 1.5 seconds
of one core. The set ships no validation split, so one training shape in six chooses the epoch. The
same command resumes a stopped run.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from inrgen.sources.config import SourceConfig
from pipelines.journey import SHAPE, Size, main


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelNet40:
    """Build, align and train on ModelNet40, or on meshes laid out like it.

    Attributes:
        data: the folder of classes.
        out: folder for the stores and the run.
        size: amount of fitting and training; --size.limit None takes all shapes.
    """

    data: Path
    out: Path = Path("modelnet40")
    size: Size = field(default_factory=lambda: Size(limit=200, views=1, epochs=40))

    def source(self) -> SourceConfig:
        """Source of train and test meshes, as occupancy."""
        return SourceConfig(
            name="modelnet40", data=str(self.data), limit=self.size.limit, shape=SHAPE
        )


if __name__ == "__main__":
    sys.exit(main(ModelNet40))
