"""What a provider is told beside a call: for whom it is made, and under which labels."""

from collections.abc import Collection
from itertools import islice
from typing import Final

from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.labels import MOST_METADATA, Carried

_USER: Final = ("safety_identifier", "user")  # OpenAI's present name and its former one


def chat_fields(carried: Carried, carries: Collection[str]) -> dict[str, JsonValue]:
    """The fields of a chat completion that tell what is carried, as far as the provider has them.

    OpenAI takes metadata only of completions that it stores (`store: true`), and answers 400 otherwise: so
    that is asked for with them. A task whose parameters say `store: false` has them not told.
    """
    fields: dict[str, JsonValue] = _user(carried, carries, _USER)
    if carried.metadata and "metadata" in carries:
        fields["metadata"] = dict(islice(carried.metadata.items(), MOST_METADATA))
        if "store" in carries:
            fields["store"] = True
    return fields


def image_fields(carried: Carried, carries: Collection[str]) -> dict[str, JsonValue]:
    """The same of a picture, of which only the user can be told, by the former name."""
    knows = any(name in carries for name in _USER)
    return {"user": carried.user} if carried.user is not None and knows else {}


def _user(carried: Carried, carries: Collection[str], names: tuple[str, ...]) -> dict[str, JsonValue]:
    name = next((name for name in names if name in carries), None)
    return {} if carried.user is None or name is None else {name: carried.user}
