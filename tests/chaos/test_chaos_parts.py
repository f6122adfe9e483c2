"""The parts of the kill test that stand beside the daemon: the sink process and the growing page."""

import json
import re
import smtplib
import time
import urllib.request
from pathlib import Path

import pytest

from chaos.audit import Accepted, Closed, Line, Opened
from chaos.blog import Blog
from chaos.processes import Sink

CONTENT = "Subject: Harbour news, mark-0007\r\nMessage-ID: <x1@example.org>\r\n\r\n.hello\r\n"


@pytest.mark.parametrize("pipelining", [True, False])
def test_the_sink_writes_down_each_mail_it_takes(tmp_path: Path, pipelining: bool) -> None:
    with Sink(tmp_path, 0.001, pipelining=pipelining) as sink:
        with smtplib.SMTP("127.0.0.1", sink.port) as client:
            assert client.ehlo()[0] == 250
            assert client.has_extn("PIPELINING") == pipelining
            for name in "ab":
                client.sendmail("s@example.org", f"{name}@example.org", CONTENT)
        while sink.status.connections:
            time.sleep(0.001)
        lines = list(sink.news())
        assert not sink.status.is_in_flight
        assert sink.status.begun == 2
    mails = [line for line in lines if isinstance(line, Accepted)]
    assert [(mail.rcpt, mail.mark, mail.message_id) for mail in mails] == [
        ("a@example.org", 7, "x1@example.org"),
        ("b@example.org", 7, "x1@example.org"),
    ]
    assert mails[0].sha256 == mails[1].sha256
    assert isinstance(lines[0], Opened)
    assert lines[-1] == Closed(1, lines[-1].at, is_in_flight=False)


def test_a_client_that_dies_after_the_final_dot_has_sent_its_mail(tmp_path: Path) -> None:
    with Sink(tmp_path, 0.1) as sink:
        client = smtplib.SMTP("127.0.0.1", sink.port)
        client.ehlo()
        client.mail("s@example.org")
        client.rcpt("a@example.org")
        client.docmd("DATA")
        assert sink.status.is_in_flight
        client.send(CONTENT + ".\r\n")
        client.close()
        lines: list[Line] = []
        while not any(isinstance(line, Accepted) for line in lines):
            lines += sink.news()
    assert [type(line) for line in lines] == [Opened, Closed, Accepted]
    assert isinstance(lines[1], Closed)
    assert lines[1].is_in_flight


def test_a_client_that_dies_in_the_middle_has_sent_nothing(tmp_path: Path) -> None:
    with Sink(tmp_path, 0) as sink:
        client = smtplib.SMTP("127.0.0.1", sink.port)
        client.ehlo()
        client.mail("s@example.org")
        client.rcpt("a@example.org")
        client.docmd("DATA")
        client.send(CONTENT)
        client.close()
        lines: list[Line] = []
        while not any(isinstance(line, Closed) for line in lines):
            lines += sink.news()
        assert not sink.status.is_in_flight
    assert [type(line) for line in lines] == [Opened, Closed]


def test_the_page_grows_at_the_top() -> None:
    with Blog() as blog:
        marks = [blog.publish("everyone") for _ in range(20)]
        with urllib.request.urlopen(blog.url) as response:
            page = response.read().decode()
    data = json.loads(re.findall(r'<script type="application/ld\+json">(.*?)</script>', page)[0])
    assert data["@type"] == "LiveBlogPosting"
    assert [update["@id"][-4:] for update in data["liveBlogUpdate"]] == [
        f"{mark:04}" for mark in reversed(marks[-15:])
    ]
