"""A root document with a right checksum may still say anything; readers believe none of it."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inrgen.jobs.operations import read_operation
from inrgen.store.content import content_sha256
from inrgen.store.digests import BLANK_CHECKSUM, add_self_checksum
from inrgen.store.errors import DamagedStore
from inrgen.store.files.opening import open_files
from inrgen.store.layout import ROOT_COPY, ROOT_DOCUMENT
from inrgen.store.metadata import read_facts
from inrgen.store.reader import open_store
from inrgen.store.verify import restore_documents, verify_store
from inrgen.store.writer import StoreWriter

pytestmark = pytest.mark.usefixtures("quickly")


def _enter_writer(path):
    with StoreWriter(path):
        pass


USES = [open_store, verify_store, restore_documents, _enter_writer, content_sha256]
NAMES = ["../victim", "/ABSOLUTE", "x/../../victim", "", ".", "..", "records", "zarr.json"]
NAMES += ["_staging", "a\\b", "index", "x\n", "x" * 300]


def _rewrite(path: Path, document: dict) -> None:
    """Write both copies of a root document, with a right checksum."""
    document["attributes"]["seal"] = BLANK_CHECKSUM
    text = json.dumps(document, indent=1, sort_keys=True) + "\n"
    for name in (ROOT_DOCUMENT, ROOT_COPY):
        (path / name).write_bytes(add_self_checksum(text.encode()))


def _tree(folder: Path) -> dict[str, bytes | None]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() if file.is_file() else None
        for file in folder.rglob("*")
        if file.name not in ("_inrgen.lock", "_staging")
    }


@pytest.fixture
def path(small_sample, tmp_path):
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / ROOT_DOCUMENT).write_text("mine")
    return small_sample.build(tmp_path / "store")


@pytest.mark.parametrize("use", USES, ids=lambda f: f.__name__)
def test_no_name_in_it_leads_out_of_the_store(small_sample, path, tmp_path, use):
    whole = json.loads((path / ROOT_DOCUMENT).read_bytes())
    for name in (name.replace("/ABSOLUTE", f"{tmp_path}/new/deep") for name in NAMES):
        extra, renamed = json.loads(json.dumps(whole)), json.loads(json.dumps(whole))
        extra["consolidated_metadata"]["metadata"][name] = {"owned": True}
        groups = renamed["consolidated_metadata"]["metadata"]
        for ending in ("", "/params"):
            groups[name + ending] = groups.pop(small_sample.spec_id + ending)
        renamed["attributes"]["inrgen"]["specs"] = [name]
        for document in (extra, renamed):
            _rewrite(path, document)
            before = _tree(tmp_path)
            with pytest.raises(DamagedStore, match=r"zarr\.json is not that of a store: it names"):
                use(path)
            assert _tree(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rows", 10**15),
        ("rows", "many"),
        ("rows", True),
        ("views", 10**12),
        ("views", 0),
        ("max_chunk_rows", -1),
        ("rows", 10**11),
        ("spec", []),
        ("spec", {}),
    ],
)
def test_numbers_that_no_store_has_are_one_sentence(small_sample, path, name, value):
    document = json.loads((path / ROOT_DOCUMENT).read_bytes())
    groups = document["consolidated_metadata"]["metadata"]
    groups[small_sample.spec_id]["attributes"][name] = value
    if value == 10**11:
        groups[small_sample.spec_id]["attributes"]["max_chunk_rows"] = 1
        groups[small_sample.spec_id]["attributes"]["views"] = 1
    _rewrite(path, document)
    for use in USES:
        with pytest.raises(DamagedStore, match=r"zarr\.json is not that of a store"):
            use(path)


def _places(node, at=()):
    yield at
    inner = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for key, value in inner:
        yield from _places(value, (*at, key))


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 10),
    st.sampled_from([10**15, -(10**15), 2**70, 1.5, float("nan"), "", "../x", "x", [], {}, [[]]]),
)


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_change_of_it_is_read_or_refused_in_one_sentence(path, data):
    whole = (path / ROOT_DOCUMENT).read_bytes()
    document = json.loads(whole)
    *above, last = data.draw(st.sampled_from([at for at in _places(document) if at]))
    node = document
    for key in above:
        node = node[key]
    node[last] = data.draw(ANYTHING)
    try:
        _rewrite(path, document)
    except TypeError:
        # no place is left for the checksum
        return
    refused = []
    for use in (open_store, content_sha256, verify_store):
        try:
            use(path)
        except ValueError as error:
            refused.append(str(error))
    assert not [text for text in refused if "\n" in text]
    for name in (ROOT_DOCUMENT, ROOT_COPY):
        (path / name).write_bytes(whole)


def test_an_operation_of_another_form_is_one_sentence(small_sample, path):
    """Only a repair reads it, after the root document was found to be sealed."""
    document = json.loads((path / ROOT_DOCUMENT).read_text())
    facts = document["attributes"]["inrgen"]
    for chain in ([1, 2], "nan", [{"name": "siren-negation"}], None):
        made = {"operation": "augment", "copies": 1, "parent_sha256": "0" * 64}
        facts["identity"] = {"derived": made | {"parameters": {"chain": chain}}}
        _rewrite(path, document)
        with pytest.raises(ValueError, match=r"cannot be read|must"):
            read_operation(read_facts(open_files(path)), small_sample.spec_id)


def test_a_spec_bears_its_own_name(path):
    document = json.loads((path / ROOT_DOCUMENT).read_text())
    groups = document["consolidated_metadata"]["metadata"]
    next(v for k, v in groups.items() if "/" not in k)["attributes"]["spec"]["coord_center"][0] = (
        0.5
    )
    _rewrite(path, document)
    with pytest.raises(DamagedStore, match="describes 2-3-1_"):
        open_store(path)
