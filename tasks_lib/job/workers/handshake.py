"""How a worker from elsewhere and its batch come to trust each other, before either unpickles a byte.

TLS comes first: the batch makes a certificate for itself, which its tickets carry, and a worker believes no
other. Then the worker sends `HELLO`, of a fixed size: what it runs, its number and its ticket's secret. To a
ticket that it knows the batch says `WELCOME`, which has what it runs itself; any other caller is hung up on.
Both have to run the same, since frames are values that only the same versions understand.
"""

import platform
import secrets
import ssl
import struct
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HELLO: Final = struct.Struct("<8s40sI32s")  # magic, what runs, the worker's number, the ticket's secret
WELCOME: Final = struct.Struct("<8s40s")  # magic, what runs
MAGIC: Final = b"rowmill1"
_BYTES = 32  # of a secret
_NAME = "rowmill batch"
_BEFORE, _AFTER = timedelta(days=2), timedelta(days=400)  # clocks differ, and a batch may be long


def new_secret() -> str:
    """A secret for one ticket, in hexadecimal digits."""
    return secrets.token_hex(_BYTES)


def made_here() -> str:
    """What this process runs, as it is compared and told."""
    major, minor, _ = platform.python_version_tuple()
    return f"rowmill {version('rowmill')[:20]} on Python {major}.{minor}"


def hello(number: int, secret: str, made: str) -> bytes:
    """What a worker says first.

    Raises:
        ValueError: the secret is none.
    """
    told = bytes.fromhex(secret)
    if len(told) != _BYTES:
        raise ValueError("a ticket's secret has 64 hexadecimal digits")
    return HELLO.pack(MAGIC, made.encode(), number, told)


def welcome(made: str) -> bytes:
    """What a batch says to a worker whose ticket it knows."""
    return WELCOME.pack(MAGIC, made.encode())


def made_of(field: bytes) -> str:
    """What the other end runs, as its hello or welcome tells, and fit to be shown."""
    return "".join(one for one in field.rstrip(b"\0").decode("ascii", "replace") if one.isprintable())


def new_identity() -> tuple[str, ssl.SSLContext]:
    """A certificate of one's own as PEM, and what to answer with; its key leaves memory only encrypted."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, _NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + _AFTER)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    password = secrets.token_bytes(_BYTES).hex()
    with TemporaryDirectory() as folder:  # ssl reads keys from files alone; in this one it is encrypted
        file = Path(folder) / "batch.pem"
        file.write_bytes(
            pem
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(password.encode()),
            )
        )
        context.load_cert_chain(file, password=password)
    return pem.decode(), context


def believing(certificate: str) -> ssl.SSLContext:
    """What to call with, where this certificate is believed and no other.

    Raises:
        ValueError: it is none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False  # the certificate is the batch's, by whatever name it is reached
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(cadata=certificate)
    except ssl.SSLError as error:
        raise ValueError("a ticket's certificate is PEM") from error
    return context
