"""Asynchronous work done from code that is not: in an event loop of its own, whichever loop runs here."""

import asyncio
import threading
from collections.abc import Awaitable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")
CANCEL_SECONDS = 1.0
"""Cancelled work may take so long to let go of what it holds."""


def awaited(work: Awaitable[T]) -> T:
    """The result of an awaitable: in a loop here, or in a thread where one is running here already, as in a notebook.
    Raises what it raises."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_whole(work))
    return in_own_loop(_whole(work))


def in_own_loop(work: Coroutine[object, object, T]) -> T:
    """The result of a coroutine that runs in a thread of its own. This thread waits, and an interruption of the wait
    acts at once: the work is cancelled. Raises what it raises."""
    result: Future[T] = Future()
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)

    def run() -> None:
        asyncio.set_event_loop(loop)
        try:
            result.set_result(loop.run_until_complete(task))
        except BaseException as error:
            result.set_exception(error)
        finally:
            with suppress(RuntimeError):
                loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    thread = threading.Thread(target=run, name="event loop", daemon=True)
    thread.start()
    try:
        return result.result()
    except BaseException:
        if not result.done():
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(task.cancel)
            thread.join(CANCEL_SECONDS)
        raise


async def _whole(work: Awaitable[T]) -> T:
    return await work
