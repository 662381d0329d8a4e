"""Browser agents' runs over real sockets, against the loopback server: both editions, all ways."""

from collections.abc import Iterator

import anyio
import pytest

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.judging import judge
from tasks_lib.domain.output import Answer, Modality, Output, Reply
from tasks_lib.domain.provider import Timeouts
from tasks_lib.domain.task import Model
from tasks_lib.engine.exchange import have
from tasks_lib.engine.transport import PooledTransport
from tests.providers.webagent_rig import a_plan, cloud, self_hosted
from tests.webagentserver import Server, running_server

pytestmark = pytest.mark.anyio
SCHEMA = {"type": "object", "properties": {"row_id": {"type": "string"}}, "required": ["row_id"]}
PROMPT = "Find the price. row_id: 17"
PAUSES = {"first_pause": 0.01, "longest_pause": 0.05}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the pool's


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def server(running):
    running.config(clear=1)
    running.forget()
    running.reset()
    return running


class Had:
    """What came of an exchange, and the ids that were accepted on the way."""

    def __init__(self) -> None:
        self.accepted: list[str] = []
        self.outcome: Reply | Failure | None = None

    async def note(self, remote_id: str) -> None:
        self.accepted.append(remote_id)

    @property
    def reply(self) -> Reply:
        assert isinstance(self.outcome, Reply), self.outcome
        return self.outcome

    @property
    def failure(self) -> Failure:
        assert isinstance(self.outcome, Failure), self.outcome
        return self.outcome


async def ran(protocol, plan, *, remote_id=None, lost=False, seconds=20.0) -> Had:
    """A run, followed to its end or until it is given up."""
    had = Had()
    async with PooledTransport(Timeouts(total=10)) as pool:
        with anyio.move_on_after(seconds):
            exchange = protocol.run(plan, plan.models[0], remote_id=remote_id, lost=lost)
            had.outcome = await have(exchange, pool, accepted=had.note)
    return had


def asked(**told):
    return a_plan(PROMPT, model=Model("webagent", "1"), **told)


def at(server, **settings):
    return self_hosted(server.base_url(**settings), **PAUSES)


async def test_in_the_background(server):
    """W01, W02, W07, W08, W13, W14, W15, W16: a run is begun, followed to its end, and its steps are read."""
    had = await ran(at(server, lat=60, steps=3), asked())
    assert had.reply.text == "row 17"
    [run] = server.runs()
    assert had.accepted == [str(run["id"])]
    remote = had.reply.remote
    assert (remote.remote_id, remote.task_id, remote.status) == (str(run["id"]), "1", "success")
    assert [step.description for step in remote.steps] == [
        "Look at page 1",
        "Look at page 2",
        "Tell the result",
    ]
    assert [action.name for step in remote.steps for action in step.actions] == [
        "go_to_url",
        "go_to_url",
        "done",
    ]
    assert remote.steps[-1].actions[0].success is True
    assert had.reply.usage is None


@pytest.mark.parametrize("told_of", ["ids", "full"])
async def test_whatever_a_start_answers(server, told_of):
    """W08: two ids, or all fields of which most are null."""
    assert (await ran(at(server, background=told_of, lat=20), asked())).reply.text == "row 17"


async def test_waited_for(server):
    """W07, W13, W16: one request brings the run's end, and the newer fields of its actions."""
    had = await ran(at(server, lat=20), asked(wait_for_completion=True))
    assert had.reply.text == "row 17"
    action = had.reply.remote.steps[0].actions[0]
    assert dict(action.further) == {"executed_by_ai": False}
    assert server.stats()["calls"] == {"POST run of task": 1}
    older = await ran(at(server, modern=0), asked(wait_for_completion=True))
    assert dict(older.reply.remote.steps[0].actions[0].further) == {}


@pytest.mark.parametrize("waited", [True, False])
async def test_under_a_schema(server, waited):
    """W11, W17: the server is told the schema, and what it answers meets it."""
    output = Output.of(Modality.JSON, SCHEMA)
    had = await ran(at(server), asked(output=output, wait_for_completion=waited))
    assert judge(output, had.reply) == Answer(value={"row_id": "17"})
    bad = await ran(at(server, e_badcontent=1), asked(output=output, wait_for_completion=waited))
    assert judge(output, bad.reply).kind is FailureKind.INVALID_OUTPUT


