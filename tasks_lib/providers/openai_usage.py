"""The tokens that OpenAI and its imitators report."""

from collections.abc import Mapping
from typing import Any, TypeGuard

from tasks_lib.domain.usage import Usage

_MOST_TOKENS = 10**9  # beyond it a count is nonsense, and nothing that money or a database should reckon with


def usage_of(body: Mapping[str, Any]) -> Usage | None:
    """The tokens a response reports; None if it reports none, or nonsense.

    Completions call them prompt and completion tokens, images input and output tokens.
    """
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return None
    prompt = usage.get("prompt_tokens", usage.get("input_tokens"))
    completion = usage.get("completion_tokens", usage.get("output_tokens"))
    if not _is_count(prompt) or not _is_count(completion):
        return None
    cached = _count(usage.get("prompt_tokens_details"), "cached_tokens")
    return Usage(
        input_tokens=prompt,
        output_tokens=completion,
        cached_tokens=min(prompt, cached or _count(usage, "prompt_cache_hit_tokens")),  # the second: DeepSeek
        reasoning_tokens=min(completion, _count(usage.get("completion_tokens_details"), "reasoning_tokens")),
    )


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= _MOST_TOKENS  # and no bool, which is an int, too


def _count(within: object, name: str) -> int:
    value = within.get(name) if isinstance(within, dict) else None
    return value if _is_count(value) else 0
