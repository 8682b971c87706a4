"""Probes: how well do these weights teach?

A probe is a small classifier trained on the weights of INRs. Its test accuracy tells whether a
recipe, an alignment or a store is good data for networks that read weights; PSNR does not.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
