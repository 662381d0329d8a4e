"""Facts of many ledgers in one place: all of them, each once, whoever dies in between."""
# ruff: noqa: S608  names and ids are the tests' own

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pytest
import uuid_utils

from tasks_lib.domain.failure import FailureKind
from tasks_lib.ledger import Ledger, LedgerError, LedgerTooNew, NotInLedger, open_ledger
from tasks_lib.ledger.extensions import load_extensions
from tasks_lib.ledger.team import (
    HomePlace,
    LakeUri,
    MovedOn,
    Origin,
    Place,
    QuackUri,
    Role,
    TeamReading,
    Tokens,
    Unreachable,
    Whose,
    checked,
    fetch,
    open_place,
    parse_address,
    parse_uri,
    publish,
    publish_file,
    read_place,
)
from tasks_lib.ledger.team import origin as origin_module
from tasks_lib.ledger.team.parcel import Label, Parcel
from tasks_lib.ledger.team.roles import landed_parcel, may
from tasks_lib.ledger.team.server import TeamServer, team_server
from tests.ledger.builders import answered, batch_id, begin, end, plan, refused, run, runs
from tests.ledger.team_counts import counted
from tests.ledger.team_server import READ, TOKENS, WRITE, free_address

pytestmark = pytest.mark.skipif(
    not all(find_spec(f"duckdb_extension_{name}") for name in ("quack", "httpfs", "ducklake")),
    reason="needs the `live` and `team` extras",
)


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuackUri]:
    """A team's ledger that this process serves; tests share it, and have batches of their own."""
    address = free_address()
    with team_server(tmp_path_factory.mktemp("team") / "team.duckdb", at=address, tokens=TOKENS):
        yield address


@pytest.fixture(params=["quack", "lake"])
def there(request: pytest.FixtureRequest, at: QuackUri, tmp_path: Path) -> Iterator[Place]:
    """A place of each kind."""
    if request.param == "quack":
        place = open_place(at, token=WRITE)
    else:
        lake = LakeUri(attach=f"ducklake:{tmp_path}/lake.ducklake", data_path=f"{tmp_path}/lake")
        place = open_place(lake, token=None, make=True)
    yield place
    place.close()


def test_what_is_published_is_there_once(ledger: Ledger, there: Place) -> None:
    """Published again and again, as it grows, everything of a batch is there, and nothing twice."""
    batch = begin(ledger)
    ledger.add(list(runs(30, group="acme")), batch_id=batch)
    retried = run(plan(key="31", number=31), refused(), refused(FailureKind.TIMEOUT), answered())
    assert publish(ledger, there).task_runs == 30
    assert publish(ledger, there).parcels == 0
    ledger.add([retried], batch_id=batch)
    assert publish(ledger, there).task_runs == 1
    end(ledger, batch, rows=31, completed=31)
    assert publish(ledger, there).task_runs == 0
    assert counted(there, batch) == [("task_runs", 31, 31), ("attempts", 33, 33)]
    reading = TeamReading(there, name="there")
    whole = next(one for one in reading.batches(100).to_pylist() if str(one["batch_id"]) == batch)
    here = ledger.batches().to_pylist()[0]
    assert {**whole, "batch_id": None} == {**here, "batch_id": None}


def test_every_column_arrives_as_it_was(ledger: Ledger, there: Place) -> None:
    """A run's whole record there equals the one here, with its attempts."""
    batch = begin(ledger)
    odd = run(plan(key="ü'\"", text='x\n\0"', group="acme"), refused(), answered({"sentiment": "ü"}))
    ledger.add([odd], batch_id=batch)
    publish(ledger, there)
    id_ = odd.plan.task_run_id
    assert TeamReading(there, name="there").show(id_) == ledger.show(id_)


