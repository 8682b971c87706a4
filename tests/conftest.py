"""What every test may ask for."""

import os
from pathlib import Path

import pytest

# Ray then leaves the home folder alone.
os.environ["RAY_AUTH_MODE"] = "disabled"
# Kernels run through Triton's interpreter here; compiled ones are kept within the project.
os.environ["TRITON_INTERPRET"] = "1"
os.environ["TRITON_CACHE_DIR"] = str(
    Path(__file__).resolve().parents[1] / ".pytest_cache" / "triton"
)
_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images and meshes: INRGEN_DATA, or ../shared/data beside the project."""
    folder = Path(os.environ.get("INRGEN_DATA", _BESIDE))
    if not folder.is_dir():
        pytest.skip("real data is not at hand: set INRGEN_DATA to the folder that holds it")
    return folder
