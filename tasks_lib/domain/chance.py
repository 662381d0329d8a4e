"""Chance as a hash: the same parts always give the same draw."""

from hashlib import blake2b


def fraction(*parts: str) -> float:
    """A number in [0, 1) that depends on nothing but its parts.

    It jitters a backoff and chooses a revision, so that a run that is repeated, resumed or tested takes
    the same turns.
    """
    digest = blake2b("\x1f".join(parts).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) * 2.0**-53  # 53 bits: all that a float holds below 1
