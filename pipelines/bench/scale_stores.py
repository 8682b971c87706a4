"""Made-up stores of any size, and a server that counts the requests for one."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pyarrow as pa  # noqa: TID251 - records of millions of rows are made as tables
from jaxtyping import Int

from inrgen.core.rng import hash_items
from inrgen.core.spec import InrSpec
from inrgen.store.create import create_store
from inrgen.store.layout import Layout
from inrgen.store.records import FIT_SCHEMA
from inrgen.store.writer import StoreWriter, stage_block

VIEWS, CLASSES = 10, 10
_SPLITS = ("train",) * 8 + ("val", "test")


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreSize:
    """Size and cut of a made-up store; ScaleBench has the same fields."""

    rows: int
    chunk_rows: int
    hidden: int
    classes: str

    @property
    def spec(self) -> InrSpec:
        """Networks with one hidden layer."""
        return InrSpec(widths=(2, self.hidden, 1), omega=(30.0,))

    @property
    def layout(self) -> Layout:
        """Cut into chunks and blocks."""
        return Layout(rows=self.rows, views=VIEWS, max_chunk_rows=self.chunk_rows)

    def labels(self, items: Int[np.ndarray, " i"]) -> Int[np.ndarray, " i"]:
        """Return the class of each item."""
        if self.classes == "runs":
            return items // len(_SPLITS) % CLASSES
        if self.classes == "sorted":
            return items * VIEWS * CLASSES // self.rows
        return hash_items([str(item) for item in items.tolist()]).numpy() % CLASSES


def _records(size: StoreSize, rows: range) -> pa.Table:
    """Make the records of a block of whole items."""
    row = np.arange(rows.start, rows.stop)
    items = np.arange(rows.start // VIEWS, rows.stop // VIEWS)
    item, nan = np.repeat(np.arange(len(items)), VIEWS), np.full(len(row), np.nan)
    psnr = np.random.default_rng(rows.start).normal(30, 3, len(row))
    columns: dict[str, Any] = {
        "item_id": pa.array([f"train/{i:09d}" for i in items]).take(item),
        "view": row % VIEWS,
        "row": row,
        "split": pa.array([_SPLITS[i % len(_SPLITS)] for i in items]).take(item),
        "label": size.labels(items)[item],
        "source_sha256": pa.array([f"{i:064x}" for i in items]).take(item),
        "num_steps": np.full(len(row), 100),
        "final_loss": 10 ** (-psnr / 10),
        "psnr_db": psnr,
        "grid": pa.array([[28, 28]] * len(row), pa.list_(pa.int32())),
        "center": pa.array([[]] * len(row), pa.list_(pa.float64())),
    }
    same = {"spec_id": size.spec.spec_id, "status": "ok", "engine": "none", "seed": 0}

    def column(field: pa.Field) -> pa.Array:
        values = columns.get(field.name, nan)
        if isinstance(values, pa.Array):
            return values.cast(field.type)
        if field.name in columns or pa.types.is_floating(field.type):
            return pa.array(values, field.type)
        return pa.repeat(pa.scalar(same.get(field.name, ""), field.type), len(row))

    return pa.table([column(field) for field in FIT_SCHEMA], schema=FIT_SCHEMA)


def _commit(path: Path, writer: StoreWriter, size: StoreSize, block: int) -> None:
    rows, spec = size.layout.block_rows(block), size.spec
    numbers = np.random.default_rng(block)
    flat = numbers.standard_normal((len(rows), spec.num_params), dtype=np.float32)
    writer.commit(stage_block(path, spec.spec_id, block, flat, _records(size, rows)))


@contextmanager
def write_store(
    path: Path, size: StoreSize, progress: Callable[[str], None]
) -> Iterator[Callable[[], None]]:
    """Write all blocks but the last, and yield the call that finishes the store."""
    create_store(path, [(size.spec, size.layout)], {"bench": "scale"}, {})
    with StoreWriter(path) as writer:
        pending = writer.pending(size.spec.spec_id)
        for block in pending[:-1]:
            _commit(path, writer, size, block)
            if block % 500 == 499:
                progress(f"{block + 1:,} of {len(pending):,} blocks")

    def finish() -> None:
        with StoreWriter(path) as writer:
            _commit(path, writer, size, pending[-1])
            writer.finish()

    yield finish


@dataclass(kw_only=True, slots=True)
class Counts:
    """Requests that a server answered, by object, and the bytes that it sent."""

    by_path: dict[str, int] = field(default_factory=dict)
    num_bytes: int = 0

    @property
    def requests(self) -> int:
        return sum(self.by_path.values())


@contextmanager
def serve_store(path: Path) -> Iterator[tuple[str, Counts]]:
    """Serve a copy of a store from moto; yield its URL and the counts of requests."""
    import obstore
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from obstore.store import S3Store
    from werkzeug.serving import make_server

    # a line for each request otherwise
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    counts, app = Counts(), DomainDispatcherApplication(create_backend_app)

    def counted(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        name = environ.get("PATH_INFO", "")
        counts.by_path[name] = counts.by_path.get(name, 0) + 1
        body = list(app(environ, start))
        counts.num_bytes += sum(map(len, body))
        return body

    server = make_server("127.0.0.1", 0, counted, threaded=True)
    Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    # moto takes any credentials, and measurements inherit these
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
    try:
        urlopen(Request(f"{endpoint}/bench", method="PUT")).close()
        bucket = S3Store(
            "bench",
            config={"endpoint": endpoint, "region": "us-east-1"},
            client_options={"allow_http": True},
        )
        for file in path.rglob("*"):
            if file.is_file():
                key = f"store/{file.relative_to(path).as_posix()}"
                obstore.put(bucket, key, file.read_bytes(), use_multipart=False)
        url = f"s3://bench/store?endpoint={endpoint}&region=us-east-1"
        # a driver that finished the store there would have noted its content digest
        with StoreWriter(url) as writer:
            writer.finish()
        yield url, counts
        # moto keeps objects as long as the process, and the next store has files of these names
        for batch in obstore.list(bucket):
            obstore.delete(bucket, [found["path"] for found in batch])
    finally:
        server.shutdown()
