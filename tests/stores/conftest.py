"""Object stores on loopback."""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from types import SimpleNamespace

import pytest


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """These variables, for as long as the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    yield
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The endpoint of an S3 that speaks HTTP, as botocore's own variables name it."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415  a second, and not every test needs it

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ACCESS_KEY_ID": "an-id",
        "AWS_SECRET_ACCESS_KEY": "a-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with environment(variables):
        yield variables["AWS_ENDPOINT_URL"]
    server.stop()


@pytest.fixture(scope="session")
def s3_client(s3_server):
    """A client that looks into any bucket."""
    import s3fs  # noqa: PLC0415  as above

    return s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)


@pytest.fixture
def s3(s3_server, s3_client, request):
    """A bucket of the test's own, and a client to look into it."""
    files = s3_client
    bucket = "".join(letter if letter.isalnum() else "-" for letter in request.node.name.lower())[:60].strip(
        "-"
    )
    files.mkdir(bucket)
    return SimpleNamespace(files=files, bucket=bucket, url=f"s3://{bucket}", endpoint=s3_server)


@pytest.fixture(scope="session")
def gs() -> Iterator[SimpleNamespace]:
    """A Google Cloud Storage with a bucket `bucket`."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    variables = {
        "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}",
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # it would ask by gRPC, over TLS
    }
    with environment(variables):
        import gcsfs  # noqa: PLC0415  it reads the variables when it is imported
        from gcp_storage_emulator.server import create_server  # noqa: PLC0415  not every test needs it

        server = create_server("127.0.0.1", port, in_memory=True, default_bucket="bucket")
        server.start()
        yield SimpleNamespace(
            files=gcsfs.GCSFileSystem(
                project="test",
                token="anon",  # noqa: S106  it is none
                skip_instance_cache=True,
                use_listings_cache=False,
            )
        )
        server.stop()
