"""What can be foreseen of rows' files and processors before any of them is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from tasks_lib.domain.files import Attachment
from tasks_lib.domain.inputs import FETCHES_URLS, PDF, FileMode
from tasks_lib.domain.job import Job
from tasks_lib.domain.plan import Message, Plan
from tasks_lib.domain.planner import Charted, rendered
from tasks_lib.inputs.hosts import Hosts
from tasks_lib.inputs.unusable import Unusable
from tasks_lib.job.row_inputs import file_columns

_MOST_HOSTS: Final = 200  # that are told by name
_LIKELY_CHARACTERS: Final = 8_000  # of what a processor makes of a value
_IMAGES: Final = (".png", ".jpg", ".jpeg", ".gif", ".webp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What rows bring along."""

    rows_without_file: int = 0  # that will fail for it, and ask nobody
    hosts: tuple[str, ...] = ()  # that will be asked for files and pages, as far as the rows tell


class Foresight:
    """Looks at rows as they are charted."""

    def __init__(self, job: Job) -> None:
        """Nothing is seen yet."""
        self._job = job
        self._hosts = Hosts(job.files.hosts)
        self._asked: dict[str, None] = {}
        self._lacking = 0
        self._fetched = [
            step.param_name for step in job.task.processors if step.input_processor == FETCHES_URLS
        ]

    @property
    def is_needed(self) -> bool:
        """Whether rows bring anything along."""
        return bool(self._fetched or file_columns(self._job))

    @property
    def seen(self) -> Foreseen:
        """What was seen so far."""
        return Foreseen(rows_without_file=self._lacking, hosts=tuple(sorted(self._asked)))

    def look_at(self, charted: Charted) -> None:
        """Take a row into account."""
        urls = [charted.submitted.get(name) for name in self._fetched]
        if charted.found is not None:
            self._lacking += charted.found.problem is not None
            urls += [ref.url for ref in charted.found.refs]
        for url in urls:
            if isinstance(url, str) and len(self._asked) < _MOST_HOSTS:
                try:
                    self._asked[self._hosts.checked(url).host] = None
                except Unusable:  # the row will fail for it
                    continue


def presumed(plan: Plan, mode: FileMode) -> Sequence[Message]:
    """The messages as they are likely to be: with stand-ins for files and for what processors will make."""
    if plan.is_prepared:
        return plan.messages
    *before, last = plan.messages or rendered(plan.revision, plan.submitted)
    is_unread = not plan.messages
    files = tuple(_stand_in(ref.name, mode) for ref in plan.file_refs) if mode is not FileMode.NONE else ()
    text = last.text + " " * _LIKELY_CHARACTERS if is_unread else last.text
    return (*before, replace(last, text=text, files=files))


def _stand_in(name: str, mode: FileMode) -> Attachment:
    is_image = mode is FileMode.IMAGE or (mode is not FileMode.PDF and name.lower().endswith(_IMAGES))
    return Attachment(name=name, mime_type="image/png" if is_image else PDF, content=b"")
