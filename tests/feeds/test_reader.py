"""Documents read by processes of their own: what they answer, what ends them, and what that costs the others."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from alerts import loops
from alerts.errors import FetchFailed, NotAFeed, Unavailable
from alerts.feeds.formats import parse
from alerts.feeds.formats.values import ParsedFeed
from alerts.feeds.read import readers as reader
from alerts.feeds.read.frames import OUT_OF_MEMORY
from alerts.feeds.read.lane import Lane
from alerts.feeds.read.process import Answer, Cause, Document, Killed
from alerts.feeds.read.readers import Readers
from fakes.blog import URL, Post, page

MEMORY = 256_000_000
PAGE = page([Post("b", "Two\u2028", "Text of two.", 2), Post("a", "One 🚢", minute=1)]).encode()
RSS = b"""<rss version="2.0"><channel><title>Harbour</title><item><guid>1</guid><title>One</title>
<pubDate>Sun, 22 Nov 2026 07:00:00 GMT</pubDate></item></channel></rss>"""


def json_feed(items: int) -> bytes:
    """Gives a feed whose reading takes some seconds of a processor for a hundred thousand items."""
    return json.dumps(
        {
            "version": "https://jsonfeed.org/version/1.1",
            "title": "Harbour",
            "items": [
                {"id": str(number), "content_html": f"<p>Report <b>{number}</b></p>"}
                for number in range(items)
            ],
        }
    ).encode()


LONG = timedelta(seconds=30)
ENDLESS = json_feed(60_000)
GREEDY = b"[" + b"[]," * 3_000_000 + b"0]"  # an object of 56 bytes for each three


@pytest.fixture
async def readers() -> AsyncIterator[Readers]:
    async with Readers(1, timedelta(seconds=30), MEMORY) as started:
        yield started


@pytest.fixture
async def lane() -> AsyncIterator[Lane]:
    async with Lane(1, MEMORY, LONG) as started:
        yield started


async def ask(lane: Lane, body: bytes = PAGE, processor: timedelta = LONG) -> Answer:
    answer, _ = await lane.read(Document(body, URL, ""), processor, 0)
    return answer


async def is_read(lane: Lane) -> bool:
    answer = await ask(lane)
    return isinstance(answer, ParsedFeed) and len(answer.entries) == 2


@pytest.mark.parametrize("document", [PAGE, RSS, json_feed(3)])
async def test_answers_as_the_formats_do(readers: Readers, document: bytes) -> None:
    assert await readers.read(document, URL, "text/html; charset=utf-8") == parse(
        document, URL, "text/html; charset=utf-8"
    )


def test_reads_in_the_daemons_own_loop_and_in_a_group_of_its_own() -> None:
    async def reads() -> bool:
        async with Readers(1, LONG, MEMORY) as readers:
            feed = await readers.read(PAGE, URL, "")
            return len(feed.entries) == 2 and all(os.getpgid(pid) == pid for pid in readers.pids)

    assert loops.run(reads())


@pytest.mark.parametrize("document", [b"", b"hello", b"<html><body>hello</body></html>", b"[1]"])
async def test_says_why_a_document_is_no_feed_as_the_formats_do(readers: Readers, document: bytes) -> None:
    with pytest.raises(NotAFeed) as ours:
        parse(document, URL, "")
    with pytest.raises(NotAFeed) as theirs:
        await readers.read(document, URL, "")
    assert str(theirs.value) == str(ours.value)


async def test_one_process_reads_one_document_after_the_other(lane: Lane) -> None:
    assert lane.pids == ()
    assert all(await asyncio.gather(*(is_read(lane) for _ in range(20))))
    assert len(lane.pids) == 1


async def test_a_process_stands_ready_for_the_second_document_of_a_small_feed(readers: Readers) -> None:
    await readers.read(PAGE, URL, "", feed="small")
    await until(lambda: len(readers._quick.pids) == 1)
    ready = readers._quick.pids
    await readers.read(PAGE, URL, "", feed="small")
    assert readers._quick.pids == ready


# Limits


async def test_a_document_that_takes_too_long_is_no_feed() -> None:
    async with Readers(1, timedelta(seconds=0.2), MEMORY) as readers:
        with pytest.raises(NotAFeed, match=r"^The document takes more than 0\.2 seconds to read: "):
            await readers.read(ENDLESS, URL, "")
        assert (await readers.read(PAGE, f"{URL}/other", "")).entries


async def test_a_process_that_was_overrun_is_gone_and_replaced(lane: Lane) -> None:
    assert await is_read(lane)
    [before] = lane.pids
    assert await ask(lane, ENDLESS, timedelta(seconds=0.1)) == Killed(Cause.TIME)
    assert is_gone(before)
    await until(lambda: len(lane.pids) == 1)
    assert await is_read(lane)


async def test_a_process_that_does_nothing_is_given_up_by_the_clock() -> None:
    async with Lane(1, MEMORY, timedelta(seconds=1)) as lane:
        assert await is_read(lane)
        os.kill(lane.pids[0], signal.SIGSTOP)
        assert await ask(lane) == Killed(Cause.TIME)
        assert await is_read(lane)


async def test_a_document_that_takes_too_much_memory_is_no_feed() -> None:
    async with Readers(1, LONG, 64_000_000) as readers:
        with pytest.raises(NotAFeed, match="more than 64,000,000 bytes of memory"):
            await readers.read(GREEDY, URL, "")
        assert (await readers.read(PAGE, f"{URL}/other", "")).entries


async def test_memory_that_documents_leave_behind_is_given_back(lane: Lane) -> None:
    _ours = b"x" * 200_000_000  # what the daemon holds counts for nothing
    assert await is_read(lane)
    [before] = lane.pids
    assert isinstance(await ask(lane, GREEDY[: len(GREEDY) // 2] + b"]"), NotAFeed)
    assert is_gone(before)
    assert await is_read(lane)


async def test_a_process_that_idles_is_ended() -> None:
    async with Lane(1, MEMORY, LONG, idle=timedelta(seconds=0.05)) as lane:
        assert await is_read(lane)
        await until(lambda: lane.pids == ())
        assert await is_read(lane)


async def test_where_the_address_space_is_not_counted_a_watch_ends_a_greedy_reader() -> None:
    program = "from alerts.feeds.read.child import watch_memory; watch_memory(1_000)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    assert await asyncio.wait_for(process.wait(), 20) == OUT_OF_MEMORY


async def test_of_a_document_without_end_the_newest_entries_are_read(readers: Readers) -> None:
    found = await readers.read(json_feed(3_000), URL, "")
    assert [entry.key for entry in found.entries] == [str(number) for number in range(1_000)]
    assert found.warnings[-1] == "the document holds 3000 entries: 1000 of them were read"


async def test_the_death_of_the_process_under_a_document_is_told(lane: Lane) -> None:
    assert await is_read(lane)
    reading = asyncio.create_task(ask(lane, ENDLESS))
    await asyncio.sleep(0)  # it is handed over
    os.kill(lane.pids[0], signal.SIGKILL)
    assert await reading == Killed(Cause.CRASH, "SIGKILL")
    assert await is_read(lane)


async def test_the_death_of_an_idle_process_is_no_document_s_fault(lane: Lane) -> None:
    assert await is_read(lane)
    os.kill(lane.pids[0], signal.SIGKILL)
    await gone(lane.pids[0])
    assert await is_read(lane)


async def test_signals_to_the_whole_group_end_no_reader(lane: Lane) -> None:
    assert await is_read(lane)
    before = lane.pids
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(before[0], each)
    assert await is_read(lane)
    assert lane.pids == before
    assert os.getpgid(before[0]) == before[0]


async def test_readers_share_the_daemon_s_session_where_niceness_counts() -> None:
    async with Lane(1, MEMORY, LONG, niceness=5) as lane:
        assert await is_read(lane)
        [reader] = lane.pids
        assert os.getpriority(os.PRIO_PROCESS, reader) == os.getpriority(os.PRIO_PROCESS, 0) + 5
        assert os.getsid(reader) == os.getsid(0)  # Linux divides the processor among sessions first


async def test_what_counts_against_a_feed_is_work_and_not_that_it_waited(readers: Readers) -> None:
    assert readers.seconds(URL) == 0
    await readers.read(PAGE, URL, "")
    await readers.read(PAGE, URL, "")
    for pid in readers.pids:
        os.kill(pid, signal.SIGSTOP)
    reading = asyncio.create_task(readers.read(PAGE, URL, ""))
    await asyncio.sleep(0.5)  # as on a machine that is busy with others
    for pid in readers.pids:
        os.kill(pid, signal.SIGCONT)
    await reading
    assert 0 < readers.seconds(URL) < 0.4


async def test_who_stops_asking_leaves_the_reader_to_others(lane: Lane) -> None:
    asked = [asyncio.create_task(is_read(lane)) for _ in range(5)]
    await asyncio.sleep(0)
    for each in asked[:-1]:
        each.cancel()
    assert await asked[-1]


async def test_readers_end_with_their_block() -> None:
    async with Lane(2, MEMORY, LONG) as lane:
        assert all(await asyncio.gather(*(is_read(lane) for _ in range(4))))
        before = lane.pids
        assert len(before) == 2
        waits = asyncio.create_task(ask(lane, ENDLESS))
        await asyncio.sleep(0)
    assert all(is_gone(pid) for pid in before)
    with pytest.raises(asyncio.CancelledError):
        await waits


async def test_says_so_when_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch, lane: Lane) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(Unavailable, match="by hand to see why"):
        await ask(lane)
    monkeypatch.setattr(sys, "executable", "/nowhere")
    with pytest.raises(Unavailable, match="No process can be started"):
        await ask(lane)
    monkeypatch.undo()
    assert await is_read(lane)


async def test_small_work_is_done_before_large(lane: Lane) -> None:
    done: list[float] = []

    async def read(expected: float) -> None:
        await lane.read(Document(PAGE, URL, ""), LONG, expected)
        done.append(expected)

    await asyncio.gather(*(read(expected) for expected in (9, 3, 0, 6)))
    assert done == [0, 3, 6, 9]


# Rights


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_a_reader_knows_no_secret_and_holds_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lane: Lane
) -> None:
    monkeypatch.setenv("ALERTS_SECRET", "not for others")
    with (tmp_path / "open").open("w") as held:
        os.set_inheritable(held.fileno(), True)
        assert await is_read(lane)
        process = Path("/proc") / str(lane.pids[0])
        names = {word.partition(b"=")[0] for word in (process / "environ").read_bytes().split(b"\0") if word}
        assert names <= {b"PYTHONPATH", b"PYTHONDONTWRITEBYTECODE", b"LC_CTYPE"}
        files = {str(each.readlink()) for each in (process / "fd").iterdir()}
        assert {file.partition(":")[0] for file in files} == {"/dev/null", "pipe"}
    limits = (process / "limits").read_text()
    for name, most in {"core file size": 0, "file size": 0, "open files": 16, "processes": 0}.items():
        assert any(
            line.lower().startswith(f"max {name}") and line.split()[-3] == str(most)
            for line in limits.splitlines()
        )


_PARENT = """
import asyncio, sys
from datetime import timedelta
from alerts.feeds.formats.values import ParsedFeed
from alerts.feeds.read.readers import Readers
from alerts.feeds.read.lane import Lane
from alerts.feeds.read.process import Answer, Cause, Document, Killed
from alerts.feeds.read.frames import OUT_OF_MEMORY

