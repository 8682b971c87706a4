"""Your own folder: from images or meshes to a network that classifies them by their weights.

    python -m pipelines.own_folder --data DIR --kind images --out OUT

DIR holds train|val|test/CLASS/*, or CLASS/*, which hashes of the names then split. The same command
resumes a stopped run.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from inrgen.sources.config import SourceConfig
from pipelines.journey import SHAPE, Size, main


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnFolder:
    """Build, align and train on your own folder.

    Attributes:
        data: the folder of files.
        kind: images or meshes.
        out: folder for the stores and the run.
        size: amount of fitting and training; --size.limit None takes all files.
    """

    data: Path
    kind: Literal["images", "meshes"] = "images"
    out: Path = Path("own-folder")
    size: Size = field(default_factory=lambda: Size(limit=1000, views=3, epochs=40))

    def source(self) -> SourceConfig:
        """Source of all splits of the folder."""
        data, limit = str(self.data), self.size.limit
        if self.kind == "images":
            return SourceConfig(name="image-folder", data=data, limit=limit)
        return SourceConfig(name="mesh-folder", data=data, limit=limit, shape=SHAPE)


if __name__ == "__main__":
    sys.exit(main(OwnFolder))
