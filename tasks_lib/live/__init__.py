"""Floor 3: a batch while it runs, for other processes of this machine: looked at, asked, and acted on."""

from tasks_lib.live.client import Client, NothingRunning, connected, reach
from tasks_lib.live.notice import Notice, notice_beside, notice_path
from tasks_lib.live.server import Ask, Channel, Running, UnderWay, live_channel
from tasks_lib.live.snapshot import AccountNow, BudgetNow, GroupNow, ModelNow, Phase, Snapshot

__all__ = [
    "AccountNow",
    "Ask",
    "BudgetNow",
    "Channel",
    "Client",
    "GroupNow",
    "ModelNow",
    "NothingRunning",
    "Notice",
    "Phase",
    "Running",
    "Snapshot",
    "UnderWay",
    "connected",
    "live_channel",
    "notice_beside",
    "notice_path",
    "reach",
]
