"""Files of readers as they come: dialects, encodings, damage, and what their columns mean."""

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.audience.lists import cells, export, rows, shapes
from alerts.audience.lists.export import Exported
from alerts.audience.lists.rows import Bad, Row
from alerts.audience.lists.shapes import Given, Line, Shape, Step
from alerts.errors import Refused
from build import NOW

TEXT = (
    'Address,Topic,note\r\nana@example.org,all,"two\nlines, and ""quotes"""\r\n\r\nben@example.org,all,x\r\n'
)
AGREED = {"topic": "all", "consent_source": "the fair", "consent_date": "2026-01-02"}

LISTMONK = (
    "uuid,email,name,attributes,status,created_at,updated_at\n"
    '3a1b,ana@example.org,Ana,"{""city"": ""Ulm, D""}",enabled,2024-05-06 07:08:09.123456 +0000 UTC,x\n'
    "3a1c,ben@example.org,Ben,{},blocklisted,2024-05-06 07:08:09 +0000 UTC,x\n"
    "3a1d,cem@example.org,Cem,{},disabled,2024-05-06 09:08:09.1 +0200 CEST,x\n"
)
MAILCHIMP = (
    '"Email Address","First Name",Address,MEMBER_RATING,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,CONFIRM_IP,LEID,EUID,NOTES\n'
    'ana@example.org,Ana,"1 Quay Street",2,"2018-10-11 09:55:14",,"2018-10-11 10:00:00",192.0.2.1,1,a,\n'
    "ben@example.org,Ben,,2,,,,,2,b,\n"
)


def table(data: bytes | str) -> rows.Table:
    return rows.read(io.BytesIO(data.encode() if isinstance(data, str) else data))


def lines(data: bytes | str, **given: Any) -> list[Line | Bad]:
    read = table(data)
    meaning = shapes.reader_of(read, Given(NOW, **given))
    return [row if isinstance(row, Bad) else meaning(row) for row in read.rows]


def only(found: Iterable[Line | Bad]) -> Line:
    (line,) = found
    assert isinstance(line, Line), line
    return line


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\r\n", "\n", "\r"])
def test_any_common_dialect_is_read(encoding: str, delimiter: str, ending: str) -> None:
    text = TEXT.replace("\r\n", ending).replace(",", delimiter).replace(f"lines{delimiter}", "lines,")
    read = table(text.encode(encoding))
    assert (read.header, read.delimiter) == (("Address", "Topic", "note"), delimiter)
    found = list(read.rows)
    assert [(row.line, row.cells[0]) for row in found if isinstance(row, Row)] == [
        (2, "ana@example.org"),
        (5, "ben@example.org"),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_spreadsheets_line_that_names_the_delimiter_is_no_header(delimiter: str) -> None:
    text = "sep=;\r\naddress;topic\r\nana@example.org;all\r\n"
    read = table(text.replace(";", delimiter))
    assert read.delimiter == delimiter
    assert read.header == ("address", "topic")
    assert [row.line for row in read.rows] == [3]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"an\0a@example.org,all\n", "NUL"),
        (b"ana@example.org\n", "1 cells"),
        (b"ana@example.org,all,more\n", "3 cells"),
        (b'"' + b"x" * 70_000 + b'",all\n', "longer than"),
        (b"x" * 300_000 + b",all\n", "longer than"),
    ],
)
def test_what_is_damaged_is_refused_with_its_line(line: bytes, why: str) -> None:
    read = table(b"address,topic\nana@example.org,all\n" + line + b"ben@example.org,all\n")
    first, bad, last = list(read.rows)
    assert isinstance(first, Row)
    assert isinstance(bad, Bad)
    assert (bad.line, why in bad.why) == (3, True), bad
    assert isinstance(last, Row)
    assert last.line == 4


def test_a_quote_that_is_never_closed_takes_no_memory_and_no_line_number() -> None:
    read = table(b'address,topic\n"ana@example.org,all\n' + b"ben@example.org,all\n" * 5_000)
    bad, *others = list(read.rows)
    assert isinstance(bad, Bad)
    assert (bad.line, bad.why) == (
        2,
        "Up to line 101: A cell is longer than 65536 characters or 100 lines, or a quote is never closed.",
    )
    assert [row.line for row in others] == [*range(102, 5_003)]


def test_a_quote_that_another_closes_far_below_is_refused_with_all_its_lines() -> None:
    read = table(
        b'address,topic\n"ana@example.org,all\n' + b"ben@example.org,all\n" * 50 + b'cem@example.org",all,x\n'
    )
    (bad,) = read.rows
    assert bad == Bad(2, "Up to line 53: It has 3 cells, and there are 2 columns.")
    (refused,) = lines(b'address,topic\n"ana@example.org,all\nben@example.org",all\n', **AGREED)
    assert isinstance(refused, Bad)
    assert refused.why.startswith("Up to line 3: ")
    assert "ana" not in refused.why


