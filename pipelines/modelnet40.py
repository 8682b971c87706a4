"""ModelNet40, from meshes to a network that classifies shapes by weights.

    python -m pipelines.modelnet40 --data DIR --out OUT

DIR is ModelNet's own layout, CLASS/train|test/*.off. A shape takes about a second and a half of
one core a view. One training shape in six chooses the epoch, as the set ships no validation split.
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
        out: where stores and the run go.
        size: how much is fitted and trained; --size.limit None takes all shapes.
    """

    data: Path
    out: Path = Path("modelnet40")
    size: Size = field(default_factory=lambda: Size(limit=200, views=1, epochs=40))

    def source(self) -> SourceConfig:
        """Train and test meshes as inside and outside."""
        return SourceConfig(
            name="modelnet40", data=str(self.data), limit=self.size.limit, shape=SHAPE
        )


if __name__ == "__main__":
    sys.exit(main(ModelNet40))
