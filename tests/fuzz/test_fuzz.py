"""Every parser on what is damaged a little, for a few seconds: `make fuzz` does it for as long as you like."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.feeds.formats import parse
from fuzz import seeds
from fuzz.slips import documents, slipped
from fuzz.targets import TARGETS, Fetches, Target, compare, formats, no_loop

quickly = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
OTHERS = [target for name, target in TARGETS.items() if name not in {"formats", "compare", "fetch"}]


@pytest.mark.parametrize("name", seeds.DOCUMENTS)
def test_each_good_document_is_read(name: str) -> None:
    assert parse(seeds.DOCUMENTS[name], "https://news.example/", "").entries


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_good_inputs_keep_every_promise(target: Target) -> None:
    for each in target.good:
        target.run(each)


FOUND = {
    "control characters in a Guardian block's address": seeds.DOCUMENTS["guardian"].replace(
        b"0123456789abcdef01234567", b"01\x0323456789abcdef01234567"
    ),
    "a list in the place of a Guardian block's flag": seeds.DOCUMENTS["guardian"].replace(
        b'"keyEvent": true', b'"keyEvent": []'
    ),
}


@pytest.mark.parametrize("document", FOUND.values(), ids=FOUND)
def test_what_was_found_once_keeps_every_promise(document: bytes) -> None:
    formats(b"\0" + document)
    compare(b"\0" + document)


def test_an_address_that_was_found_once_is_none() -> None:
    TARGETS["links"].run(b"http://[::ff]:@/x")


@given(documents())
@quickly
def test_a_damaged_document_is_a_feed_or_none(document: bytes) -> None:
    with no_loop():
        formats(b"\0" + document)


@given(documents(), st.integers(0, 4))
@quickly
def test_a_damaged_document_is_no_news_twice(document: bytes, content_type: int) -> None:
    with no_loop():
        compare(bytes([content_type]) + document)


@pytest.mark.parametrize("target", OTHERS, ids=lambda target: target.name)
def test_damaged_inputs_keep_every_promise(target: Target) -> None:
    @given(slipped(target.good))
    @quickly
    def keeps(data: bytes) -> None:
        with no_loop():
            target.run(data)

    keeps()


@pytest.fixture
def fetches() -> Iterator[Fetches]:
    made = Fetches()
    yield made
    made.close()


def test_a_damaged_answer_is_a_page_or_none(fetches: Fetches) -> None:
    @given(slipped(seeds.ANSWERS))
    @quickly
    def keeps(answer: bytes) -> None:
        fetches(answer)

    keeps()
