"""Validation split for data sets that ship only train and test."""

from pathlib import Path

from inrgen.core import rng
from inrgen.store.content import content_sha256
from inrgen.store.queries import read_items
from inrgen.store.reader import Store, open_store
from pipelines.resplit import Splits, is_whole, resplit

# One training item in this many becomes validation.
_VAL_SHARE = 6


def with_val(given: Path, out: Path) -> Path:
    """Copy a store with one training item in six, by the hash of its id, as validation.

    An epoch must be chosen without the test items. Where the hashes choose no item, or all, the
    item with the smallest hash is taken. A second call resumes, or finds the copy finished and
    locks nothing.

    Args:
        given: the finished store.
        out: the folder of the copy.

    Raises:
        ValueError: the store is not finished, has fewer than two training items, or has several
            architectures; or out holds another store.
        StoreBusy: another process is writing the copy.
        OSError: the copy cannot be written.
    """
    if _is_early_format(given, out):
        return out
    return resplit(given, out, "val-split", {"one_in": _VAL_SHARE}, _choose_val)


def _is_early_format(given: Path, out: Path) -> bool:
    """Tell whether out holds the same rows, written before such stores recorded their parent.

    Raises ValueError where that store has no validation item, as small ones might.
    """
    noted = {"val_of": content_sha256(given), "one_in": _VAL_SHARE}
    if not is_whole(out) or open_store(out).identity != noted:
        return False
    if not read_items(open_store(out), open_store(out).spec.spec_id, "val"):
        raise ValueError(
            f"{out} was made without a validation item by an earlier version; remove it, and "
            "everything derived from it"
        )
    return True


def _choose_val(store: Store) -> Splits:
    """Choose the items that become validation: some of the training items, never all."""
    training = read_items(store, store.spec.spec_id, "train")
    if len(training) < 2:
        raise ValueError(
            f"a validation split needs two training items that hold weights; {store.path} has "
            f"{len(training)}"
        )
    hashes = rng.hash_items(training)
    share = [
        item for item, at in zip(training, hashes.tolist(), strict=True) if not at % _VAL_SHARE
    ]
    chosen = share if 0 < len(share) < len(training) else [training[int(hashes.argmin())]]
    return dict.fromkeys(chosen, "val")
