"""To whose account a row's run goes, what it is called, and what of that the provider is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.row import Row
from tasks_lib.domain.template import Template

LONGEST_LABEL = 64  # characters of a reporting group, reference or context id
MOST_METADATA = 16  # entries
LONGEST_METADATA = 512  # characters of a metadata value
_NO_METADATA: Mapping[str, str] = {}  # of all rows that have none


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What is told to a provider about a call beside the call itself, where it has a field for it."""

    user: str | None = None  # to whom misuse may be traced; best a number of ours
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)  # not frozen: one is made of every row, and that takes twice as long
class Labelled:
    """The labels of one row."""

    reporting_group: str | None
    reference: str | None
    context_id: str | None
    metadata: Mapping[str, str]
    carried: Carried | None
    problem: Failure | None  # a label that is too long


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Templates over the row's columns, and which of the labels the provider is told."""

    reporting_group: Template | None = None
    reference: Template | None = None  # None: the row's key, if it is short enough
    context_id: Template | None = None
    metadata: Mapping[str, Template] = field(default_factory=dict)
    user: Template | None = None
    carry: frozenset[str] = frozenset()  # user, metadata, reporting_group, reference, context_id
    named: Mapping[str, Template] = field(init=False, repr=False, compare=False)
    """All that are given but metadata, by name; found once and not for each row."""

    def __post_init__(self) -> None:
        """Find what is given."""
        named = {
            "reporting_group": self.reporting_group,
            "reference": self.reference,
            "context_id": self.context_id,
            "user": self.user,
        }
        given = {name: template for name, template in named.items() if template is not None}
        object.__setattr__(self, "named", given)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the templates read."""
        templates = (
            self.reporting_group,
            self.reference,
            self.context_id,
            *self.metadata.values(),
            self.user,
        )
        return tuple(dict.fromkeys(name for template in templates if template for name in template.names))

    def of(self, row: Row) -> Labelled:
        """The labels of a row; an empty one is none."""
        values = row.values
        named = {name: template.render(values) for name, template in self.named.items()}
        if self.reference is None and len(row.key) <= LONGEST_LABEL:
            named["reference"] = row.key
        metadata = _NO_METADATA
        if self.metadata:
            metadata = {name: template.render(values) for name, template in self.metadata.items()}
        return Labelled(
            reporting_group=named.get("reporting_group") or None,
            reference=named.get("reference") or None,
            context_id=named.get("context_id") or None,
            metadata=metadata,
            carried=self._carried(named, metadata) if self.carry else None,
            problem=_problem(named, metadata),
        )

    def _carried(self, named: Mapping[str, str], metadata: Mapping[str, str]) -> Carried:
        told = dict(metadata) if "metadata" in self.carry else {}
        for name in ("reporting_group", "reference", "context_id"):
            label = named.get(name)
            if name in self.carry and label:
                told[name] = label
        return Carried(user=(named.get("user") or None) if "user" in self.carry else None, metadata=told)


def _problem(named: Mapping[str, str], metadata: Mapping[str, str]) -> Failure | None:
    for name, text in named.items():
        if len(text) > LONGEST_LABEL:
            return _bad_row(f"{name} has {len(text)} characters, {LONGEST_LABEL} are allowed: {text[:40]}…")
    for name, text in metadata.items():
        if len(text) > LONGEST_METADATA:
            return _bad_row(f"metadata {name} has {len(text)} characters, {LONGEST_METADATA} are allowed")
    return None


def _bad_row(message: str) -> Failure:
    return Failure(kind=FailureKind.BAD_ROW, message=message)
