"""What of a provider's words may be shown: a line of them, and none of our secrets."""

from collections.abc import Sequence
from typing import Final

from tasks_lib.domain.provider import Secret
from tasks_lib.providers.protocol import Response

SHOWN: Final = 300  # characters of a strange body that an error shows


class Blotted:
    """Blots secrets out before anything is cut: of one that is cut in two, no half would be found."""

    def __init__(self, secrets: Sequence[Secret | None]) -> None:
        """Let none of these be seen, nor what is put among them later."""
        self._secrets = secrets

    def hidden(self, text: str) -> str:
        """The text without the secrets."""
        for secret in self._secrets:
            if secret is not None:
                text = secret.hidden_in(text)
        return text

    def shown(self, response: Response) -> str:
        """The beginning of a strange body, in one line, and without the secrets."""
        text = self.hidden(str(response.body, "utf-8", "replace"))
        line = " ".join(text[: SHOWN * 4].split()) or "nothing"
        return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"