async def main():
    async with Readers(1, timedelta(seconds=60), 256_000_000) as readers:
        await readers.read(b'{"version": "https://jsonfeed.org/version/1", "items": []}', "", "")
        reading = asyncio.create_task(readers.read(sys.stdin.buffer.read(), "", ""))
        await asyncio.sleep(0)
        print(readers.pids[0], flush=True)
        await reading

asyncio.run(main())
"""


async def dies_with_its_parent(before: Callable[[int], None]) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PARENT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    parent.stdin.write(ENDLESS)
    parent.stdin.close()
    child = int(await parent.stdout.readline())
    before(child)
    parent.kill()
    await parent.wait()
    await gone(child)


async def test_a_reader_dies_with_its_parent() -> None:
    await dies_with_its_parent(lambda _: None)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the end of its input ends a reader")
async def test_a_reader_that_stands_still_dies_with_its_parent() -> None:
    await dies_with_its_parent(lambda child: os.kill(child, signal.SIGSTOP))


# Fairness


async def test_hostile_feeds_wait_for_each_other_and_not_good_ones_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "_QUICK_AT_MOST", timedelta(seconds=0.1))
    monkeypatch.setattr(reader, "_SMALL", 30)  # a machine under load does small work slowly

    async def good(readers: Readers) -> None:
        asked = (readers.read(PAGE, URL, "", feed=f"good {number}") for number in range(50))
        async with asyncio.timeout(20):
            await asyncio.gather(*asked)

    def bad(readers: Readers) -> list[asyncio.Task[ParsedFeed]]:
        return [
            asyncio.create_task(readers.read(ENDLESS, URL, "", feed=f"bad {number}")) for number in range(8)
        ]

    async with Readers(1, LONG, MEMORY) as readers:
        strangers = bad(readers)
        await good(readers)
        assert not any(task.done() for task in strangers)
        await until(lambda: len(readers._records) == 58 and len(readers._slow.pids) == 1)
        for pid in readers._slow.pids + readers._trial.pids:
            os.kill(pid, signal.SIGSTOP)
        known = bad(readers)
        await good(readers)
        # At most five slow ones wait; the others come again with their next poll.
        assert all(isinstance(task.exception(), FetchFailed) for task in known if task.done())
        assert sum(task.done() for task in known) >= 3
    await asyncio.gather(*strangers, *known, return_exceptions=True)


async def test_strangers_documents_wait_only_as_far_as_memory_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "_MOST_HELD", 3 * len(PAGE))
    async with Readers(1, LONG, MEMORY) as readers:
        asked = (readers.read(PAGE, URL, "", feed=f"stranger {number}") for number in range(5))
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [isinstance(each, ParsedFeed) for each in found] == [True, True, True, False, False]
        assert isinstance(found[-1], FetchFailed)
        assert (await readers.read(PAGE * 5, URL, "", feed="large")).entries, "nobody waits any more"


async def test_a_feed_that_took_too_long_is_trusted_again_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "_QUICK_AT_MOST", timedelta(seconds=0.05))
    async with Readers(1, LONG, MEMORY) as readers:
        assert (await readers.read(json_feed(8_000), URL, "")).entries  # in the slow lane, whole
        monkeypatch.setattr(reader, "_QUICK_AT_MOST", timedelta(seconds=10))
        monkeypatch.setattr(reader, "_QUICK", timedelta(seconds=10))
        for left in (4, 3, 2, 1, 0):
            await readers.read(PAGE, URL, "")
            assert readers._records[URL].probation == left
        for pid in readers._slow.pids:
            os.kill(pid, signal.SIGSTOP)
        assert (await asyncio.wait_for(readers.read(PAGE, URL, ""), 20)).entries


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return _is_dead(pid)


def _is_dead(pid: int) -> bool:
    """Whether only the process's entry is left, for a parent that does not ask."""
    stat = Path("/proc") / str(pid) / "stat"
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z"


async def gone(pid: int) -> None:
    """Waits for the end of a process that is not ours to wait for."""
    await until(lambda: is_gone(pid))


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)
