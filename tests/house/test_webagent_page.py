"""What docs/webagent.md shows can be loaded as it stands, and names every parameter."""

import re
from pathlib import Path

import duckdb

from tasks_lib.configs import Environment, load_providers, load_task
from tasks_lib.job.hosted import check_hosted_tasks
from tasks_lib.job.setup import load_setup
from tasks_lib.ledger import open_ledger
from tasks_lib.providers.webagent_ask import CLOUD, PARAMETERS, PROVIDERS
from tests.house.test_readme import ROOT

TEXT = (ROOT / "docs/webagent.md").read_text("utf-8")
BLOCKS = dict(re.findall(r"^```yaml\n# (\w+)\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL))
JOB = "task: task.yaml\nsource: {path: rows.csv}\nledger: ledger.duckdb\n"


def test_its_examples(tmp_path: Path) -> None:
    """The task can be asked, and the providers are those that the page speaks of."""
    for name, text in {**BLOCKS, "job": JOB}.items():
        (tmp_path / f"{name}.yaml").write_text(text, "utf-8")
    (tmp_path / "rows.csv").write_text("product,shop\na,b\n", "utf-8")
    assert str(load_task(tmp_path / "task.yaml").revisions[0].models[0].model) == "webagent:7"
    setup = load_setup(tmp_path / "job.yaml", environment=Environment.of({}, user="ada"))
    check_hosted_tasks(setup)
    providers = load_providers(tmp_path / "job.yaml", env={})
    assert providers["webagent"].timeouts.run == 1800
    hosted = providers["shop_agent"].hosted
    assert hosted is not None
    assert hosted.edition == CLOUD


def test_its_parameters() -> None:
    """Every parameter has its place in the table, and every provider of models is named."""
    table = [line for line in TEXT.splitlines() if line.startswith("| `")]
    named = {name for line in table for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert named == set(PARAMETERS)
    assert ", ".join(PROVIDERS[:-1]) in TEXT


def test_its_query(tmp_path: Path) -> None:
    """The query is one that a ledger answers."""
    [query] = re.findall(r"^```sql\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
    open_ledger(tmp_path / "ledger.duckdb").close()
    with duckdb.connect(str(tmp_path / "ledger.duckdb")) as connection:
        assert connection.execute(query).fetchall() == []