def test_reports_say_the_same_there(ledger: Ledger, tmp_path: Path) -> None:
    """Each report of a lake and of a served ledger gives the rows that the ledger itself gives."""
    first = begin(ledger)
    ledger.add([*runs(20, group="acme"), run(plan(key="x"), refused())], batch_id=first)
    end(ledger, first, status="completed_with_failures", rows=21, completed=20)
    address = free_address()
    lake = LakeUri(attach=f"ducklake:{tmp_path}/lake.ducklake", data_path=f"{tmp_path}/lake")
    with team_server(tmp_path / "team.duckdb", at=address, tokens=TOKENS):
        for place in (open_place(address, token=WRITE), open_place(lake, token=None, make=True)):
            publish(ledger, place)
            place.close()
        for team, token in ((address, READ), (lake, None)):
            with read_place(team, token=token) as reading:
                for name, _ in Ledger.reports():
                    assert reading.report(name).to_pylist() == ledger.report(name).to_pylist(), name
                later = reading.report("cost_by_model", since=date(2999, 1, 1))
                assert later.num_rows == 0
                assert reading.report("cost_by_model").num_rows == 1
                answers = reading.sql("select count(*) as n from results_sentiment").to_pylist()
                assert answers == [{"n": 20}]
                with pytest.raises(NotInLedger, match="there is no report 'nonsense'"):
                    reading.report("nonsense")


def test_a_parcel_is_taken_in_once(ledger: Ledger, there: Place) -> None:
    """The same parcel sent twice, as after a lost answer, is refused the second time and there once."""
    batch = begin(ledger)
    ledger.add(list(runs(5)), batch_id=batch)
    parcel = first_parcel(ledger)
    there.take(parcel)
    with pytest.raises(MovedOn):
        there.take(parcel)
    assert counted(there, batch) == [("task_runs", 5, 5), ("attempts", 5, 5)]
    assert publish(ledger, there).parcels == 0


def first_parcel(ledger: Ledger) -> Parcel:
    origin = Origin(HomePlace(ledger).ask, host="here")
    (batch,) = origin.batches(Whose.OWN)
    name, _ = origin.view_of(batch.task_id)
    return next(origin.parcels(batch, there=None, results_view=name, groups_there=set()))


