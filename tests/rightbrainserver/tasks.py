"""The tasks that can be run: revisions with weights and tags, modality, fallback, what files they want."""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.rightbrainserver.refusals import Refused

ORG: Final = "0190a234-0000-7000-8000-00000000a001"
PROJECT: Final = "0190a234-0000-7000-8000-00000000b001"
MODALITIES: Final = ("json", "image", "audio", "pdf", "text", "csv")
FILE_MODES: Final = ("none", "image", "pdf", "image_or_pdf", "any")
CREATED: Final = "2026-01-02T03:04:05.678901"
_PLACEHOLDER: Final = re.compile(r"\{\{\s*(\w[\w.-]*)\s*\}\}|(?<!\{)\{(\w[\w.-]*)\}(?!\})")
_TYPES: Final = {
    "str": "string", "string": "string", "int": "integer", "integer": "integer", "number": "number",
    "bool": "boolean", "boolean": "boolean", "list": "array", "array": "array", "object": "object",
}  # fmt: skip  # a table


def made_id(name: str) -> str:
    """A UUID that follows from the name."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:rightbrain:{name}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One version of a task; weight is None where the API would have none to tell."""

    id: str
    user_prompt: str
    system_prompt: str = "You answer briefly."
    output_format: Mapping[str, Any] | None = None
    llm_model_id: str = made_id("model/primary")
    model_name: str = "pretend-1"
    fallback_llm_model_id: str | None = None
    file_input_mode: str = "none"
    input_processors: tuple[Mapping[str, Any], ...] = ()
    tags: tuple[str, ...] = ()
    active: bool = True
    test: bool = False
    weight: float | None = 1.0

    @property
    def input_params(self) -> list[str]:
        """The placeholders of the prompt, each once, in order."""
        return list(dict.fromkeys(one or other for one, other in _PLACEHOLDER.findall(self.user_prompt)))

    def prompt(self, given: Mapping[str, object]) -> str:
        """The prompt with its placeholders filled, in a single pass."""
        return _PLACEHOLDER.sub(lambda found: str(given[found[1] or found[2]]), self.user_prompt)

    def told(self) -> dict[str, Any]:
        """As the API tells it."""
        return {
            "id": self.id,
            "system_prompt": self.system_prompt,
            "user_prompt": self.user_prompt,
            "input_params": self.input_params,
            "llm_model_id": self.llm_model_id,
            "llm_model": _model(self.llm_model_id, self.model_name),
            "llm_config": {"temperature": 0.5},
            "fallback_llm_model_id": self.fallback_llm_model_id,
            "fallback_llm_model": self.fallback_llm_model_id
            and _model(self.fallback_llm_model_id, "spare-1"),
            "fallback_llm_config": None,
            "output_format": self.output_format,
            "file_input_mode": self.file_input_mode,
            "image_required": self.file_input_mode == "image",
            "optimise_images": True,
            "input_processors": self.input_processors,
            "task_forwarder_id": None,
            "rag": None,
            "annotation": None,
            "test": self.test,
            "active": self.active,
            "tags": [{"id": made_id(f"tag/{name}"), "name": name} for name in self.tags],
            "created": CREATED,
            "modified": CREATED,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task of the one project here."""

    id: str
    name: str
    revisions: tuple[Revision, ...]
    output_modality: str = "json"
    enabled: bool = True

    @property
    def access_token(self) -> str:
        """The bearer token that lets in to this task alone."""
        return f"task_{self.id}"

    def told(self) -> dict[str, Any]:
        """As the API tells it."""
        return {
            "id": self.id,
            "name": self.name,
            "description": None,
            "enabled": self.enabled,
            "public": False,
            "exposed_to_agents": False,
            "output_modality": self.output_modality,
            "task_run_visibility": "owner_only",
            "project_id": PROJECT,
            "created": CREATED,
            "modified": CREATED,
            "deleted": None,
            "access_token": self.access_token,
            "active_revisions": [
                {"task_revision_id": of.id, "weight": of.weight} for of in self.revisions if of.active
            ],
            "revisions": [of.told() for of in self.revisions],
            "tags": [],
            "shared_with_project": False,
        }

    def revision(self, *, pinned: str, tag: str, drawn: float) -> Revision:
        """The revision that a run uses; drawn, in 0..1, chooses among several by their weights.

        Raises:
            Refused: There is none of this id or tag, or none is active.
        """
        if pinned:
            found = [of for of in self.revisions if of.id == pinned]
            if not found:
                raise Refused(404, "TASK_REVISION_NOT_FOUND", "Task revision not found")
            return found[0]
        wanted = [of for of in self.revisions if tag in of.tags] if tag else []
        if tag and not wanted:
            raise Refused(404, "TASK_REVISION_NOT_FOUND", f"No revision has the tag {tag}")
        live = [of for of in wanted or self.revisions if of.active and not of.test]
        if not live and not wanted:
            raise Refused(422, "NO_ACTIVE_REVISION", "The task has no active revision")
        if not live:
            return wanted[-1]
        return _weighted(live, drawn)


def _weighted(live: Sequence[Revision], drawn: float) -> Revision:
    whole = sum(1.0 if of.weight is None else of.weight for of in live)
    left = drawn * whole
    for of in live:
        left -= 1.0 if of.weight is None else of.weight
        if left < 0:
            return of
    return live[-1]


def task_of(told: Mapping[str, Any]) -> Task:
    """A task as a test defines it: keys of the task and of a revision at once, or a list `revisions`.

    A revision's id follows from the task's name and its place, unless it is told; `fallback` is a shorthand
    for any fallback model, `image_required` the older name of `file_input_mode: image`.

    Raises:
        ValueError: Keys or words that no task has.
    """
    own = dict(told)
    name = own.pop("name")
    top = {key: own.pop(key) for key in ("id", "enabled", "output_modality") if key in own}
    revisions = own.pop("revisions", [{}])
    made = tuple(
        _revision({"id": made_id(f"{name}/{n}"), **own, **each}) for n, each in enumerate(revisions, 1)
    )
    task = Task(name=name, revisions=made, **{"id": made_id(name), **top})
    if task.output_modality not in MODALITIES:
        raise ValueError(f"output_modality is one of {', '.join(MODALITIES)}")
    return task


def _revision(told: dict[str, Any]) -> Revision:
    if told.pop("fallback", False):
        told.setdefault("fallback_llm_model_id", made_id("model/fallback"))
    if told.pop("image_required", False):
        told["file_input_mode"] = "image"
    for name in ("tags", "input_processors"):
        told[name] = tuple(told.get(name, ()))
    try:
        made = Revision(**told)
    except TypeError as strange:
        raise ValueError(str(strange)) from None
    if made.file_input_mode not in FILE_MODES:
        raise ValueError(f"file_input_mode is one of {', '.join(FILE_MODES)}")
    return made


def demo_tasks() -> list[Task]:
    """A task of every modality, one with weighted revisions, one that wants a picture, one that is off."""
    sorting = {
        "label": {"type": "str", "options": ["good", "bad"]},
        "sure": {"type": "number", "options": [0.25, 0.75]},
        "row_id": "str",
    }
    row = "row_id: {{row_id}} {{text}}"
    told: list[dict[str, Any]] = [
        {"name": "Demo json", "user_prompt": row, "output_format": sorting, "fallback": True},
        *({"name": f"Demo {kind}", "user_prompt": row, "output_modality": kind} for kind in MODALITIES[1:]),
        {
            "name": "Demo weights",
            "user_prompt": row,
            "output_format": sorting,
            "revisions": [
                {"weight": 0.75, "tags": ["production"]},
                {"weight": 0.25, "tags": ["candidate"], "user_prompt": f"Think. {row}"},
                {"active": False, "weight": None, "tags": ["old"]},
            ],
        },
        {"name": "Demo picture", "user_prompt": row, "output_format": sorting, "image_required": True},
        {"name": "Demo off", "user_prompt": row, "enabled": False},
    ]
    return [task_of(each) for each in told]


def schema_of(output_format: Mapping[str, Any] | None) -> dict[str, Any]:
    """The JSON Schema that an output_format, shorthand or in full, stands for."""
    properties = {name: _property(of) for name, of in (output_format or {"row_id": "str"}).items()}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _property(told: Any) -> dict[str, Any]:
    full: Mapping[str, Any] = {"type": told} if isinstance(told, str) else told
    kind = _TYPES[full["type"]]
    if full.get("options"):
        return {"enum": full["options"]}
    nested = full.get("nested_structure")
    if kind == "object":
        return schema_of(nested) if nested else {"type": "object", "properties": {}}
    if kind == "array":
        return {
            "type": "array",
            "items": schema_of(nested) if nested else _property(full.get("item_type", "str")),
        }
    return {"type": kind}


def _model(model_id: str, name: str) -> dict[str, Any]:
    return {
        "id": model_id, "name": name, "alias": name, "provider": "Pretend", "vendor": "pretend",
        "description": "A model that is pretended.", "supports_vision": True, "max_context_window": 128_000,
    }  # fmt: skip  # few words
