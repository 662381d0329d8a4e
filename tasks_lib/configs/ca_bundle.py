"""Whether a file can be trusted to hold certificates; the pool of connections takes any file for some."""

from pathlib import Path
from typing import Final

_SIGN: Final = b"-----BEGIN CERTIFICATE-----"  # some bundles write a name above each


def wrong_with_bundle(path: Path) -> str | None:
    """What is wrong with a PEM file of certificates; None if it holds some."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return f"there is no file {path}"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    return None if _SIGN in content else f"{path} holds no certificates in PEM ({_SIGN.decode()})"
