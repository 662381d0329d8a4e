"""Which test proves which point of the task-run APIs: `python -m tests.house.points` writes the page."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs/points.md"
_POINT: Final = r"(?:[PRW]\d\d(?:-[PRW]\d\d)?|\d\.\d+)"
_NAMED: Final = re.compile(rf"({_POINT}(?:, {_POINT})*):")
_SHOWN: Final = 3  # tests named in a row of the table

# Rightbrain's pages "Run Task" and "Fetch a Task Run" (R), Webagent's "Run Task" (W), Parallel's "Create Task
# Run" (P).
POINTS: Final[Mapping[str, str]] = {
    "R01": "a bearer token, which stays secret",
    "R02": "an organization in the path",
    "R03": "a project in the path",
    "R04": "which task is run",
    "R05": "a run by its id",
    "R06": "a revision by its id",
    "R07": "a revision by its tag",
    "R08": "else a revision by traffic weight",
    "R09": "a reporting group of at most 64 characters",
    "R10": "the fallback model by wish, refused where there is none",
    "R11": "task_input: values of any type by name",
    "R12": "no other name for it",
    "R13": "its keys are the prompts' placeholders",
    "R14": "values stand in the prompt as they are",
    "R15": "task_files: a name and base64",
    "R16": "a required image",
    "R17": "task_reference of at most 64 characters",
    "R18": "the choice of a revision is made for the caller",
    "R19": "answers: json, text, csv, image, audio, pdf",
    "R20": "answers that match the output format",
    "R21": "tokens, time and credits of every run",
    "R22": "files only where they are needed",
    "R23": "the fallback model when the primary fails",
    "R24": "the fallback model when the caller says so",
    "R25": "analytics and billing by reporting group",
    "R26": "what was submitted, for audits",
    "R27": "references to files",
    "R28": "A/B tests by explicit revision",
    "R29": "gradual rollouts by weight",
    "R30": "the fallback during a known outage",
    "R31": "segments by customer, feature or cohort",
    "R32": "task_id and task_revision_id",
    "R33": "response: text or an object",
    "R34": "run_data, with what was submitted",
    "R35": "id of the run",
    "R36": "created",
    "R37": "input_tokens, output_tokens, total_tokens",
    "R38": "input_processor_timing",
    "R39": "llm_call_timing",
    "R40": "charged_credits: a decimal as text, or null",
    "R41": "files",
    "R42": "is_error",
    "R43": "llm_retries",
    "R44": "used_fallback_model",
    "R45": "primary_failure_reason",
    "R46": "fallback_llm_model_id",
    "R47": "user_id",
    "R48": "reporting_group_id and reporting_group",
    "R49": "reference",
    "R50": "context_id",
    "R51": "a run can be fetched while others go on",
    "R52": "why a run failed",
    "R53": "an id that is no UUID",
    "R54": "an input that is not valid",
    "R55": "a run that is not there",
    "R56": "no permission",
    "R57": "errors that the page leaves open",
    "W01": "POST to a task of a browser agent",
    "W02": "its id, a whole number",
    "W03": "overrides, each of which may be left out",
    "W04": "prompt, of at least 3 characters",
    "W05": "model",
    "W06": "provider",
    "W07": "wait_for_completion",
    "W08": "the id alone, where nobody waits",
    "W09": "webhook_url",
    "W10": "response_format",
    "W11": "json_schema, as text or object",
    "W12": "use_cached_workflow",
    "W13": "task_id and task_run_id",
    "W14": "history",
    "W15": "history: description of a step",
    "W16": "history: actions of a step",
    "W17": "result",
    "W18": "is_done",
    "W19": "is_successful",
    "W20": "status",
    "W21": "no tokens and no cost on the page",
    "P01": "POST that makes a run of Parallel's Task API",
    "P02": "its key in a header, which stays secret",
    "P03": "input: text, or an object",
    "P04": "a processor: for all rows, for each, or one after the other",
    "P05": "no task_spec: the API finds a form by itself",
    "P06": "output_schema: json, text or auto",
    "P07": "input_schema",
    "P08": "schemas are closed, complete and described",
    "P09": "metadata: 16 keys, 512 characters",
    "P10": "run_id",
    "P11": "status: seven of them",
    "P12": "is_active, which is no word for ended",
    "P13": "warnings",
    "P14": "warnings of any type",
    "P15": "the processor that was used",
    "P16": "metadata comes back",
    "P17": "created_at, modified_at",
    "P18": "a run is queued: any 2xx",
    "P19": "results, groups, events and notices, which the page leaves out",
}
OPEN: Final[Mapping[str, str]] = {}  # point -> why it has no test


def proofs() -> Mapping[str, list[str]]:
    """Point -> the tests whose first line names it, as path::name."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if "node_modules" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for point in _points_of(ast.get_docstring(node) or ""):
                    found[point].append(f"{path.relative_to(ROOT)}::{node.name}")
    return found


def page() -> str:
    """The text of docs/points.md."""
    found = proofs()
    rows = "\n".join(_row(point, said, found.get(point, [])) for point, said in POINTS.items())
    return f"{_HEAD}{rows}\n"


def _points_of(docstring: str) -> Iterator[str]:
    named = _NAMED.match(docstring)
    for name in named[1].split(", ") if named is not None else ():
        first, dash, last = name.partition("-")
        if dash:
            yield from (f"{first[0]}{number:02}" for number in range(int(first[1:]), int(last[1:]) + 1))
        else:
            yield first


def _row(point: str, said: str, tests: list[str]) -> str:
    if point in OPEN:
        return f"| {point} | {said} | - | {OPEN[point]} |"
    places = sorted({test.partition("::")[0] for test in tests})
    shown = ", ".join(f"`{place.removeprefix('tests/')}`" for place in places[:_SHOWN])
    more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    return f"| {point} | {said} | {len(tests)} | {shown}{more} |"


_HEAD: Final = """\
# What the task-run APIs define, and what proves it here

Two pages of Rightbrain (R: "Run Task", "Fetch a Task Run") and one of Webagent (W: "Run Task") say what a
caller of a hosted task may ask and is told. rowmill does it by itself, for every row. A test that proves a
point names it in its first line, such as `R08: ...`; this table counts them, `python -m tests.house.points`
writes it, and a test keeps it fresh. Names follow the pages; where they leave something open, the tests say
what was decided.

| point | what | tests | in |
|---|---|---:|---|
"""

if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