def test_blank_lines_before_the_names_are_passed_over() -> None:
    assert [row.line for row in table(b"\n" * 200 + b"address,topic\nana@example.org,all\n").rows] == [202]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0",
        b"\n\n\n",
        b"\xff\xfe",
        b'"\n',
        b"a" * 70_000,
        b"address," + b"x" * 70_000 + b"\nana@example.org,1\n",
        b'address,"' + b"x" * 70_000,
        b"\n" * 1_100_000,
    ],
)
def test_what_has_no_column_names_is_no_list(data: bytes) -> None:
    with pytest.raises(Refused):
        lines(data)


@given(st.binary(max_size=400))
def test_no_bytes_break_the_reading(data: bytes) -> None:
    try:
        found = lines(data, topic="all", consent_source="x", consent_date="2026-01-02")
    except Refused:
        return
    assert all(isinstance(each, Line | Bad) for each in found)


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_no_bytes_behind_a_header_break_the_reading(parts: list[bytes]) -> None:
    found = lines(b"address,topic,frequency,status,consent_date\n" + b",".join(parts))
    assert all(isinstance(each, Line | Bad) for each in found)


def test_our_own_columns() -> None:
    header = ",".join(shapes.OWN_COLUMNS)
    line = only(
        lines(
            f"{header}\nAna@Example.org,all,weekly,active,the fair,2026-01-02,de,Europe/Berlin,8,6,2026-12-01T00:00:00Z\n"
        )
    )
    assert (line.number, line.step, line.address.key) == (2, Step.FOLLOW, "ana@example.org")
    assert (line.topic, line.frequency, line.consent_source) == ("all", "weekly", "the fair")
    assert line.consent_at == datetime(2026, 1, 2, tzinfo=UTC)
    assert line.settings == {
        "language": "de",
        "zone": "Europe/Berlin",
        "digest_hour": 8,
        "digest_weekday": 6,
        "paused_until": "2026-12-01T00:00:00+00:00",
    }


@pytest.mark.parametrize("topic", ["", "all"])
def test_an_opt_out_brings_its_settings_along_and_none_of_them_is_in_its_way(topic: str) -> None:
    header = "address,topic,status,language,zone,digest_hour"
    line = only(lines(f"{header}\nana@example.org,{topic},left,de,Europe/Berlin,8\n"))
    assert line.settings == {"language": "de", "zone": "Europe/Berlin", "digest_hour": 8}
    assert only(lines(f"{header}\nana@example.org,{topic},left,de,Europe/Ulm,8\n")).settings == {}


def test_listmonks_columns() -> None:
    ana, ben, cem = lines(LISTMONK, topic="all", consent_source="old list", consent_date="created_at")
    assert isinstance(ana, Line)
    assert (ana.step, ana.topic, ana.consent_at) == (
        Step.FOLLOW,
        "all",
        datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC),
    )
    assert ana.settings == {}
    assert isinstance(ben, Line)
    assert (ben.step, ben.cause) == (Step.SUPPRESS, "blocklisted")
    assert isinstance(cem, Line)
    assert (cem.step, cem.topic) == (Step.LEAVE, "all")


def test_mailchimps_columns_and_the_name_of_its_file() -> None:
    given = {"topic": "all", "consent_source": "old list"}
    ana, ben = lines(MAILCHIMP, file_name="subscribed_email_audience_export_1.csv", **given)
    assert isinstance(ana, Line)
    assert (ana.step, ana.consent_at) == (Step.FOLLOW, datetime(2018, 10, 11, 10, tzinfo=UTC))
    assert isinstance(ben, Bad), "neither CONFIRM_TIME nor OPTIN_TIME"
    for name, step in (("unsubscribed_x.csv", Step.LEAVE), ("cleaned_x.csv", Step.SUPPRESS)):
        assert {
            each.step for each in lines(MAILCHIMP, file_name=name, **given) if isinstance(each, Line)
        } == {step}
    assert all(isinstance(each, Bad) for each in lines(MAILCHIMP, file_name="nonsubscribed_x.csv", **given))
    with pytest.raises(Refused, match="--status"):
        lines(MAILCHIMP, file_name="list.csv", **given)
    assert len(lines(MAILCHIMP, file_name="list.csv", status="unsubscribed", **given)) == 2


def test_mailchimps_columns_tell_who_has_left_whatever_the_file_is_called() -> None:
    text = MAILCHIMP.replace("NOTES", "UNSUB_TIME")
    found = lines(text, topic="all", file_name="list.csv")
    assert [each.step for each in found if isinstance(each, Line)] == [Step.LEAVE, Step.LEAVE]


