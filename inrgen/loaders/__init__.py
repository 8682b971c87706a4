"""Batches of weights, streamed from one or several stores in an order that can be resumed.

StreamLoader is a torch IterableDataset. Each pass shuffles whole shards, then the rows within a
small pool of shards, so it reads at the speed of the disk and holds no store in memory. README.md
in this folder shows its options.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