async def test_overrides_arrive(server):
    """W03, W04, W05, W06, W10, W11: what a row overrides is what the run is of; the task keeps the rest."""
    plan = asked(parameters={"model": "gpt-9", "provider": "groq", "response_format": "json"})
    had = await ran(at(server), plan)
    told = server.asked(f"/api/runs/{had.accepted[0]}")
    assert (told["model"], told["provider"], told["response_format"]) == ("gpt-9", "groq", "json")
    assert told["prompt"] == PROMPT
    assert had.reply.model == "groq/gpt-9"
    kept = await ran(at(server), a_plan(" ", model=Model("webagent", "1")))
    assert (kept.reply.text, kept.reply.model) == ("row demo", "openai/o3")


async def test_a_cached_workflow(server):
    """W12: none is a failure that ends the batch; one that there is gives the page's text, schema or not."""
    output = Output.of(Modality.JSON, SCHEMA)
    replay = asked(output=output, use_cached_workflow=True)
    refused = (await ran(at(server), replay)).failure
    assert (refused.kind, refused.http_status) == (FailureKind.UNKNOWN_MODEL, 400)
    recorded = await ran(at(server), asked())
    assert server.asked(f"/api/runs/{recorded.accepted[0]}/set-as-cached-workflow", {})["success"]
    had = await ran(at(server), replay)
    assert had.reply.text == "row 17"
    assert judge(output, had.reply).kind is FailureKind.INVALID_OUTPUT
    own_way = await ran(at(server), asked(output=output, use_cached_workflow=False))
    assert judge(output, own_way.reply) == Answer(value={"row_id": "17"})


@pytest.mark.parametrize("waited", [True, False])
@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("failure", "the agent did not succeed: I could not."),
        ("vague", "the agent ended and did not say that it succeeded: row 17"),
        ("unfinished", "the agent stopped before it was done: Element does not exist"),
    ],
)
async def test_agents_that_fail(server, what, why, waited):
    """W18, W19, W20, 6.16: each of these ends is a failure, with the steps that led to it."""
    failure = (await ran(at(server, **{what: 1}), asked(wait_for_completion=waited))).failure
    assert (failure.kind, failure.message) == (FailureKind.RUN_FAILED, why)
    assert failure.remote.is_over
    assert failure.remote.steps


async def test_a_run_that_never_ends(server):
    """W21: a run that crashed in the background is never done; only a deadline of ours ends the wait."""
    for what in ("crash", "never"):
        had = await ran(at(server, **{what: 1}), asked(), seconds=0.3)
        assert had.outcome is None
        assert had.accepted


async def test_is_taken_up_later(server):
    """W13: a run that was given up goes on, and is taken up by its id; no second one is begun."""
    given_up = await ran(at(server, lat=400), asked(), seconds=0.1)
    assert given_up.outcome is None
    had = await ran(at(server), asked(), remote_id=given_up.accepted[0])
    assert had.reply.text == "row 17"
    assert server.stats()["started"] == 1


async def test_a_crash_while_waiting(server):
    """W07: who waits hears of a crash, and with a marker also of which run it was."""
    crashing = at(server, crash=1)
    failure = (await ran(crashing, asked(wait_for_completion=True))).failure
    assert (failure.kind, failure.maybe_billed) == (FailureKind.SERVER_ERROR, True)
    assert failure.remote is None
    had = await ran(crashing, asked(wait_for_completion=True, marker=True))
    assert had.failure.remote.is_over
    assert had.failure.remote.remote_id == had.accepted[0] == str(server.runs()[-1]["id"])


@pytest.mark.parametrize("fault", ["e_reset_late", "e_malformed", "e_garbage"])
async def test_a_lost_start_is_found(server, fault):
    """W13: with a marker the run whose id never arrived is found, and nothing is begun twice."""
    plan = asked(marker=True)
    lost = await ran(at(server, **{fault: 1}), plan)
    assert lost.failure.maybe_billed
    assert not lost.accepted
    had = await ran(at(server), plan, lost=True)
    assert had.reply.text == "row 17"
    assert had.reply.remote.warnings == ()
    assert server.stats()["started"] == 1


