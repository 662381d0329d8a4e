"""What hosted tasks cannot do is found before the first call."""

from pathlib import Path

import pytest

from tasks_lib.configs import Environment
from tasks_lib.domain.mistake import Mistake
from tasks_lib.job.preflight import preflight
from tasks_lib.job.setup import load_setup

ORG = "7e2c1d3a-9f40-4c5b-8a61-0d9e5b7f2c18"
PROVIDERS = f"""\
par: {{protocol: parallel, base_url: 'http://localhost:1'}}
brain: {{protocol: rightbrain, base_url: 'http://localhost:1', org_id: {ORG}, project_id: MY_PROJECT}}
agent: {{protocol: webagent, base_url: 'http://localhost:1'}}
"""
SCHEMA = "{type: object, properties: {n: {type: integer}}, required: [n], additionalProperties: false}"
TASK = 'user_prompt: "Say {{text}}"\n'
JOB = """\
task: task.yaml
source: {path: rows.csv, key: id}
ledger: ledger.duckdb
"""
BRAIN = f"brain:{ORG}"


class Folder:
    """A job of hosted tasks; nothing listens where they are said to be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("providers.yaml", PROVIDERS)
        self.write(
            "rows.csv", "id,text,processor,tier,scan\n1,a,par:lite,lite,x.pdf\n2,b,par:core,core,y.pdf\n"
        )

    def write(self, name: str, text: str) -> None:
        """A file of the folder."""
        (self.folder / name).write_text(text, "utf-8")

    def planned(self, *, task: str, job: str = "", variables: dict[str, str] | None = None) -> list[str]:
        """The models of a plan.

        Raises:
            Mistake: the job cannot be run.
        """
        self.write("task.yaml", TASK + task)
        self.write("job.yaml", JOB + job)
        told = {"MY_PROJECT": ORG} if variables is None else variables
        setup = load_setup(self.folder / "job.yaml", environment=Environment.of(told, user="ada"))
        return [one.model for one in preflight(setup).models]

    def refused(self, *, task: str, job: str = "", variables: dict[str, str] | None = None) -> str:
        """Why the job cannot be run."""
        with pytest.raises(Mistake) as caught:
            self.planned(task=task, job=job, variables=variables)
        return str(caught.value).replace(f"{self.folder}/", "")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.mark.parametrize(
    ("model", "can", "cannot"),
    [
        ("par:lite", ["json", "text", "csv"], ["pdf", "image", "audio"]),
        (BRAIN, ["json", "text", "csv", "pdf", "image", "audio"], []),
        ("agent:1", ["json", "text"], ["csv", "pdf", "image", "audio"]),
    ],
)
def test_each_says_what_it_can_answer(folder: Folder, model: str, can: list[str], cannot: list[str]) -> None:
    """R19, W10, P06: what it cannot is refused, with the protocols that can."""
    for modality in can:
        assert folder.planned(task=f"model: {model}\noutput: {modality}\n") == [model]
    for modality in cannot:
        told = folder.refused(task=f"model: {model}\noutput: {modality}\n")
        assert told.startswith(f"job.yaml: output.modality is {modality}, and {model} cannot answer so: the")


def test_hosted_tasks_are_models_of_a_ladder(folder: Folder) -> None:
    """P04, R23: a cheaper processor first, then a dearer one, then a model of another API."""
    task = "model: par:lite\nfallback: [par:core, 'ollama:m']\n"
    assert folder.planned(task=task) == ["par:lite", "par:core", "ollama:m"]


@pytest.mark.parametrize("told", ["{column: processor}", "'par:{{tier}}'"])
def test_rows_name_their_processors(folder: Folder, told: str) -> None:
    """P04: by a column of whole names, or of what stands behind the provider's."""
    found = folder.planned(task="model: par:base\n", job=f"override: {{model: {told}}}\n")
    assert found == ["par:base", "par:lite", "par:core"]


def test_a_processor_that_is_none_is_told_with_its_row(folder: Folder) -> None:
    """P04: what stands in a column may not lead elsewhere."""
    folder.write("rows.csv", "id,text,processor\n1,a,lite\n2,b,../../v2\n")
    told = folder.refused(task="model: par:base\n", job="override: {model: 'par:{{processor}}'}\n")
    assert told.endswith(
        "rows.csv, row 2: override: the model par:../../v2: its name must be the name of a processor, such "
        "as lite, base or core-fast"
    )


def test_a_task_at_another_provider_is_checked_by_that_ones_rules(folder: Folder) -> None:
    """R53: the id of a task does not become one by another provider's name before it."""
    told = folder.refused(task="model: par:base\n", job="override: {provider: agent}\n")
    assert told == (
        "job.yaml: the model agent:base: its name must be the id of a task there, which is a whole number "
        "such as 7"
    )


