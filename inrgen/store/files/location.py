"""Locations of stores, as text that means the same in every process.

A store lies in a folder, or below a prefix of a bucket on a server that speaks S3:

    s3://BUCKET/PREFIX
    s3://BUCKET/PREFIX?endpoint=http://HOST:PORT&region=REGION&anonymous=true

obstore takes everything that the text leaves out, and every secret, from the standard variables
(AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN) or from
the machine's role, in each process that opens the store. A location never holds a secret, since it
is printed, recorded in derived stores and sent to workers.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

Location = str | Path

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


def is_remote(location: Location) -> bool:
    """Tell whether a location is a URL. Raises ValueError for a URL that was made a Path."""
    # Path("s3://bucket") becomes s3:/bucket, which would make a local folder
    if isinstance(location, Path) and location.parts[:1] == ("s3:",):
        raise ValueError(
            f"the URL of a store must be text, since Path drops slashes; got {location!r}"
        )
    return "://" in str(location)


def parse_bucket(location: Location) -> Bucket:
    """Parse the URL of a store. Raises ValueError for any other URL."""
    parts = urlsplit(str(location))
    if parts.scheme != "s3" or not parts.netloc or not parts.path.strip("/"):
        raise ValueError(
            f"a store is a folder or s3://BUCKET/PREFIX[?endpoint=URL&region=R]; got {location}"
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


def make_absolute(location: Location) -> str:
    """Return the location as text that any process in any working folder understands.

    Raises ValueError for a URL that is not the URL of a store.
    """
    if not is_remote(location):
        return str(Path(location).absolute())
    parse_bucket(location)
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
