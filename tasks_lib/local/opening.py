"""What a batch needs of this machine, and no more: servers of a model, a voice, or both."""

from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.output import Modality, Output
from tasks_lib.local.drawing import check_drawing
from tasks_lib.local.models import local_model
from tasks_lib.local.servers import local_servers
from tasks_lib.local.speech import ESPEAK, check_speech, local_speaker
from tasks_lib.local.transport import LocalTransport
from tasks_lib.providers.protocol import Transport

_AT_THE_VOICE: Final = 4  # calls that may wait for it; it takes milliseconds for each


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """The local models of a batch, ready to be asked."""

    transport: LocalTransport
    in_flight: int  # calls that are worth having at the same time


@asynccontextmanager
async def open_local(
    inner: Transport,
    *,
    names: Collection[str],
    model_path: Path | None = None,
    at_most: int | None = None,
) -> AsyncIterator[Local]:
    """Open what models of these names need, before another transport; it is gone on exit.

    All names but the voice's mean one model: the packaged one, or the file at `model_path`. At most so many
    servers are started.

    Raises:
        Mistake: something is not installed, or did not start.
    """
    written = [name for name in names if name != ESPEAK]
    async with AsyncExitStack() as stack:
        servers = speaker = None
        if written:
            model = local_model(written[0], model_path=model_path)
            servers = await stack.enter_async_context(local_servers(model=model, at_most=at_most))
        if ESPEAK in names:
            speaker = await stack.enter_async_context(local_speaker())
        transport = await stack.enter_async_context(LocalTransport(inner, servers, speaker=speaker))
        in_flight = len(servers.urls if servers is not None else ()) + (_AT_THE_VOICE if speaker else 0)
        yield Local(transport=transport, in_flight=min(in_flight, at_most or in_flight))


def check_local(name: str, output: Output, *, model_path: Path | None = None) -> None:
    """Refuse a local model that is not there or cannot answer so, without loading it.

    Raises:
        Mistake: with what would be right.
    """
    if name == ESPEAK:
        if output.modality is not Modality.AUDIO:
            raise Mistake(
                f"local:{ESPEAK} only speaks, and the task's output is {output.modality.value}: it is for "
                "output.modality audio"
            )
        if output.file_type not in (None, "wav"):
            raise Mistake(f"local:{ESPEAK} makes wav only, and output.file_type is {output.file_type}")
        check_speech()
        return
    if output.modality is Modality.AUDIO:
        raise Mistake(f"local:{name} cannot speak; the local voice is local:{ESPEAK}")
    local_model(name, model_path=model_path)
    if output.modality is Modality.IMAGE:
        check_drawing()