@pytest.mark.parametrize("model", ["par:lite", "agent:1"])
def test_files_go_only_where_they_are_taken(folder: Folder, model: str) -> None:
    """R15: a task there that takes no files is not asked with some."""
    job = "files: [scan]\n"
    assert folder.planned(task=f"model: {BRAIN}\nfile_input_mode: pdf\n", job=job) == [BRAIN]
    told = folder.refused(task=f"model: {BRAIN}\nfallback: ['{model}']\nfile_input_mode: pdf\n", job=job)
    assert told.startswith(f"job.yaml: file_input_mode is pdf, and {model} takes no files: of the hosted")


def test_ids_are_asked_for_before_the_first_call(folder: Folder) -> None:
    """R03, R53: a variable that is not set is named."""
    told = folder.refused(task=f"model: {BRAIN}\n", variables={})
    assert told.startswith("MY_PROJECT is not set, and provider 'brain' needs it.")
    told = folder.refused(task=f"model: {BRAIN}\n", variables={"MY_PROJECT": "7"})
    assert told == "what MY_PROJECT holds is no UUID, and provider 'brain' needs one as its project_id"


@pytest.mark.parametrize("model", [BRAIN, "agent:1"])
def test_a_limit_in_dollars_needs_the_price_of_a_run(folder: Folder, model: str) -> None:
    """W21: no price is known where the API tells none; a price by tokens bounds nothing that is run there."""
    job = "limits: {max_cost: 1}\n"
    told = folder.refused(task=f"model: {model}\n", job=job)
    assert told == (
        f"limits.max_cost cannot be kept: the price of {model} is unknown. Give it in prices.yaml "
        "(input: 0, output: 0, request: DOLLARS FOR A RUN), or take the limit away."
    )
    name = model.partition(":")[0]
    folder.write("prices.yaml", f"'{name}:*': {{input: 1, output: 2}}\n")
    told = folder.refused(task=f"model: {model}\n", job=job)
    assert told == (
        f"limits.max_cost cannot be kept: nothing bounds the tokens of a run of {model}. Give its price in "
        "prices.yaml by the run (input: 0, output: 0, request: DOLLARS)."
    )
    folder.write("prices.yaml", f"'{name}:*': {{input: 0, output: 0, request: 0.02}}\n")
    assert folder.planned(task=f"model: {model}\n", job=job) == [model]


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ("model: par:lite\nparameters: {input: rows}", "the model par:lite: input must be text (the prompt"),
        (
            "model: par:lite\nparameters: {memory_scope_kee: a}",
            "the model par:lite: there is no parameter memo",
        ),
        (f"model: {BRAIN}\nparameters: {{revision_id: 7}}", f"the model {BRAIN}: revision_id must be the id"),
        ("model: agent:1\nparameters: {wait_for_complete: true}", "the model agent:1: "),
        ("model: agent:1\nparameters: {session_timeout: 9}", "the model agent:1: "),
        ("model: par:lite\nfallback: [{model: 'agent:1', parameters: {marker: 7}}]", "the model agent:1: "),
    ],
)
def test_parameters_are_checked_by_the_protocol_that_sends_them(folder: Folder, task: str, told: str) -> None:
    """R53, R54, W03, P05: those of fallbacks, too."""
    assert folder.refused(task=f"{task}\n").startswith(f"job.yaml: {told}")


@pytest.mark.parametrize("model", ["par:lite", BRAIN, "agent:1"])
def test_a_language_models_parameters_may_stay(folder: Folder, model: str) -> None:
    """P05: so that a job's model line can change alone; the plan says that they are not sent."""
    folder.write("task.yaml", f"{TASK}model: {model}\nparameters: {{temperature: 0, max_tokens: 9}}\n")
    folder.write("job.yaml", JOB)
    setup = load_setup(
        folder.folder / "job.yaml", environment=Environment.of({"MY_PROJECT": ORG}, user="ada")
    )
    told = [one for one in preflight(setup).warnings if one.startswith(f"{model}: ")]
    assert len(told) == 1
    assert "temperature, max_tokens" in told[0]


def test_what_a_schema_cannot_be_told_is_said(folder: Folder) -> None:
    """P06, P08: and answers are checked against all of it."""
    schema = SCHEMA.replace("type: integer", "type: integer, minimum: 1")
    folder.write("task.yaml", f"{TASK}model: par:lite\noutput: {{schema: {schema}}}\n")
    folder.write("job.yaml", JOB)
    setup = load_setup(folder.folder / "job.yaml", environment=Environment.of({}, user="ada"))
    assert any(one.startswith("par cannot be held to minimum of $.n") for one in preflight(setup).warnings)


def test_one_process_is_enough(folder: Folder) -> None:
    """Waiting for others needs no second core, and what is begun is one book's matter."""
    told = folder.refused(task="model: par:lite\n", job="workers: 2\n")
    assert told.startswith("workers: runs of hosted tasks, such as par:lite, are waited for")
