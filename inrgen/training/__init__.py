"""Training of networks that read weights: runs that resume, and their predictions.

run_training trains on stores and writes a run's folder, and open_run opens a finished one.
README.md in this folder shows both, and a training loop without them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
