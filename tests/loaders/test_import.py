"""Importing the package is light; heavy modules are imported when they are used."""

import subprocess
import sys


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout


def test_importing_inrgen_imports_neither_torch_nor_zarr():
    heavy = ("torch", "zarr", "pyarrow", "numpy", "numba")
    assert run(f"import inrgen, sys; print([m for m in {heavy} if m in sys.modules])") == "[]\n"


def test_the_loader_does_without_zarr_ray_and_dask():
    code = (
        "import sys, inrgen; inrgen.StreamLoader; print({'zarr', 'ray', 'dask'} & set(sys.modules))"
    )
    assert run(code) == "set()\n"