def test_two_at_once_bring_it_once(ledger: Ledger, at: QuackUri, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some that publish the same ledger at the same time leave each fact there once."""
    monkeypatch.setattr(origin_module, "_MOST_ROWS", 40)
    monkeypatch.setattr(origin_module, "_FIRST_ROWS", 10)
    batch = begin(ledger)
    for first in range(1, 200, 50):
        ledger.add(list(runs(50, first=first, group=f"group {first}")), batch_id=batch)

    def bring(_: int) -> None:
        place = open_place(at, token=WRITE)
        publish(ledger, place)
        place.close()

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(bring, range(3)))
    place = open_place(at, token=READ)
    assert counted(place, batch) == [("task_runs", 200, 200), ("attempts", 200, 200)]
    place.close()


def test_what_another_machine_answered_comes_home(ledger: Ledger, at: QuackUri, tmp_path: Path) -> None:
    """A job's facts of elsewhere count here as answered, and are not sent back as ours."""
    batch = begin(ledger)
    done = list(runs(12))
    ledger.add(done, batch_id=batch)
    place = open_place(at, token=WRITE)
    publish(ledger, place)
    home = tmp_path / "home.duckdb"
    assert fetch(place, home, job="reviews").task_runs >= 12
    assert fetch(place, home, job="reviews").parcels == 0
    with open_ledger(home) as fetched:
        identities = [one.plan.identity for one in done]
        assert fetched.answered(identities) == set(identities)
        assert publish(fetched, place).parcels == 0
        begin(fetched)  # and a batch that goes on elsewhere is none that died here
        status = fetched.sql(f"select status from batches where id = '{batch}'").to_pylist()
        assert status == [{"status": "running"}]
    with pytest.raises(LedgerError, match="no batch of a job named 'nonsense'"):
        fetch(place, tmp_path / "other.duckdb", job="nonsense")
    place.close()


SQL_OF_ANALYSTS = [
    ("from batch_summary", True),
    ("explain select 1", True),
    ("set variable since = '2026-11-01'::timestamptz", True),
    ("set variable since = (select 1)", False),
    ("begin", False),
    ("insert into deaths select * from deaths", False),
    ("INSERT INTO landing.task_runs VALUES (NULL)", False),
    ("delete from task_runs", False),
    ("create or replace view results_x as select 1", False),
    ("from read_csv('/etc/passwd')", False),
    ("attach '/tmp/x.duckdb'", False),
    ("call quack_stop('quack:localhost')", False),
]


@pytest.mark.parametrize(("statement", "allowed"), SQL_OF_ANALYSTS)
def test_analysts_only_read(statement: str, allowed: bool) -> None:
    """An analyst's session runs what only reads, and nothing else."""
    assert may(Role.READ, statement) is allowed
    assert may(None, statement) is False


def label() -> Label:
    return Label(
        id=str(uuid_utils.uuid7()),
        batch_id=batch_id(),
        after=None,
        record="0" * 32,
        counts=dict.fromkeys(("task_runs", "deaths", "notices", "remote_groups", "remote_runs"), 0),
        rows={"batches": 1},
        host="it's here",
    )


SQL_OF_WRITERS = [
    (landed_parcel(label()), True),
    (landed_parcel(label()).replace("commit", "delete from task_runs; commit"), False),
    (landed_parcel(label()).replace("begin", "begin; drop table attempts", 1), False),
    ("-- parcel {}\nbegin; drop table attempts; commit", False),
    ("-- parcel nonsense", False),
    ("INSERT INTO landing.task_runs VALUES (NULL)", True),
    ("INSERT INTO main.task_runs VALUES (NULL)", False),
    ("rollback", True),
    ('create or replace view "results_x" as\nselect 1 as one', True),
    ("create or replace view \"results_x\" as\nselect * from read_csv('/etc/passwd')", False),
    ('create or replace view "results_x" as\nselect 1; drop table attempts', False),
    ('create or replace view "batch_summary" as\nselect 1', False),
    ("from batch_summary", True),
    ("delete from task_runs", False),
    ("set global threads = 1", False),
    ("copy task_runs to '/tmp/x.csv'", False),
]


@pytest.mark.parametrize(("statement", "allowed"), SQL_OF_WRITERS)
def test_writers_only_bring_parcels(statement: str, allowed: bool) -> None:
    """A writer's session brings parcels as we do, and can do nothing else to the ledger or the machine."""
    assert may(Role.WRITE, statement) is allowed


def test_a_token_that_reads_cannot_write(ledger: Ledger, at: QuackUri) -> None:
    """Neither we nor plain DuckDB write with an analyst's token, and nobody comes in without one."""
    ledger.add(list(runs(2)), batch_id=begin(ledger))
    place = open_place(at, token=READ)
    before = place.ask("select count(*) as n from task_runs").to_pylist()
    with pytest.raises(LedgerError, match="takes a writer's"):
        publish(ledger, place)
    connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    load_extensions(connection, "httpfs", "quack", extra="live")
    connection.execute(f"attach '{at.listening}' as team (token '{READ}')")
    for statement in ("insert into team.main.deaths from team.main.deaths", "drop table team.main.deaths"):
        with pytest.raises(duckdb.Error):
            connection.execute(statement)
    with pytest.raises(duckdb.Error, match="Authorization failed"):
        connection.execute("insert into team.main.reporting_groups values (uuid(), 'x', now())")
    connection.close()
    assert place.ask("select count(*) as n from task_runs").to_pylist() == before
    place.close()
    with pytest.raises(LedgerError, match="refuses this token") as refusal:
        open_place(at, token="nobody-" + "x" * 30)
    assert "xxx" not in str(refusal.value)
    with pytest.raises(LedgerError, match="wants a token"):
        open_place(at, token=None)


def test_a_client_that_died_holds_up_nobody(ledger: Ledger, at: QuackUri) -> None:
    """What a writer put down and never took in holds up nobody, and is removed after an hour."""
    batch = begin(ledger)
    ledger.add(list(runs(3)), batch_id=batch)
    place = open_place(at, token=WRITE)
    landing = place._session()  # type: ignore[attr-defined]
    left = str(uuid_utils.uuid7())
    landing.execute(f"insert into place.landing.reporting_groups values (uuid(), 'left', now(), '{left}')")
    assert publish(ledger, place).task_runs == 3
    assert place.ask(f"select name from landing.reporting_groups where parcel = '{left}'").num_rows == 1
    place.close()


def test_leftovers_are_swept(tmp_path: Path) -> None:
    """Parcels that nobody took in are removed once they are an hour old, and not before."""
    with team_server(tmp_path / "team.duckdb", at=free_address(), tokens=TOKENS) as server:
        left = uuid_utils.uuid7()
        server.ledger.cursor().execute(
            f"insert into landing.reporting_groups values (uuid(), 'left', now(), '{left}')"
        )
        now = datetime.fromtimestamp(left.timestamp / 1_000, UTC)
        assert left_over(server, now=now + timedelta(minutes=59)) == 1
        assert left_over(server, now=now + timedelta(minutes=61)) == 0


def left_over(server: TeamServer, *, now: datetime) -> int:
    server.sweep(now=now)
    return int(
        server.ledger.cursor().execute("select count(*) from landing.reporting_groups").fetchall()[0][0]
    )


def versions() -> list[Callable[[duckdb.DuckDBPyConnection], object]]:
    return [
        lambda lake: lake.execute("insert into schema_migrations values (9999, 'later', now())"),
        lambda lake: lake.execute("delete from schema_migrations where version > 3"),
    ]


@pytest.mark.parametrize(
    ("change", "error"), [(0, "Install the later version"), (1, "has schema version 3, and")]
)
def test_a_place_of_another_version_is_refused(tmp_path: Path, change: int, error: str) -> None:
    """A place whose schema is later or earlier than ours is refused, and told how that is mended."""
    lake = LakeUri(attach=f"ducklake:{tmp_path}/lake.ducklake", data_path=f"{tmp_path}/lake")
    place = open_place(lake, token=None, make=True)
    versions()[change](place.connection)  # type: ignore[attr-defined]
    place.close()
    with pytest.raises(LedgerError, match=error) as refusal:
        open_place(lake, token=None, make=True)
    assert isinstance(refusal.value, LedgerTooNew) is (change == 0)


def test_nobody_is_there(path: Path, ledger: Ledger) -> None:
    """A place that does not answer is told as such, and the ledger is as it was."""
    ledger.add(list(runs(2)), batch_id=begin(ledger))
    with pytest.raises(Unreachable, match="cannot be reached"):
        open_place(free_address(), token=WRITE)
    assert ledger.sql("select count(*) as n from task_runs").to_pylist() == [{"n": 2}]


def test_others_are_not_let_in_unawares(tmp_path: Path) -> None:
    """An address that others reach is listened at only by whoever says that nothing is encrypted."""
    everywhere = QuackUri(host="0.0.0.0", port=free_address().port)  # noqa: S104  # what is refused
    refused = pytest.raises(LedgerError, match="encrypts nothing")
    with refused, team_server(tmp_path / "team.duckdb", at=everywhere, tokens=TOKENS):
        raise AssertionError("it is served")
    with pytest.raises(LedgerError, match="16 characters"):
        checked({Role.READ: ("short",)})
    with pytest.raises(LedgerError, match="cannot be one that only reads"):
        checked({Role.READ: (READ,), Role.WRITE: (READ,)})
    assert READ not in repr(Tokens(read=(READ,)))


ADDRESSES = [
    ("quack:db.example.org:9000", QuackUri(host="db.example.org", port=9000)),
    ("quack:127.0.0.1", QuackUri(host="127.0.0.1", port=9494)),
    ("quack-unencrypted:10.0.0.2:1", QuackUri(host="10.0.0.2", port=1, unencrypted=True)),
    ("ducklake:postgres:dbname=lake", LakeUri(attach="ducklake:postgres:dbname=lake")),
]


@pytest.mark.parametrize(("text", "means"), ADDRESSES)
def test_what_an_address_means(text: str, means: QuackUri | LakeUri) -> None:
    """Each form of a place's address means what the documentation says."""
    assert parse_uri(text) == means
    assert str(parse_uri(text)).startswith(text.partition(":")[0])


def test_addresses_that_are_none() -> None:
    """A password in an address, a port that is none and a file are refused."""
    for text in ("ducklake:postgres:dbname=x password=y", "ducklake:postgres:postgresql://u:p@h/d"):
        with pytest.raises(LedgerError, match="leave the password out"):
            parse_uri(text)
    for text in ("data/team.duckdb", "quack:host:99999", "quack:a b"):
        with pytest.raises(LedgerError):
            parse_uri(text)
    with pytest.raises(LedgerError):
        parse_address("host:nonsense")


def test_a_file_can_be_published_too(path: Path, at: QuackUri) -> None:
    """A ledger that nobody has open is published from its file, and stays as it was."""
    with open_ledger(path) as ledger:
        batch = begin(ledger)
        ledger.add(list(runs(4)), batch_id=batch)
    before = path.read_bytes()
    place = open_place(at, token=WRITE)
    assert publish_file(path, place).task_runs == 4
    place.close()
    assert path.read_bytes() == before
