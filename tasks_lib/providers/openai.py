"""OpenAI's protocol, as OpenAI, its many imitators and local servers speak it."""

from collections.abc import Mapping, Sequence

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.labels import Carried
from tasks_lib.domain.output import Modality, Output
from tasks_lib.domain.plan import Message
from tasks_lib.domain.provider import Provider, Secret
from tasks_lib.domain.task import ModelChoice
from tasks_lib.providers.openai_chat import Frame, completion, frame_of
from tasks_lib.providers.openai_errors import Errors
from tasks_lib.providers.openai_images import picture
from tasks_lib.providers.openai_parts import CannotBeSent
from tasks_lib.providers.openai_speech import recording
from tasks_lib.providers.protocol import Exchange, Request

_MOST_FRAMES = 256  # a batch has one for each model of each revision


class OpenAI:
    """Asks one provider's models: for words by chat completions, for pictures and speech by their endpoints.

    A model whose parameters hold `audio` or `modalities` is asked for pictures and speech by chat, too.
    """

    def __init__(self, provider: Provider, key: Secret | None) -> None:
        """Speak with a provider's account; without a key no authorization is sent.

        Raises:
            ValueError: the key cannot be put into a header.
        """
        if key is not None and not (key.reveal().isascii() and key.reveal().isprintable()):
            raise ValueError(
                f"what {key.name} holds cannot be put into a header"
            )  # whose error would show it
        self._provider = provider
        self._errors = Errors(key)
        self._url = provider.base_url.rstrip("/") + "/chat/completions"
        self._headers = {
            "content-type": "application/json",
            "accept": "application/json",
            "user-agent": "rowmill",
        }
        if key is not None:
            self._headers["authorization"] = f"Bearer {key.reveal()}"
        self._idempotency_header = (provider.idempotency_header or "").lower()
        self._frames: dict[tuple[int, int], Frame] = {}  # by the identities of choice and output

    def exchange(
        self,
        messages: Sequence[Message],
        choice: ModelChoice,
        output: Output,
        *,
        idempotency_key: str | None = None,
        carried: Carried | None = None,
    ) -> Exchange:
        """One request, one response; a picture that is told by its address is fetched by a second."""
        headers = self._headers
        if idempotency_key is not None and self._idempotency_header:
            headers = {**headers, self._idempotency_header: idempotency_key}
        frame = self._frame(choice, output)
        if not frame.is_for_chat:
            return (yield from self._media(messages, choice, output, headers=headers, carried=carried))
        try:
            body = frame.body(messages, carried)
        except CannotBeSent as unfit:
            return Failure(kind=FailureKind.REJECTED, message=str(unfit))
        response = yield Request(method="POST", url=self._url, headers=headers, body=body)
        return completion(response, self._errors)

    def _media(
        self,
        messages: Sequence[Message],
        choice: ModelChoice,
        output: Output,
        *,
        headers: Mapping[str, str],
        carried: Carried | None,
    ) -> Exchange:
        if output.modality is Modality.AUDIO:
            return recording(
                messages,
                choice,
                output,
                provider=self._provider,
                headers=headers,
                errors=self._errors,
            )
        return picture(
            messages,
            choice,
            output,
            provider=self._provider,
            headers=headers,
            carried=carried,
            errors=self._errors,
        )

    def _frame(self, choice: ModelChoice, output: Output) -> Frame:
        """The JSON around the messages, which is the same for every row of a revision."""
        name = (id(choice), id(output))
        frame = self._frames.get(name)
        if frame is None:
            if len(self._frames) >= _MOST_FRAMES:
                self._frames.clear()
            frame = self._frames[name] = frame_of(self._provider, choice, output)
        return frame
