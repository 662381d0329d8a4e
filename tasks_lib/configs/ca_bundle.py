"""Whether a file can be trusted to hold certificates; the pool of connections takes any file for some."""

import ssl
from pathlib import Path


def wrong_with_bundle(path: Path) -> str | None:
    """What is wrong with a PEM file of certificates; None if it holds some."""
    try:
        ssl.create_default_context(cafile=path)
    except FileNotFoundError:
        return f"there is no file {path}"
    except ssl.SSLError:
        return f"{path} holds no certificates in PEM (-----BEGIN CERTIFICATE-----)"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    return None
