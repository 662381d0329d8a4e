"""Our way of validating answers, against the official JSON Schema Test Suite."""

import json
from dataclasses import replace
from typing import Any

import jsonschema_rs
import pytest

from tasks_lib.domain.judging import judge
from tasks_lib.domain.output import Answer, Modality, Output, Reply
from tests.json_schema.suite import Case, required_cases

pytestmark = [pytest.mark.schemas, pytest.mark.timeout(600)]  # the first is the one that fetches

_REMOTE = "http://localhost:1234/"  # where the suite's other files would be served
DRAFTS = {
    "draft7": "http://json-schema.org/draft-07/schema#",
    "draft2019-09": "https://json-schema.org/draft/2019-09/schema",
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
}


def of_draft(schema: Any, dialect: str) -> dict[str, Any]:
    """The schema as a task would hold it: an object that says its draft."""
    return (
        {"$schema": dialect, **schema}
        if isinstance(schema, dict)
        else {"$schema": dialect, "allOf": [schema]}
    )


def of_ours(case: Case, dialect: str, *, coerce: bool) -> Answer | str:
    """The answer that a value is under a schema, or what is told of it."""
    output = Output.of(Modality.JSON, of_draft(case.schema, dialect), coerce=coerce)
    verdict = judge(output, Reply(text=json.dumps(case.value)))
    return verdict if isinstance(verdict, Answer) else verdict.message


def of_the_library(case: Case, dialect: str) -> bool:
    """Whether jsonschema_rs alone takes a value."""
    return jsonschema_rs.validator_for(of_draft(case.schema, dialect), offline=True).is_valid(case.value)


@pytest.mark.parametrize(
    ("draft", "judged", "remote"),
    [("draft7", 890, 23), ("draft2019-09", 1191, 36), ("draft2020-12", 1208, 49)],
)
def test_answers_are_validated_as_the_suite_has_it(draft: str, judged: int, remote: int) -> None:
    """R20: an answer is valid where the official suite says so; only what would be fetched is refused."""
    dialect = DRAFTS[draft]
    refused: list[Case] = []
    wrong: list[str] = []
    cases = list(required_cases(draft))
    for case in cases:
        try:
            verdict = of_ours(case, dialect, coerce=False)
        except ValueError:
            refused.append(case)
            continue
        if isinstance(verdict, Answer) is not case.valid:
            wrong.append(
                f"{case.name}: {verdict}, and alone the library says {of_the_library(case, dialect)}"
            )
    assert wrong == []
    assert [case.name for case in refused if _REMOTE not in json.dumps(case.schema)] == []
    assert (len(cases) - len(refused), len(refused)) == (judged, remote)  # of this version of the suite


@pytest.mark.parametrize("draft", DRAFTS)
def test_coercion_changes_no_valid_answer_and_invents_no_other(draft: str) -> None:
    """R20: a valid value stays what it is, and one that is read differently is then valid to the library."""
    dialect = DRAFTS[draft]
    read = 0
    for case in required_cases(draft):
        if _REMOTE in json.dumps(case.schema):
            continue
        verdict = of_ours(case, dialect, coerce=True)
        if case.valid:
            assert isinstance(verdict, Answer), (case.name, verdict)
            assert (verdict.value, verdict.warnings) == (case.value, ()), case.name
        elif isinstance(verdict, Answer):
            read += 1
            assert verdict.warnings, case.name
            assert of_the_library(replace(case, value=verdict.value), dialect), case.name
    assert read > 0