@pytest.mark.parametrize("given", [{"file_name": "subscribed_x.csv"}, {"status": "subscribed"}, {}])
def test_a_readers_own_status_comes_before_that_of_mailchimps_file(given: dict[str, str]) -> None:
    header, *_ = MAILCHIMP.splitlines()
    for status, step in (
        ("unsubscribed", Step.LEAVE),
        ("Cleaned", Step.SUPPRESS),
        ("subscribed", Step.FOLLOW),
    ):
        text = f"{header},Status\nana@example.org,Ana,,2,2018-10-11 09:55:14,,,,1,a,,{status}\n"
        assert only(lines(text, topic="all", consent_source="old list", **given)).step is step
    text = f"{header},Status\nana@example.org,Ana,,2,2018-10-11 09:55:14,,,,1,a,,pending\n"
    (bad,) = lines(text, topic="all", consent_source="old list", **given)
    assert isinstance(bad, Bad)
    text = f"{header},Status\nana@example.org,Ana,,2,,,,,1,a,,subscribed\n"
    assert only(lines(text, topic="all", file_name="unsubscribed_x.csv")).step is Step.LEAVE


def test_the_format_is_guessed_from_the_names() -> None:
    assert shapes.guess(table(LISTMONK).header) is Shape.LISTMONK
    assert shapes.guess(table(MAILCHIMP).header) is Shape.MAILCHIMP
    assert shapes.guess(shapes.OWN_COLUMNS) is Shape.CSV


@pytest.mark.parametrize(
    ("columns", "given", "why"),
    [
        ({"address": "nobody"}, AGREED, "@-sign"),
        ({}, AGREED | {"topic": ""}, "No topic"),
        ({}, AGREED | {"consent_source": ""}, "How did"),
        ({}, AGREED | {"consent_date": ""}, "When did"),
        ({"consent_date": "2027-01-01"}, AGREED, "cannot be"),
        ({"consent_date": "0001-01-01"}, AGREED, "cannot be"),
        ({"consent_date": "01/02/2026"}, AGREED, "2026-11-22"),
        ({"consent_source": "mail from ana@example.org"}, AGREED, "names an address"),
        ({"consent_source": "x" * 201}, AGREED, "200 characters"),
        ({"frequency": "often"}, AGREED, "flash, every"),
        ({"status": "pending"}, AGREED, "never agreed"),
        ({"status": "odd"}, AGREED, "unknown"),
        ({"language": "D"}, AGREED, "language"),
        ({"zone": "Europe/Ulm"}, AGREED, "time zone"),
        ({"zone": "localtime"}, AGREED, "time zone"),
        ({"zone": "Factory"}, AGREED, "time zone"),
        ({"digest_hour": "24"}, AGREED, "0 to 23"),
        ({"digest_weekday": "\u0663"}, AGREED, "0 to 6"),
        ({"paused_until": "soon"}, AGREED, "paused_until"),
    ],
)
def test_a_line_is_refused_with_a_reason_that_does_not_name_the_reader(
    columns: dict[str, str], given: dict[str, str], why: str
) -> None:
    cells_ = {"address": "ana@example.org"} | columns
    text = io.StringIO()
    csv.writer(text).writerows([cells_.keys(), cells_.values()])
    (bad,) = lines(text.getvalue(), **given)
    assert isinstance(bad, Bad), bad
    assert why in bad.why
    assert "ana" not in bad.why


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("name,topic", "Call it `address`"),
        ("address,email", "Two columns"),
        ("address,address", "two columns"),
    ],
)
def test_it_must_be_clear_where_the_addresses_are(header: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        lines(f"{header}\nx,y\n")


def test_a_date_that_is_no_date_and_no_column_is_refused_at_once() -> None:
    with pytest.raises(Refused, match="--consent-date"):
        lines(LISTMONK, topic="all", consent_source="x", consent_date="joined_at")


def test_letters_in_another_encoding_are_refused_where_they_are_read() -> None:
    (bad,) = lines("address,name\nj\xfcrg@example.org,x\n".encode("latin-1"), **AGREED)
    assert isinstance(bad, Bad)
    assert "UTF-8" in bad.why
    only(lines("address,name\njurg@example.org,J\xfcrg\n".encode("latin-1"), **AGREED))


def test_only_in_a_list_of_our_own_an_apostrophe_may_be_ours() -> None:
    assert only(lines("address,topic\n'+ana@example.org,all\n", **AGREED)).address.key == "+ana@example.org"
    for header in ("address,topic,name", "email,topic"):
        line = only(lines(f"{header}\n'+ana@example.org,all{',x' * header.count('name')}\n", **AGREED))
        assert line.address.key == "'+ana@example.org"


@given(st.text())
def test_a_guarded_cell_is_no_formula_and_gives_its_text_back(text: str) -> None:
    guarded = cells.guarded(text)
    assert not guarded.startswith(
        ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
    )
    assert cells.plain(guarded) == text


@given(st.text(min_size=1, max_size=60), st.sampled_from("=+-@\t\r'"))
def test_no_cell_of_an_export_is_a_formula_in_any_spreadsheet(text: str, first: str) -> None:
    line = Exported(first + text, text, "every", "active", first + text, None, "en", "UTC", 7, 0, None)
    (written,) = export.csv_lines([line])
    (read,) = csv.reader(io.StringIO(written, newline=""))
    assert cells.plain(read[0]) == first + text
    assert all(not cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in read)
    assert written.startswith('"'), "quoted, so that no other delimiter cuts it"
