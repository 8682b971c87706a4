"""Locations of stores, as text that means the same in every process.

A store lies in a folder, below a prefix of a bucket on a server that speaks S3:

    s3://BUCKET/PREFIX
    s3://BUCKET/PREFIX?endpoint=http://HOST:PORT&region=REGION&anonymous=true

or, to be read, in a data set of the Hugging Face hub:

    hf://datasets/USER/NAME[@REVISION][/FOLDER]

obstore takes everything that the text leaves out, and every secret, from the standard variables
(AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN) or from
the machine's role, in each process that opens the store. A location never holds a secret, since it
is printed, recorded in derived stores and sent to workers.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from inrgen.core.config_fields import expand_home
from inrgen.store.layout import ROOT_DOCUMENT

Location = str | Path

# Names as the hub allows them; a name of dots alone would leave its folder.
_NAME = r"(?!\.+(?:/|@|$))[\w.-]+"
_HUB = re.compile(rf"hf://datasets/({_NAME}/{_NAME})(?:@([\w.-]+))?((?:/{_NAME})*/?)", re.ASCII)
_OPTIONS = ("endpoint", "region", "anonymous")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bucket:
    """A prefix of a bucket, and the options of its URL; "" where the URL gives none.

    Attributes:
        anonymous: send no credentials, as public buckets require.
    """

    bucket: str
    prefix: str
    endpoint: str = ""
    region: str = ""
    anonymous: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class HubDataset:
    """A folder of a data set on the Hugging Face hub.

    Attributes:
        repo_id: USER/NAME.
        revision: a branch, a tag or a commit; None for the main branch.
        prefix: the folder; "" for the whole data set.
    """

    repo_id: str
    revision: str | None = None
    prefix: str = ""


def is_remote(location: Location) -> bool:
    """Tell whether a location is a URL. Raises ValueError for a URL that was made a Path."""
    # Path("s3://bucket") becomes s3:/bucket, which would make a local folder
    if isinstance(location, Path) and location.parts[:1] in (("s3:",), ("hf:",)):
        raise ValueError(
            f"the URL of a store must be text, since Path drops slashes; got {location!r}"
        )
    return "://" in str(location)


def is_bucket(location: Location) -> bool:
    """Tell whether a location is in a bucket, where every reading is a download."""
    return is_remote(location) and isinstance(parse_url(location), Bucket)


def parse_url(location: Location) -> Bucket | HubDataset:
    """Parse the URL of a store. Raises ValueError for any other URL."""
    text = str(location)
    if (found := _HUB.fullmatch(text)) is not None:
        repo_id, revision, prefix = found.groups()
        return HubDataset(repo_id=repo_id, revision=revision, prefix=(prefix or "").strip("/"))
    parts = urlsplit(text)
    if parts.scheme != "s3" or not parts.netloc or not parts.path.strip("/"):
        raise ValueError(
            "a store is a folder, s3://BUCKET/PREFIX[?endpoint=URL&region=R], or "
            f"hf://datasets/USER/NAME[@REVISION][/FOLDER]; got {location}"
        )
    # the text is printed and recorded, so a secret in it would spread
    if "@" in parts.netloc:
        raise ValueError(
            "the URL of a store must hold no credentials; set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY instead"
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    foreign = sorted(set(options) - set(_OPTIONS))
    if foreign or parts.fragment:
        raise ValueError(
            f"the URL of a store may set {', '.join(_OPTIONS)}; got {', '.join(foreign) or '#'}"
        )
    anonymous = options.get("anonymous", "false")
    if anonymous not in ("true", "false"):
        raise ValueError(f"anonymous must be true or false; got {anonymous!r}")
    return Bucket(
        bucket=parts.netloc,
        prefix=parts.path.strip("/"),
        endpoint=options.get("endpoint", ""),
        region=options.get("region", ""),
        anonymous=anonymous == "true",
    )


def check_outside_stores(out: Location, inputs: Iterable[Location] = ()) -> None:
    """Raise ValueError if out lies inside a store, whose files it could change or pass for.

    Args:
        inputs: stores on a server that out is compared with; in folders any store is found.
    """
    if is_remote(out):
        roots = [str(store).partition("?")[0].rstrip("/") for store in inputs if is_remote(store)]
        inside = [root for root in roots if str(out).startswith(f"{root}/")]
    else:
        parents = Path(make_absolute(out)).resolve().parents
        inside = [folder for folder in parents if is_local_store(folder)]
    if inside:
        raise ValueError(f"out must not lie inside a store; got {out}, which is in {inside[0]}")


def is_local_store(folder: Path) -> bool:
    """Tell whether a folder here holds a store, by its root document."""
    try:
        return b'"inrgen"' in (folder / ROOT_DOCUMENT).read_bytes()
    except OSError:
        return False


def make_absolute(location: Location) -> str:
    """Return the location as text that any process in any working folder understands.

    Raises ValueError for a URL that is not the URL of a store.
    """
    if not is_remote(location):
        return str(expand_home(location).absolute())
    parse_url(location)
    return str(location)


def make_relative(start: Location, location: Location) -> str:
    """Return the text by which the store at start records another one's location.

    The text is relative if both are folders, so that they can move together.
    """
    if is_remote(start) or is_remote(location):
        return make_absolute(location)
    return os.path.relpath(location, start)


def resolve_relative(start: Location, recorded: str) -> str:
    """Return the location that the store at start recorded with make_relative."""
    if is_remote(start) or is_remote(recorded):
        return recorded
    return os.path.normpath(Path(start) / recorded)
