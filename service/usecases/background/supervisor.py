"""Tasks that run behind the requests, for as long as the gateway does.

Rule: no task ends in silence. A task that raises, returns, or is cancelled from inside is logged with its name and its
place in the code, and begins again a second later. If the task that restarts it ends too, the process ends:
`FatalReport`. A task of a single request whose caller has left goes to the loop's exception handler, which
`log_unhandled_errors` sets.
"""

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from threading import Lock
from typing import Any

from service.domain.errors import GatewayError
from service.usecases.ports.events import Crashed, ProcessFailing
from service.usecases.ports.observer import Observer, discard_event

RESTART_SECONDS = 1.0
TASK_NAME_PREFIX = "background:"

TaskFunction = Callable[[], Awaitable[None]]


class FatalReport:
    """Why this process cannot go on. Any thread may report it; the first reason counts, and is logged at once."""

    def __init__(self, observe: Observer = discard_event) -> None:
        self._observe = observe
        self._lock = Lock()
        self._reason: str | None = None
        self._callback: Callable[[], object] | None = None

    @property
    def reason(self) -> str | None:
        """The first reason, if there is one."""
        return self._reason

    def report(self, reason: str) -> None:
        """The process has to end, for this reason."""
        with self._lock:
            first, self._reason = self._reason is None, self._reason or reason
            callback = self._callback if first else None
        if first:
            self._observe(ProcessFailing(reason=reason))
        if callback:
            callback()

    def on_report(self, callback: Callable[[], object]) -> None:
        """Call this once there is a reason; at once if there is one already."""
        with self._lock:
            self._callback = callback
            late = self._reason is not None
        if late:
            callback()


class TaskReturned(Exception):
    """A task that never ends has ended without an error."""


@asynccontextmanager
async def supervise(
    observe: Observer, fatal: FatalReport, tasks: Mapping[str, TaskFunction], restart_seconds: float = RESTART_SECONDS
) -> AsyncIterator[None]:
    """Run tasks, by name, for the length of a block. A task that ends is started again after `restart_seconds`."""
    ending = False

    def on_end(name: str, task: asyncio.Task[None]) -> None:
        if not ending:
            error = None if task.cancelled() else task.exception()
            observe(build_crash_event("background", error or asyncio.CancelledError(), name))
            fatal.report(f"The background task {name} has ended, and cannot be started again.")

    running = []
    for name, task in tasks.items():
        running.append(
            asyncio.create_task(_restart_forever(observe, name, task, restart_seconds), name=TASK_NAME_PREFIX + name)
        )
        running[-1].add_done_callback(partial(on_end, name))
    try:
        yield
    finally:
        ending = True
        for running_task in running:
            running_task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _restart_forever(observe: Observer, name: str, task: TaskFunction, restart_seconds: float) -> None:
    while True:
        try:
            await task()
            raise TaskReturned  # noqa: TRY301 (the end of a task is told in one place, however it came)
        except asyncio.CancelledError as cancelled:
            if _is_cancelled():
                raise
            observe(build_crash_event("background", cancelled, name))
        except Exception as error:  # noqa: BLE001 (whatever it is, what runs behind the requests must go on)
            observe(build_crash_event("background", error, name))
        await asyncio.sleep(restart_seconds)


def log_unhandled_errors(observe: Observer) -> None:
    """Log each error of a task or future that nothing waits for. Errors of connections go to the loop's own handler."""

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error, source = context.get("exception"), context.get("task") or context.get("future")
        if error is None or source is None:
            loop.default_exception_handler(context)
        else:
            observe(build_crash_event("background", error, str(context["message"])))

    asyncio.get_running_loop().set_exception_handler(handle)


def report_unhandled_error(task: asyncio.Task[Any]) -> None:
    """A done callback for a task that nothing waits for. A `GatewayError` is an answer, and no mistake of ours."""
    error = None if task.cancelled() else task.exception()
    if error and not isinstance(error, GatewayError):
        report_error("left by its caller", error)


def report_error(task: str, error: BaseException) -> None:
    """Log an error of a task that nothing waits for."""
    loop = asyncio.get_running_loop()
    loop.call_exception_handler({"message": task, "exception": error, "task": asyncio.current_task() or task})


def _is_cancelled() -> bool:
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0


def build_crash_event(request_id: str, error: BaseException, task: str = "") -> Crashed:
    """The event for a mistake of ours: places in the code, no values. Of a group of errors, its first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    trace = tuple(f"{at.filename}:{at.lineno} {at.name}" for at in traceback.extract_tb(error.__traceback__))
    return Crashed(request_id=request_id, error=type(error).__name__, trace=trace, task=task)
