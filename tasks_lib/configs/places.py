"""Addresses, and the variables of the environment that hold what no file may."""

import re
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from tasks_lib.configs.problems import looks_like_a_secret

VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def checked_variable(value: str) -> str:
    """The name of a variable; what may be a key itself is refused without being repeated."""
    if not VARIABLE.fullmatch(value) or looks_like_a_secret(value):
        raise PydanticCustomError(
            "variable",
            "must be the name of a variable of the environment, such as OPENAI_API_KEY, and never a key. "
            "Put the key itself into that variable.",
        )
    return value


def checked_url(value: str) -> str:
    """An address that paths can be added to."""
    try:
        parts = urlsplit(value)
        _ = parts.port  # raises when it is none
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_url = False
    if not is_url or re.search(r"\s", value):
        raise PydanticCustomError("url", "must be an address such as https://api.openai.com/v1")
    if parts.username is not None or parts.password is not None:
        raise PydanticCustomError("url", "must hold no user name and no password")
    if parts.query or parts.fragment:
        raise PydanticCustomError("url", "must end with its path, without '?' or '#'")
    return value.rstrip("/")


Variable = Annotated[
    str,
    AfterValidator(checked_variable),
    WithJsonSchema({"type": "string", "pattern": f"^{VARIABLE.pattern}$"}),
]
Address = Annotated[str, AfterValidator(checked_url), WithJsonSchema({"type": "string", "format": "uri"})]
