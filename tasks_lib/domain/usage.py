"""Tokens used, in inclusive buckets."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one exchange.

    Those read from a cache and those written to one are part of the input, reasoning ones part of the output.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """All tokens of the exchange."""
        return self.input_tokens + self.output_tokens
