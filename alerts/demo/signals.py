"""Ctrl-C as an event, so that everything that stands is put away in order."""

import asyncio
import signal

_ASKING = (signal.SIGINT, signal.SIGTERM)


def stop_on_signals() -> asyncio.Event:
    """Gives an event that the first Ctrl-C sets; the second ends the process as usual."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask() -> None:
        stop.set()
        for each in _ASKING:
            loop.remove_signal_handler(each)

    for each in _ASKING:
        loop.add_signal_handler(each, ask)
    return stop
