"""Where a source or an output is: on this machine, or at an address of an object store or a web server."""

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from tasks_lib.domain.globs import fixed_part, is_glob, is_meant

SCHEMES: Final = ("s3", "gs", "https", "http")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An object, a prefix or a glob of an object store, or a file of a web server.

    What is shown of it has no query: that of a presigned address is as good as a password.
    """

    url: str = field(repr=False)  # whole; for whoever opens it, and nobody else
    shown: str

    @classmethod
    def parse(cls, url: str) -> "Address":
        """The address that a text spells.

        Raises:
            ValueError: it is none, or holds a user name or a password; the text is not repeated.
        """
        try:
            parts = urlsplit(url)
            host = parts.hostname
        except ValueError:
            parts, host = urlsplit(""), None
        if parts.scheme not in SCHEMES or not host:
            raise ValueError(
                "is no address such as s3://bucket/key, gs://bucket/key or https://host/file.csv"
            )
        if parts.username is not None or parts.password is not None:
            raise ValueError("holds a user name or a password; both belong in the environment")
        if parts.scheme in {"http", "https"}:
            shown = f"{parts.scheme}://{parts.netloc}{parts.path}{'?…' if parts.query else ''}"
        else:
            shown = url  # a `?` in a key is a wildcard or itself, never a query
        return cls(url=url, shown=shown)

    def __str__(self) -> str:
        return self.shown

    @property
    def scheme(self) -> str:
        """One of `SCHEMES`."""
        return self.url.partition("://")[0]

    @property
    def key(self) -> str:
        """The bucket or host and what follows, without a web address's query."""
        rest = self.url.partition("://")[2]
        return rest.partition("?")[0].partition("#")[0] if self.is_web else rest

    @property
    def name(self) -> str:
        """The last part of it, which tells the format."""
        return self.key.rpartition("/")[2]

    @property
    def is_glob(self) -> bool:
        """Whether its key has wildcards; those of a web address have no meaning."""
        return not self.is_web and is_glob(self.key)

    def means(self, key: str) -> bool:
        """Whether a key (with its bucket) is this one, below it, or one that the glob means."""
        if self.is_glob:
            root = fixed_part(PurePosixPath(self.key))
            pattern = PurePosixPath(self.key).relative_to(root).parts
            path = PurePosixPath(key)
            return path.is_relative_to(root) and is_meant(path.relative_to(root).parts, pattern)
        return key == self.key or key.startswith(f"{self.key.rstrip('/')}/")

    @property
    def is_web(self) -> bool:
        """Whether it is one file of a web server, which lists nothing and takes nothing."""
        return self.scheme in {"http", "https"}


Place: TypeAlias = Path | Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """How a store is reached, where its own settings (AWS_*, profiles, GOOGLE_*) do not say; no secrets."""

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None  # of the AWS configuration
    project: str | None = None  # of Google Cloud
    access: str = "signed"  # or `anonymous`: what everybody may read
    requester_pays: str = "no"  # or `yes`: the reading is charged to whoever reads


def is_address(text: str) -> bool:
    """Whether a text is meant as an address and not as a path."""
    return "://" in text


def shown_setting(key: str, value: str) -> str:
    """A value of a job's key as it may be shown: a web address without its query, its user and its password.

    Of a webhook's address the path is left out as well, which is a password with many a service.
    """
    try:
        parts = urlsplit(value)
    except ValueError:
        return value
    if parts.scheme not in {"http", "https"}:
        return value
    host = parts.netloc.rpartition("@")[2]
    if key in {"webhook", "webhook.url"}:
        return f"{parts.scheme}://{host}/…"
    if host == parts.netloc and not parts.query:
        return value
    return f"{parts.scheme}://{host}{parts.path}{'?…' if parts.query else ''}"


def is_loopback(address: Address) -> bool:
    """Whether an address is of this very machine, where plain http is as good as https."""
    host = urlsplit(address.url).hostname
    return host in {"127.0.0.1", "::1", "localhost"}
