from pathlib import Path

from tasks_lib.configs import check_columns, load_job, load_prices, load_providers, scaffold
from tasks_lib.domain.pricing import FREE

FILES = ("configs/jobs/people.yaml", "configs/tasks/people.yaml", "data/people.csv", ".gitignore")


def test_a_new_project_can_be_run_at_once(tmp_path: Path) -> None:
    """In an empty folder, which need not exist: its job loads, its columns are there, and it is free."""
    made = scaffold(tmp_path / "new")
    assert made.written == tuple(Path(name) for name in FILES)
    assert made.kept == ()
    path = made.folder / made.job
    job = load_job(path)
    model = job.task.revisions[0].models[0].model
    assert str(model) == "local:smollm2-135m-instruct"
    assert load_prices(path).price_list(model, load_providers(path, env={})["local"]) is FREE
    assert job.source.path is not None
    header, *rows = job.source.path.read_text("utf-8").splitlines()
    check_columns(path, header.split(","))
    assert len(rows) == 6


def test_the_large_model_is_two_lines_away(tmp_path: Path) -> None:
    """Taking the two comment signs away, and the two lines above, gives a task for OpenAI."""
    made = scaffold(tmp_path)
    task = tmp_path / "configs/tasks/people.yaml"
    lines = [
        line.removeprefix("# ") if line.startswith(("# model:", "# parameters:")) else line
        for line in task.read_text("utf-8").splitlines()
        if not line.startswith(("model:", "parameters:"))
    ]
    task.write_text("\n".join(lines), "utf-8")
    models = load_job(tmp_path / made.job).task.revisions[0].models
    assert str(models[0].model) == "openai:gpt-5-mini"


def test_nothing_that_is_there_is_changed(tmp_path: Path) -> None:
    """A second time, or in somebody's project, files stay as they are."""
    scaffold(tmp_path)
    (tmp_path / "data/people.csv").write_text("mine", "utf-8")
    again = scaffold(tmp_path)
    assert again.written == ()
    assert again.kept == tuple(Path(name) for name in FILES)
    assert (tmp_path / "data/people.csv").read_text("utf-8") == "mine"


def test_lines_are_added_to_a_gitignore(tmp_path: Path) -> None:
    """Only those that it lacks, each in a line of its own."""
    path = tmp_path / ".gitignore"
    path.write_text("*.pyc\ndata/out/", "utf-8")
    scaffold(tmp_path)
    assert path.read_text("utf-8") == "*.pyc\ndata/out/\ndata/*.duckdb*\n"
