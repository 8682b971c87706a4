"""Block digests follow the format version, and a self-checksum notices any altered bit."""

import hashlib
import json
from typing import Any

import pyarrow as pa
import pytest
from blake3 import blake3
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from inrgen.store import metadata
from inrgen.store.content import content_sha256
from inrgen.store.digests import (
    BLANK_CHECKSUM,
    DIGESTS,
    Digest,
    add_self_checksum,
    digest_parts,
    read_self_checksum,
)
from inrgen.store.files.opening import open_files
from inrgen.store.fragment import decode_fragment
from inrgen.store.layout import FORMAT_VERSION, ROOT_DOCUMENT, fragment_key, shard_key
from inrgen.store.reader import open_store
from inrgen.store.records import records_to_table
from inrgen.store.verify import verify_store
from inrgen.store.writer import StoreWriter

pytestmark = pytest.mark.usefixtures("quickly")
BLANK = BLANK_CHECKSUM.encode()
REFERENCES: dict[Digest, Any] = {"sha256": hashlib.sha256, "blake3": blake3}


@pytest.fixture(params=[1, 2])
def version(request, monkeypatch):
    """Format version of new stores."""
    monkeypatch.setattr(metadata, "FORMAT_VERSION", request.param)
    return request.param


def _lasting(table: pa.Table) -> bytes:
    """Serialize records as an Arrow stream, without durations."""
    out = pa.BufferOutputStream()
    lasting = table.drop_columns("duration_s").combine_chunks()
    with pa.ipc.new_stream(out, lasting.schema) as writer:
        writer.write_table(lasting)
    return out.getvalue().to_pybytes()


def test_parts_count_as_one(sample):
    data = sample.flat.tobytes()
    for kind, reference in REFERENCES.items():
        parts = (data[:10], memoryview(data)[10:5000], b"", data[5000:])
        assert digest_parts(kind, *parts) == digest_parts(kind, data) == reference(data).hexdigest()


def test_a_store_keeps_to_the_digest_it_was_created_with(sample, tmp_path, version, monkeypatch):
    sample.create(tmp_path)
    with StoreWriter(tmp_path) as writer:
        writer.commit(sample.stage(tmp_path, 0))
    monkeypatch.setattr(metadata, "FORMAT_VERSION", FORMAT_VERSION)
    assert verify_store(sample.build(tmp_path)).ok
    for block in (0, 1):
        fragment = open_files(tmp_path).read(fragment_key(sample.spec_id, block))
        said, kind = decode_fragment(fragment)[1], DIGESTS[version]
        rows = sample.layout.block_rows(block)
        table = records_to_table(sample.records[rows.start : rows.stop])
        shard = (tmp_path / shard_key(sample.spec_id, block)).read_bytes()
        assert said.digest == kind
        assert said.shard_digest == REFERENCES[kind](shard).hexdigest()
        assert said.records_digest == REFERENCES[kind](_lasting(table)).hexdigest()
        assert said.to_dict()[f"shard_{kind}"] == said.shard_digest


def test_whole_chunks_of_another_shard_are_found(sample, tmp_path, version):
    sample.build(tmp_path)
    first, second = (tmp_path / shard_key(sample.spec_id, block) for block in (1, 2))
    second.write_bytes(first.read_bytes())
    (finding,) = verify_store(tmp_path).findings
    assert (finding.kind, finding.block) == ("damaged_shard", 2)


def test_what_a_store_holds_has_one_digest_a_version(sample, tmp_path, version):
    sample.build(tmp_path / "a")
    sample.create(tmp_path / "b")
    with StoreWriter(tmp_path / "b", fragments_per_index=8) as writer:
        for block in reversed(range(17)):
            writer.commit(sample.stage(tmp_path / "b", block))
        writer.finish()
    assert content_sha256(tmp_path / "a") == content_sha256(tmp_path / "b")


def test_stores_of_later_versions_are_refused(sample, tmp_path):
    sample.build(tmp_path)
    root = tmp_path / ROOT_DOCUMENT
    there = read_self_checksum(root.read_bytes())
    document = json.loads(root.read_bytes())
    document["attributes"]["inrgen"]["format_version"] = max(DIGESTS) + 1
    document["attributes"]["seal"] = BLANK_CHECKSUM
    root.write_bytes(add_self_checksum(json.dumps(document).encode()))
    assert read_self_checksum(root.read_bytes()) != there
    with pytest.raises(ValueError, match=r"has format version 4; this inrgen reads .* up to 3"):
        open_store(tmp_path)


@settings(deadline=None)
@given(before=st.binary(max_size=50), after=st.binary(max_size=50), data=st.data())
def test_no_bit_changes_unseen(before, after, data):
    assume(b"inrgen-sha256:" not in after)
    checked = add_self_checksum(before + BLANK + after)
    assert read_self_checksum(checked) is not None
    assert len(checked) == len(before + BLANK + after)
    at = data.draw(st.integers(0, 8 * len(checked) - 1))
    altered = bytearray(checked)
    altered[at // 8] ^= 1 << at % 8
    assert read_self_checksum(bytes(altered)) is None
    assert read_self_checksum(checked + b"x") is None
    assert read_self_checksum(checked[:-1]) is None


def test_text_that_looks_like_a_checksum_does_no_harm():
    checked = add_self_checksum(BLANK + b" was copied; " + BLANK)
    assert read_self_checksum(checked) is not None


@settings(deadline=None)
@given(data=st.binary(max_size=200))
def test_a_file_without_one(data):
    assert read_self_checksum(data) is None