async def test_a_lost_start_without_a_marker(server):
    """W13: without one a second run is begun, and its answer says so; or none is, as the user wants it."""
    await ran(at(server, e_reset_late=1), asked())
    careful = await ran(at(server), asked(on_ambiguous="fail"), lost=True)
    assert careful.failure.kind is FailureKind.GIVEN_UP
    assert server.stats()["started"] == 1
    had = await ran(at(server), asked(), lost=True)
    assert had.reply.remote.warnings
    assert server.stats()["started"] == 2


async def test_a_start_that_began_nothing(server):
    """W13: a marker that no run has says that none was begun."""
    plan = asked(marker=True)
    assert isinstance((await ran(at(server, e_reset=1), plan)).outcome, Failure)
    assert (await ran(at(server), plan, lost=True)).reply.text == "row 17"
    assert server.stats()["started"] == 1


async def test_a_gateway_that_gives_up(server):
    """W07: a 504 leaves the run behind it going on, which the marker finds."""
    plan = asked(marker=True, wait_for_completion=True)
    lost = await ran(at(server, lat=300, gateway_s=0.05), plan)
    assert (lost.failure.http_status, lost.failure.maybe_billed) == (504, True)
    had = await ran(at(server), plan, lost=True)
    assert had.reply.text == "row 17"
    assert server.stats()["started"] == 1


async def test_readings_that_fail_now_and_then(server):
    """W13: a third of the looks fail, and every run is seen to its end."""
    protocol = at(server, read_fails=0.33, lat=100, seed=4)
    for number in range(5):
        plan = a_plan(f"row_id: {number}", model=Model("webagent", "1"))
        assert (await ran(protocol, plan)).reply.text == f"row {number}"
    assert server.stats()["calls_refused"]["GET run 500"] > 0


async def test_what_is_refused(server):
    """W02, W04: an unknown task, and a body that does not validate, each in the server's own words."""
    unknown = (await ran(at(server), a_plan(PROMPT, model=Model("webagent", "99")))).failure
    assert unknown.kind is FailureKind.UNKNOWN_MODEL
    assert unknown.message.startswith("404 Task with ID 99 not found")
    wrong = (await ran(at(server), asked(provider="ollama"))).failure
    assert wrong.kind is FailureKind.REJECTED
    assert wrong.message.startswith("422 body.provider: Input should be 'openai'")


def in_the_cloud(server, **settings):
    return cloud(server.cloud_url(**settings), **PAUSES)


def cloud_plan(server, **told):
    return a_plan(PROMPT, model=Model("webagent", server.task(edition="cloud", prompt="Own")), **told)


@pytest.mark.parametrize("waited", [True, False])
@pytest.mark.parametrize("form", ["text", "object"])
async def test_the_cloud(server, waited, form):
    """W01, W02, W07, W13, W17, W20: its key, its ids, waited for or followed, in both forms of result."""
    output = Output.of(Modality.JSON, SCHEMA)
    plan = cloud_plan(server, output=output, wait_for_completion=waited, session_timeout=60)
    had = await ran(in_the_cloud(server, key="wa-secret", lat=30, result_as=form), plan)
    assert judge(output, had.reply) == Answer(value={"row_id": "17"})
    assert had.reply.remote.task_id == plan.models[0].model.name
    assert len(had.accepted) == 1


async def test_the_cloud_says_no(server):
    """W02, W19: another key, an unknown task, an agent that crashed."""
    plan = cloud_plan(server)
    assert (await ran(in_the_cloud(server, key="other"), plan)).failure.kind is FailureKind.UNAUTHORIZED
    unknown = a_plan(PROMPT, model=Model("webagent", "nothing-here"))
    assert (await ran(in_the_cloud(server), unknown)).failure.kind is FailureKind.UNKNOWN_MODEL
    crashed = (await ran(in_the_cloud(server, crash=1), plan)).failure
    assert (crashed.kind, crashed.message) == (FailureKind.RUN_FAILED, "the agent did not succeed")
