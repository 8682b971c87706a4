"""Mathematics of implicit neural representations (INRs) on tensors; no files, no processes.

Functions take and return batches: b INRs of one InrSpec are one Params. They write into no
argument, and keep dtype and device. README.md in this folder has examples.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
