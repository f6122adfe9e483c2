"""A live blog's own word that it is over, and that it goes on elsewhere, in the languages that say so."""

import pytest

from fakes.live_pages import posting, read, read_json, update

NEXT = "https://news.example/harbour-live-day-two"


def newest(body: str, **fields: object) -> dict[str, object]:
    return update(9, articleBody=body, **fields)


@pytest.mark.parametrize(
    "words",
    [
        "This live blog is now closed.",
        "This live page is now closed. Thanks for reading.",
        "Our live coverage has now ended.",
        "The blog has been closed for comments and news. This blog is closed.",
        "We're closing this live blog for tonight.",
        "We are wrapping up our live coverage now.",
        "That's all from our live blog tonight.",
        "This concludes our live coverage.",
        "Dieser Liveblog ist beendet.",
        "Der Liveticker wurde geschlossen.",
        "Damit beenden wir unseren Liveblog.",
        "Ce direct est désormais terminé.",
        "Fin de ce live, merci.",
        "La diretta è terminata.",
        "Termina qui la nostra diretta.",
        "Este directo ha finalizado.",
        "Aquí termina nuestra cobertura en vivo.",
        "Esta cobertura está encerrada.",
        "Dit liveblog is gesloten.",
    ],
)
def test_takes_a_farewell_for_the_end(words: str) -> None:
    assert read(posting(newest(words), update(1))).is_ended
    assert read(posting(update(1), newest(words))).is_ended, "the oldest may stand first"


@pytest.mark.parametrize(
    "words",
    [
        "The strike is now over.",
        "The bridge is closed. Follow our live blog.",
        "Our previous live blog has been closed.",
        "The exhibition has ended; the coverage of the roof goes on.",
        "The port is closed until Monday.",
        "Die Sitzung ist beendet.",
        "Le port est fermé.",
    ],
)
def test_takes_other_ends_for_none(words: str) -> None:
    assert not read(posting(newest(words), update(1))).is_ended


def test_takes_an_old_farewell_for_none() -> None:
    assert not read(
        posting(newest("It goes on."), update(1, articleBody="This live blog is now closed."))
    ).is_ended


def test_takes_the_headline_of_a_closed_blog() -> None:
    assert read(posting(update(), headline="Harbour strike: ferry sails \u2013 as it happened")).is_ended
    assert not read(posting(update(), headline="Harbour strike live: what has happened")).is_ended


def test_takes_an_end_of_coverage_for_no_end() -> None:
    assert not read(posting(update(), coverageEndTime="2026-11-22T07:01:00Z")).is_ended


@pytest.mark.parametrize(("state", "is_ended"), [("archive", True), ("enable", False)])
def test_takes_the_word_of_the_wordpress_plugin(state: str, is_ended: bool) -> None:
    settings = f'<script>var liveblog_settings = {{"permalink":"x","state":"{state}"}};</script>'
    assert read(posting(update()), body=settings).is_ended is is_ended


@pytest.mark.parametrize(
    "sentence",
    [
        "This live page is now closed. You can continue to follow our coverage <a href='{}'>here</a>.",
        "We have moved to a <a href='{}'>new live blog</a>.",
        "Our coverage continues <a href='{}'>here</a>.",
        "Follow our new live coverage <a href='{}'>here</a>.",
        "We've moved our live coverage over <a href='{}'>here</a>",
        "Continued on our <a href='{}'>new live page</a>",
        "Hier geht es weiter: <a href='{}'>zum neuen Liveblog</a>",
        "Unser Liveblog wird <a href='{}'>auf dieser Seite</a> fortgesetzt.",
        "Notre direct se poursuit <a href='{}'>ici</a>.",
        "Suivez la suite dans notre <a href='{}'>nouveau direct</a>",
        "La diretta continua <a href='{}'>qui</a>.",
        "La cobertura continúa <a href='{}'>aquí</a>.",
        "Siga la última hora en este <a href='{}'>nuevo directo</a>",
        "A cobertura continua <a href='{}'>aqui</a>.",
        "Dit liveblog gaat <a href='{}'>hier</a> verder.",
    ],
)
def test_finds_where_the_newest_post_says_that_it_goes_on(sentence: str) -> None:
    body = f"<p>A word before.</p><p>{sentence.format('/harbour-live-day-two')}</p>"
    assert read(posting(newest(body), update(1))).continues_at == NEXT


@pytest.mark.parametrize(
    "sentence",
    [
        "This live blog has moved. Follow it <a href='{}'>on its new page</a>.",
        "Our live coverage continues <a href='{}'>here</a>.",
        "Continued on our <a href='{}'>new live page</a>",
        "Unser Liveblog geht <a href='{}'>hier</a> weiter.",
        "Notre direct se poursuit <a href='{}'>ici</a>.",
        "La diretta continua <a href='{}'>qui</a>.",
        "La cobertura continúa <a href='{}'>aquí</a>.",
        "A cobertura continua <a href='{}'>aqui</a>.",
        "Dit liveblog gaat <a href='{}'>hier</a> verder.",
    ],
)
def test_finds_where_a_sign_on_the_page_says_that_it_goes_on(sentence: str) -> None:
    sign = f"<aside><p>{sentence.format('/harbour-live-day-two')}</p></aside>"
    assert read(posting(update(1)), body=sign).continues_at == NEXT


@pytest.mark.parametrize(
    "href",
    [
        "https://other.example/live",
        "#9",
        "/harbour-live",
        "/harbour-live?page=2",
        "mailto:desk@news.example",
        "/",
    ],
)
def test_goes_on_at_no_other_site_and_not_at_itself(href: str) -> None:
    assert (
        read(posting(newest(f"<p>Our coverage continues <a href='{href}'>here</a>.</p>"))).continues_at == ""
    )


@pytest.mark.parametrize(
    "sentence",
    [
        "Our coverage continues from yesterday's live blog, <a href='/day-zero'>here</a>.",
        "You can catch up with our earlier live coverage <a href='/day-zero'>here</a>.",
        "Read <a href='/profile'>a profile of the harbour master</a>.",
        "Talks continue, says <a href='/union'>the union</a>.",
    ],
)
def test_takes_no_other_link_for_a_signpost(sentence: str) -> None:
    parsed = read(posting(newest(f"<p>{sentence}</p>"), update(1)), body=f"<p>{sentence}</p>")
    assert parsed.continues_at == ""


def test_goes_on_at_a_sister_host_of_the_same_site() -> None:
    parsed = read(
        posting(
            newest("<p>We have moved <a href='https://live.paper.co.uk/two'>here</a></p>"),
            url="https://www.paper.co.uk/one",
        ),
        url="https://www.paper.co.uk/one",
    )
    assert parsed.continues_at == "https://live.paper.co.uk/two"
    stranger = read(
        posting(
            newest("<p>We have moved <a href='https://live.rag.co.uk/two'>here</a></p>"),
            url="https://www.paper.co.uk/one",
        ),
        url="https://www.paper.co.uk/one",
    )
    assert stranger.continues_at == ""


def test_reads_the_end_from_a_file_of_json_ld() -> None:
    parsed = read_json(
        posting(
            newest("This live blog is now closed. It continues <a href='/harbour-live-day-two'>here</a>.")
        )
    )
    assert (parsed.is_ended, parsed.continues_at) == (True, NEXT)
