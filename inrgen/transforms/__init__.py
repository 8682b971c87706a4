"""Random changes to batches of weights: symmetries, motions of the signal, noise and MixUp.

README.md in this folder lists every transform and says how to write another one.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
