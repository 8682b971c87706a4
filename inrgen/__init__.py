"""Make, store and serve data sets of implicit neural representations."""

import lazy_loader

# Names are imported on first use: `import inrgen` must not wait for torch.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
