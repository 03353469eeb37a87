"""Supervision of the background tasks, which run as long as the gateway.

Rule: no task ends unnoticed. A task that raises, returns, or cancels itself is logged with its name and its place in
the code. The task is started again a second later. An error of a detached task whose caller has left is logged by the
loop's exception handler, which `log_unhandled_errors` sets.

Fails with: `FatalReport` if the task that restarts another one ends. The process ends then.
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
from service.usecases.ports.observer import NULL_OBSERVER, Observer

RESTART_SECONDS = 1.0
TASK_NAME_PREFIX = "background:"

TaskFunction = Callable[[], Awaitable[None]]


class FatalReport:
    """The reason why this process cannot go on. Any thread may report one; the first counts, and is logged at once."""

    def __init__(self, observer: Observer = NULL_OBSERVER) -> None:
        self._observer = observer
        self._lock = Lock()
        self._reason: str | None = None
        self._callback: Callable[[], object] | None = None

    @property
    def reason(self) -> str | None:
        """First reason that was reported, if any."""
        return self._reason

    def report(self, reason: str) -> None:
        """Report a reason to end the process."""
        with self._lock:
            first, self._reason = self._reason is None, self._reason or reason
            callback = self._callback if first else None
        if first:
            self._observer.record(ProcessFailing(reason=reason))
        if callback:
            callback()

    def on_report(self, callback: Callable[[], object]) -> None:
        """Set the callback for the first reason. A reason that was reported before calls it at once."""
        with self._lock:
            self._callback = callback
            late = self._reason is not None
        if late:
            callback()


class TaskReturned(Exception):
    """A background task has returned, although it runs until it is cancelled."""


@asynccontextmanager
async def supervise(
    observer: Observer, fatal: FatalReport, tasks: Mapping[str, TaskFunction], restart_seconds: float = RESTART_SECONDS
) -> AsyncIterator[None]:
    """Run tasks, by name, during a block. A task that ends is started again after `restart_seconds`."""
    ending = False

    def on_end(name: str, task: asyncio.Task[None]) -> None:
        if not ending:
            error = None if task.cancelled() else task.exception()
            observer.record(build_crash_event("background", error or asyncio.CancelledError(), name))
            fatal.report(f"The background task {name} has ended, and cannot be started again.")

    running = []
    for name, task in tasks.items():
        running.append(
            asyncio.create_task(_restart_forever(observer, name, task, restart_seconds), name=TASK_NAME_PREFIX + name)
        )
        running[-1].add_done_callback(partial(on_end, name))
    try:
        yield
    finally:
        ending = True
        for running_task in running:
            running_task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _restart_forever(observer: Observer, name: str, task: TaskFunction, restart_seconds: float) -> None:
    while True:
        try:
            await task()
            raise TaskReturned  # noqa: TRY301 (all ends of a task are handled in one place)
        except asyncio.CancelledError as cancelled:
            if _is_cancelled():
                raise
            observer.record(build_crash_event("background", cancelled, name))
        except Exception as error:  # noqa: BLE001 (a background task goes on after any error)
            observer.record(build_crash_event("background", error, name))
        await asyncio.sleep(restart_seconds)


def log_unhandled_errors(observer: Observer) -> None:
    """Log errors of tasks and futures without a waiter. Errors of connections go to the loop's default handler."""

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error, source = context.get("exception"), context.get("task") or context.get("future")
        if error is None or source is None:
            loop.default_exception_handler(context)
        else:
            observer.record(build_crash_event("background", error, str(context["message"])))

    asyncio.get_running_loop().set_exception_handler(handle)


def report_unhandled_error(task: asyncio.Task[Any]) -> None:
    """Log the error of a done task without a waiter. A `GatewayError` is an answer, and not logged."""
    error = None if task.cancelled() else task.exception()
    if error and not isinstance(error, GatewayError):
        report_error("left by its caller", error)


def report_error(task: str, error: BaseException) -> None:
    """Log an error through the loop's exception handler."""
    loop = asyncio.get_running_loop()
    loop.call_exception_handler({"message": task, "exception": error, "task": asyncio.current_task() or task})


def _is_cancelled() -> bool:
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0


def build_crash_event(request_id: str, error: BaseException, task: str = "") -> Crashed:
    """Build the event of an unexpected error: places in the code, no values. Of a group of errors, the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    trace = tuple(f"{at.filename}:{at.lineno} {at.name}" for at in traceback.extract_tb(error.__traceback__))
    return Crashed(request_id=request_id, error=type(error).__name__, trace=trace, task=task)
