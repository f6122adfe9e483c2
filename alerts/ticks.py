"""APScheduler, which only ticks: what is due is asked of the database, so a tick more, here or elsewhere, does no harm."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from apscheduler.events import (
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_SUBMITTED,
    JobExecutionEvent,
    JobSubmissionEvent,
)
from apscheduler.schedulers.asyncio import AsyncIOScheduler

_LAST_TICKS_SECONDS = 2


def utc_now() -> datetime:
    return datetime.now(UTC)


def often() -> dict[str, Any]:
    """Gives the terms of a job that asks often what is due, from now on: one that comes late is not made up for."""
    return {"trigger": "interval", "coalesce": True, "max_instances": 1, "next_run_time": utc_now()}


@asynccontextmanager
async def ticking(scheduler: AsyncIOScheduler) -> AsyncIterator[None]:
    """Runs the scheduler; at the end of the block the ticks under way are waited for, briefly."""
    none_under_way = _none_under_way(scheduler)
    scheduler.start()
    try:
        yield
    finally:
        # Shut down at once it would cancel the ticks under way, each with an error in the log.
        scheduler.pause()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_TICKS_SECONDS):
                await none_under_way.wait()
        scheduler.shutdown(wait=False)


def _none_under_way(scheduler: AsyncIOScheduler) -> asyncio.Event:
    """Gives an event that is set while no job runs."""
    running: set[str] = set()
    none_running = asyncio.Event()
    none_running.set()

    def note(event: JobExecutionEvent | JobSubmissionEvent) -> None:
        if event.code == EVENT_JOB_SUBMITTED:
            running.add(event.job_id)
        else:
            running.discard(event.job_id)
        none_running.clear() if running else none_running.set()

    scheduler.add_listener(note, EVENT_JOB_SUBMITTED | EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)
    return none_running
