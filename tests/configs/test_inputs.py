"""Files and processors in task and job files."""

from pathlib import Path

import pytest

from tasks_lib.configs import ConfigError, check_columns, load_job, load_task
from tasks_lib.domain.inputs import FileInput, FileMode, FileSources, ProcessorStep
from tests.configs.project import JOB, TASK, Project

STEP = "input_processors: [{param_name: text, input_processor: url_fetcher, config: {max_characters: 9}}]\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", FileInput()),
        ("file_input_mode: none\n", FileInput()),
        ("file_input_mode: pdf\nmax_file_bytes: 5\n", FileInput(mode=FileMode.PDF, max_bytes=5)),
        ("file_input_mode: any\nfile_required: false\n", FileInput(mode=FileMode.ANY, required=False)),
        ("image_required: true\n", FileInput(mode=FileMode.IMAGE)),
        ("image_required: false\n", FileInput()),
    ],
)
def test_modes(project: Project, text: str, wanted: FileInput) -> None:
    """6.13: file_input_mode has five values, and image_required: true is the same as image."""
    project.write("configs/tasks/task.yaml", TASK + text)
    assert load_task(project.task).file_input == wanted


@pytest.mark.parametrize(
    ("told", "columns"),
    [("text", ("text",)), ("[text, label]", ("text", "label")), ("{column: text}", ("text",))],
)
def test_a_jobs_files(project: Project, told: str, columns: tuple[str, ...]) -> None:
    """R15: one column or several; paths begin beside the source, or in further folders."""
    project.write("configs/tasks/task.yaml", TASK + "file_input_mode: image\n")
    (project.folder / "photos").mkdir()
    more = (
        'file_folders: [../../photos]\nallow_urls: [example.com, "*.a.org"]\nallow_private_addresses: true\n'
    )
    project.write("configs/jobs/job.yaml", JOB + f"files: {told}\n{more}")
    assert load_job(project.job).files == FileSources(
        columns=columns,
        folders=(project.folder / "data", project.folder / "photos"),
        hosts=("example.com", "*.a.org"),
        allow_private_addresses=True,
    )


def test_processors(project: Project) -> None:
    """2.2: processors are a list of {param_name, input_processor, config}, and defined with the job."""
    project.write("configs/tasks/task.yaml", TASK + STEP)
    project.write("configs/jobs/job.yaml", JOB + 'allow_urls: ["*"]\n')
    job = load_job(project.job)
    step = ProcessorStep(param_name="text", input_processor="url_fetcher", config={"max_characters": 9})
    assert job.task.processors == (step,)
    told = job.definition["task"]
    assert isinstance(told, dict)
    assert told["input_processors"] == [
        {"param_name": "text", "input_processor": "url_fetcher", "config": {"max_characters": 9}}
    ]


AT = "configs/tasks/task.yaml:4:"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "file_input_mode: video\n",
            "18: file_input_mode must be none, image, pdf, image_or_pdf or any, not",
        ),
        (
            "image_required: true\nfile_input_mode: pdf\n",
            "1: image_required stands beside file_input_mode. image_required: true is the same as",
        ),
        (
            "file_required: false\n",
            "1: file_required stands in a task that takes no files. Say file_input_mode.",
        ),
        ("max_file_bytes: 10\n", "1: max_file_bytes stands in a task that takes no files"),
        (
            STEP.replace("name: text", "name: txt"),
            "33: the task has no placeholder {{txt}}. Did you mean 'text'?",
        ),
        (
            STEP.replace("url_fetcher", "url_fetch"),
            "56: there is no input processor 'url_fetch'. Did you mean 'url_fetcher'?",
        ),
        (
            STEP.replace("max_characters", "max_character"),
            "78: url_fetcher has no 'max_character' in its config. Did you mean 'max_characters'?",
        ),
        (STEP.replace(": 9", ": 0"), "94: max_characters must be a whole number of at least 1"),
        (STEP.replace("max_characters: 9", "fallback_text: 9"), "93: fallback_text must be text"),
    ],
)
def test_what_is_wrong_with_a_task(project: Project, text: str, problem: str) -> None:
    """Each mistake is told with its place and what would be right."""
    project.write("configs/tasks/task.yaml", TASK + text)
    with pytest.raises(ConfigError) as caught:
        load_task(project.task)
    assert project.told(caught.value)[0].startswith(AT + problem)


@pytest.mark.parametrize(
    ("task", "job", "problem"),
    [
        ("", "files: text\n", "3:1: files names columns, and the task takes no files. Say file_input_mode"),
        (
            "file_input_mode: image\n",
            "",
            "1:1: the task takes an image (PNG, JPEG, GIF or WebP) with each row, and the job does not say",
        ),
        ("image_required: true\n", "files: text\nfile_folders: [none]\n", "4:16: there is no folder "),
        (
            STEP,
            "",
            "1:1: the task fetches URLs (url_fetcher), and the job allows no host to be asked. Say",
        ),
        (
            STEP,
            "allow_urls: [a b]\n",
            "3:14: allow_urls[0] must be a host such as example.com or *.example.com",
        ),
        ("", "allow_urls: [a.com]\n", "3:1: allow_urls is for rows that name files or pages"),
        ("", "file_folders: [.]\n", "3:1: file_folders is for rows that name files"),
        ("", "files: []\n", "3:8: files must not be empty"),
    ],
)
def test_what_is_wrong_with_a_job(project: Project, task: str, job: str, problem: str) -> None:
    """A mode without columns, columns without a mode, and pages of nowhere are told at once."""
    project.write("configs/tasks/task.yaml", TASK + task)
    project.write("configs/jobs/job.yaml", JOB + job)
    with pytest.raises(ConfigError) as caught:
        load_job(project.job)
    assert project.told(caught.value)[0].startswith(f"configs/jobs/job.yaml:{problem}")


def test_a_column_that_is_not_there(project: Project) -> None:
    """A column of files that the source does not have is told where the job names it."""
    project.write("configs/tasks/task.yaml", TASK + "file_input_mode: image\n")
    for told, at in (("[text, labl]", "15"), ("labl", "8"), ("{column: labl}", "17")):
        project.write("configs/jobs/job.yaml", JOB + f"files: {told}\n")
        with pytest.raises(ConfigError) as caught:
            check_columns(project.job, ["id", "text", "customer", "label"])
        (problem,) = project.told(caught.value)
        assert problem.startswith(f"configs/jobs/job.yaml:3:{at}: files")
        assert problem.endswith(
            "names a column 'labl', which the source does not have. Did you mean 'label'?"
        )
