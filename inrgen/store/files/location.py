"""Where a store is, as text that means the same in every process.

A store lies in a folder, or below a prefix of a bucket on a server that speaks S3:

    s3://BUCKET/PREFIX
    s3://BUCKET/PREFIX?endpoint=http://HOST:PORT&region=REGION&anonymous=true

What the text leaves out, and every secret, obstore takes from the standard variables
(AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN) or from
the machine's role, in each process that opens the store. A location never holds a secret, since it
is printed, noted and sent to workers.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

Location = str | Path

_OPTIONS = ("endpoint", "region", "anonymous")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bucket:
    """A prefix of a bucket, and what the location says of its server; "" where it says nothing.

    anonymous: send no credentials, as public buckets have it.
    """

    bucket: str
    prefix: str
    endpoint: str = ""
    region: str = ""
    anonymous: bool = False


def is_remote(location: Location) -> bool:
    """Whether a location is a URL. Raises ValueError for a URL that was made a Path."""
    if isinstance(location, Path) and location.parts[:1] == ("s3:",):
        raise ValueError(
            f"a store's URL must be text, as Path takes slashes away; got {location!r}"
        )
    return "://" in str(location)


def parse_bucket(location: Location) -> Bucket:
    """What a URL says. Raises ValueError where it is not one of a store."""
    parts = urlsplit(str(location))
    if parts.scheme != "s3" or not parts.netloc or not parts.path.strip("/"):
        raise ValueError(
            f"a store is a folder or s3://BUCKET/PREFIX[?endpoint=URL&region=R]; got {location}"
        )
    if "@" in parts.netloc:
        raise ValueError(
            "a store's URL must hold no credentials; set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY instead"
        )
    said = dict(parse_qsl(parts.query, keep_blank_values=True))
    foreign = sorted(set(said) - set(_OPTIONS))
    if foreign or parts.fragment:
        raise ValueError(
            f"a store's URL may say {', '.join(_OPTIONS)}; got {', '.join(foreign) or '#'}"
        )
    anonymous = said.get("anonymous", "false")
    if anonymous not in ("true", "false"):
        raise ValueError(f"anonymous must be true or false; got {anonymous!r}")
    return Bucket(
        bucket=parts.netloc,
        prefix=parts.path.strip("/"),
        endpoint=said.get("endpoint", ""),
        region=said.get("region", ""),
        anonymous=anonymous == "true",
    )


def absolute(location: Location) -> str:
    """The same place as text for any process of any working folder.

    Raises ValueError for a URL that is not one of a store.
    """
    if not is_remote(location):
        return str(Path(location).absolute())
    parse_bucket(location)
    return str(location)


def seen_from(start: Location, location: Location) -> str:
    """How one store may note where another is: relative where both are folders."""
    if is_remote(start) or is_remote(location):
        return absolute(location)
    return os.path.relpath(location, start)


def followed(start: Location, noted: str) -> str:
    """Where the store is that another one, at start, notes as seen from itself."""
    if is_remote(start) or is_remote(noted):
        return noted
    return os.path.normpath(Path(start) / noted)
