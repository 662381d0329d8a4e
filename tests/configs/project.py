"""A folder with configuration files, as a test needs them."""

from pathlib import Path

TASK = """\
task: sentiment
user_prompt: "Review: {{text}}"
model: openai:gpt-5-mini
"""
JOB = """\
task: ../tasks/task.yaml
source: ../../data/rows.csv
"""
ROWS = "id,text,customer,label\n1,good,acme,positive\n"


class Project:
    """configs/jobs/job.yaml, configs/tasks/task.yaml and data/rows.csv in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.job = self.write("configs/jobs/job.yaml", JOB)
        self.task = self.write("configs/tasks/task.yaml", TASK)
        self.rows = self.write("data/rows.csv", ROWS)

    def write(self, name: str, text: str | bytes) -> Path:
        """A file of that name within the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def told(self, error: Exception) -> list[str]:
        """The lines of an error, with paths as from the folder."""
        return str(error).replace(f"{self.folder}/", "").splitlines()
