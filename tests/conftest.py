"""What every test may ask for."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import browser as browser
from tests.browser import open_page as open_page
from tests.object_server import ANOTHER, REGION, FaultyProxy, serve

# Ray then leaves the home folder alone.
os.environ["RAY_AUTH_MODE"] = "disabled"
# Kernels run through Triton's interpreter here; compiled ones are kept within the project.
os.environ["TRITON_INTERPRET"] = "1"
os.environ["TRITON_CACHE_DIR"] = str(
    Path(__file__).resolve().parents[1] / ".pytest_cache" / "triton"
)
# What a server that speaks S3 is told by the tests; no other is asked, unless one was named.
if not ANOTHER:
    os.environ["AWS_ACCESS_KEY_ID"] = os.environ["AWS_SECRET_ACCESS_KEY"] = "testing"
_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images and meshes: INRGEN_DATA, or ../shared/data beside the project."""
    folder = Path(os.environ.get("INRGEN_DATA", _BESIDE))
    if not folder.is_dir():
        pytest.skip("real data is not at hand: set INRGEN_DATA to the folder that holds it")
    return folder


@pytest.fixture(scope="session")
def object_bucket() -> Iterator[tuple[str, str]]:
    """The URL of a server that speaks S3, and a bucket of this process alone on it."""
    with serve() as (endpoint, bucket):
        yield endpoint, bucket


@pytest.fixture(scope="session")
def object_endpoint(object_bucket) -> str:
    """The URL of that server."""
    return object_bucket[0]


@pytest.fixture
def bucket_url(object_bucket) -> str:
    """A location on that server with nothing in it."""
    endpoint, bucket = object_bucket
    return f"s3://{bucket}/{uuid.uuid4().hex}?endpoint={endpoint}&region={REGION}"


@pytest.fixture
def proxy(object_endpoint) -> Iterator[FaultyProxy]:
    """A proxy before that server, with which all is well until it is told otherwise."""
    proxy = FaultyProxy(object_endpoint)
    yield proxy
    proxy.stop()


@pytest.fixture
def hurried(monkeypatch) -> None:
    """Clients that give up within seconds, as tests cannot wait."""
    for name, value in {
        "_PATIENCE_S": 2.0,
        "_MAX_RETRIES": 4,
        "_FIRST_WAIT_S": 0.01,
        "_LONGEST_WAIT_S": 0.05,
        "_REQUEST_S": 0.8,
        "_STALL_S": 0.5,
    }.items():
        monkeypatch.setattr(f"inrgen.store.files.s3_client.{name}", value)
