"""Offline jobs from store to store: align, augment, statistics, diversity, and their repair.

Each job is a pure plan, a worker for one block, and a thin runner. README.md in this folder tells
how to use them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
