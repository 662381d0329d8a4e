"""An object store, reached by fsspec: S3 by s3fs, Google Cloud Storage by gcsfs.

Both take credentials from where everything else takes them: AWS_*, profiles, roles of the machine;
GOOGLE_APPLICATION_CREDENTIALS, gcloud. None of them passes through here, and what is told of an error is
told without the queries of addresses.
"""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.place import Address, Storage

_PART: Final = 8 << 20  # bytes of an upload's part, of which some are in memory together
_LARGER_PARTS: Final = 64 << 30  # bytes of an object from which on 10,000 such parts would not do
_AT_ONCE: Final = 4  # parts that are on their way together
_FILES_AT_ONCE: Final = 32
_FORGOTTEN: Final = timedelta(days=1)  # after which an unfinished upload is nobody's
_QUERY: Final = re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]*")
_PACKAGES: Final = {"s3": "s3fs", "gs": "gcsfs"}
_LONGEST: Final = 300  # characters of a store's own words


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object as a store lists it."""

    key: str  # with its bucket
    size: int
    version: str  # which changes with its content


class Store:
    """A store, opened."""

    def __init__(self, address: Address, storage: Storage, *, wrong: type[Mistake]) -> None:
        """Open the store of an address; whatever goes wrong with it is told as `wrong`.

        Raises:
            Mistake: the package for it is not installed.
        """
        self._address = address
        self._wrong = wrong
        self._files = _file_system(address, storage, wrong)

    def object(self) -> StoredObject | None:
        """The object at the address itself, if there is one.

        Raises:
            Mistake: the store cannot be asked.
        """
        with self._told():
            try:
                found = self._files.info(self._address.key)
            except FileNotFoundError:
                return None
        return _stored(found) if found.get("type") == "file" else None

    def below(self, prefix: str) -> list[StoredObject]:
        """All objects below a prefix, which begins with the bucket.

        Raises:
            Mistake: the store cannot be asked, or has no such bucket.
        """
        with self._told():
            found: Mapping[str, Any] = self._files.find(prefix, detail=True)
        below = f"{prefix.rstrip('/')}/"
        return [
            _stored(one)
            for name, one in found.items()
            if name.startswith(below) and not name.endswith("/")  # which holds a folder's place
        ]

    def fetch(self, keys: Sequence[str], paths: Sequence[Path]) -> None:
        """Copy objects into files, several at a time.

        Raises:
            Mistake: one of them has gone or may not be read, or the disk is full.
        """
        with self._told():
            for at in range(0, len(keys), _FILES_AT_ONCE):
                some = slice(at, at + _FILES_AT_ONCE)
                self._files.get(
                    list(keys[some]), [str(path) for path in paths[some]], batch_size=_FILES_AT_ONCE
                )

    def put(self, path: Path) -> None:
        """Make the object of the address from a file; it appears when it is whole, and only then.

        Raises:
            Mistake: it could not be written; what was there before still is.
        """
        size = path.stat().st_size
        part = _PART if size < _LARGER_PARTS else _PART * 32
        with self._told():
            self._files.put_file(str(path), self._address.key, chunksize=part, max_concurrency=_AT_ONCE)

    def prove_writable(self) -> None:
        """Begin an upload and give it up, which leaves nothing; forgotten uploads of this object go, too.

        Raises:
            Mistake: the store does not let us write there, or has no such bucket.
        """
        bucket, _, key = self._address.key.partition("/")
        with self._told():
            if self._address.scheme == "s3":
                self._prove_s3(bucket, key)
                return
            # gcsfs has no verb for it; an upload session that is not used costs nothing and ends by itself
            from fsspec.asyn import sync  # noqa: PLC0415  comes with gcsfs
            from gcsfs.core import initiate_upload  # noqa: PLC0415  optional

            sync(self._files.loop, initiate_upload, self._files, bucket, key)

    def _prove_s3(self, bucket: str, key: str) -> None:
        begun = self._files.call_s3("create_multipart_upload", Bucket=bucket, Key=key)
        self._files.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=begun["UploadId"])
        with suppress(OSError):  # not everybody may list them; then the bucket's lifecycle rule has to
            found = self._files.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=key)
            for one in found.get("Uploads") or ():
                if one["Key"] == key and datetime.now(UTC) - one["Initiated"] > _FORGOTTEN:
                    self._files.call_s3(
                        "abort_multipart_upload", Bucket=bucket, Key=key, UploadId=one["UploadId"]
                    )

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except Mistake:
            raise
        except Exception as error:  # noqa: BLE001  each store has errors of its own, of any class
            self._files.clear_instance_cache()  # the next one looks for credentials anew
            raise self._wrong(f"{self._address}: {_reason(error)}") from None  # its texts may hold queries


def _file_system(address: Address, storage: Storage, wrong: type[Mistake]) -> Any:  # noqa: ANN401  fsspec has no types
    options: dict[str, Any] = {"use_listings_cache": False}
    anonymous = storage.access == "anonymous"
    try:
        if address.scheme == "s3":
            import s3fs  # noqa: PLC0415  optional

            client = {"region_name": storage.region} if storage.region is not None else {}
            return s3fs.S3FileSystem(
                anon=anonymous,
                endpoint_url=storage.endpoint_url,
                profile=storage.profile,
                requester_pays=storage.requester_pays == "yes",
                client_kwargs=client,
                **options,
            )
        import gcsfs  # noqa: PLC0415  optional

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "GCS project not set")  # which only lists of buckets need
            return gcsfs.GCSFileSystem(
                project=storage.project,
                token="anon" if anonymous else None,
                requester_pays=storage.requester_pays == "yes",
                endpoint_url=storage.endpoint_url,
                **options,
            )
    except ImportError:
        package = _PACKAGES[address.scheme]
        raise wrong(
            f"{address}: {address.scheme}:// needs the package {package}, which is not installed: "
            "pip install 'rowmill[cloud]'"
        ) from None
    except Exception as error:  # noqa: BLE001  such as a profile that is not there; see `_told`
        raise wrong(f"{address}: {_reason(error)}") from None


def _stored(found: Mapping[str, Any]) -> StoredObject:
    """What a store says of an object; the first of these that it says changes with the content."""
    told = next((found[name] for name in ("generation", "ETag", "etag", "mtime") if found.get(name)), "")
    return StoredObject(key=found["name"], size=int(found["size"]), version=str(told))


def _reason(error: Exception) -> str:
    if isinstance(error, PermissionError):
        return f"may not be reached with the credentials that were found ({_words(error)})"
    if isinstance(error, FileNotFoundError):
        return f"is not there ({_words(error)})"
    if type(error).__name__ in {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"}:
        return (
            "no credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or "
            "GOOGLE_APPLICATION_CREDENTIALS, or say storage: {access: anonymous} for public data"
        )
    return f"cannot be reached: {_words(error)}"


def _words(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return _QUERY.sub(r"\1?…", text)[:_LONGEST]
