"""Executors: run a pure function over many tasks, on this process, threads, Dask or Ray.

`run_tasks(function, tasks, ExecutorConfig(...))` yields results as they finish. Only this package
imports ray or dask.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
