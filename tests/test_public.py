"""The public face: every name that a package offers exists, is documented and light to reach."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import inrgen
from inrgen.cli import VERBS
from tests.test_readmes import READMES, examples

ROOT = Path(inrgen.__file__).parent
PACKAGES = sorted(
    ".".join(("inrgen", *stub.parent.relative_to(ROOT).parts))
    for stub in ROOT.rglob("__init__.pyi")
)
HEAVY = ("dask", "distributed", "matplotlib", "numba", "pyarrow", "ray", "scipy", "sklearn")
HEAVY += ("skimage", "torch", "torchvision", "trimesh", "zarr")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_exists_and_is_documented(package):
    module = importlib.import_module(package)
    assert module.__doc__, package
    assert module.__all__
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.ismodule(value):  # and not a function's name, hidden by that of its module
            stub = (Path(str(module.__file__)).parent / "__init__.pyi").read_text()
            assert f"from . import {name} as {name}" in stub, f"{package}.{name} is a module"
        if inspect.isclass(value) or inspect.isfunction(value) or inspect.ismodule(value):
            assert value.__doc__, f"{package}.{name} has no docstring"


def test_every_name_of_the_top_package_is_used_in_an_example_that_runs():
    code = "\n".join(block for readme in READMES for _, block in examples(readme))
    unused = [name for name in inrgen.__all__ if not re.search(rf"\b{name}\b", code)]
    assert not unused


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="biuld"):
        _ = inrgen.biuld


def imports_nothing_heavy(code: str) -> None:
    """Run code in a new interpreter and hold the modules that it loaded to HEAVY."""
    code += f"\nimport sys; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ast.literal_eval(done.stdout) == []


def test_importing_the_package_is_light():
    imports_nothing_heavy("import inrgen; dir(inrgen)")


def test_the_help_of_every_verb_is_light():
    """`inrgen VERB --help` imports the module of the config, and must not wait for torch."""
    modules = sorted({verb.module for verb in VERBS})
    imports_nothing_heavy(f"import importlib\nfor m in {modules!r}: importlib.import_module(m)")
