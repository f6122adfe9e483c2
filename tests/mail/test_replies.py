"""Judging SMTP replies: on replies of our own, on the reference page's examples, on the practice corpus."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.mail.replies import Judgement, Verdict, classify, enhanced, judge, scrub
from alerts.mail.reply_rules import RULES

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/reference/smtp-verdicts.md"
CORPUS = ROOT / "../shared/corpora/bounces/smtp_replies.jsonl"

Row = dict[str, str]


def rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


OWN = rows(Path(__file__).with_name("replies_own.jsonl"))


def table(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading of the page, without its head."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split(" |")] for line in lines]


def is_dead(line: str) -> bool:
    return classify(line).verdict is Verdict.DEAD


# --- examples


@pytest.mark.parametrize("row", OWN, ids=lambda row: row["reply"][:60])
def test_replies_of_our_own_get_their_verdict(row: Row) -> None:
    assert classify(row["reply"]).verdict == row["verdict"]


@pytest.mark.parametrize("example", table("Examples"), ids=lambda cells: cells[0])
def test_the_page_tells_the_truth(example: list[str]) -> None:
    reply, verdict, why = example
    assert classify(reply) == Judgement(Verdict(verdict), why)


def test_the_page_lists_every_rule_in_order() -> None:
    assert table("How it is judged") == [[rule.why, rule.verdict.value] for rule in RULES]


def test_the_page_lists_every_verdict() -> None:
    assert [cells[0] for cells in table("What a verdict means and causes")] == [v.value for v in Verdict]


def test_an_unknown_user_is_believed_when_it_answers_rcpt() -> None:
    assert judge(550, "Unknown user").verdict is Verdict.REFUSED
    assert judge(550, "Unknown user", at_rcpt=True).verdict is Verdict.DEAD
    assert judge(550, "Unknown user (in reply to RCPT TO command)").verdict is Verdict.DEAD


def test_rcpt_alone_proves_nothing() -> None:
    assert judge(550, "5.7.1 blocked", at_rcpt=True).verdict is Verdict.SENDER_FAULT
    assert judge(550, "5.2.2 full", at_rcpt=True).verdict is Verdict.REFUSED
    assert judge(450, "4.1.1 Unknown user", at_rcpt=True).verdict is Verdict.RETRY


def test_a_callout_about_our_own_address_is_not_about_the_reader() -> None:
    lines = "550-Callback for <news@site.example> failed\r\n550-5.1.1 No such user here\r\n550 Sender verify"
    assert classify(lines).verdict is Verdict.SENDER_FAULT


def test_a_final_code_with_a_temporary_enhanced_code_is_never_dead() -> None:
    assert judge(550, "4.1.1 No such user here").verdict is Verdict.REFUSED


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        ("smtp; 550 5.1.1 no such mailbox", Verdict.DEAD),
        ("host mx.mail.example[203.0.113.7] said: 550-5.1.1 no such mailbox", Verdict.DEAD),
        ("550 550 5.1.1 no such mailbox", Verdict.DEAD),
        ("550-'5.2.2 Mailbox full'", Verdict.REFUSED),
        ("no such domain", Verdict.DEAD),
        ("5.1.1 unknown", Verdict.DEAD),
        ("4.1.1 unknown", Verdict.RETRY),
        ("lost connection", Verdict.RETRY),
        ("550", Verdict.REFUSED),
        ("5501 is no code", Verdict.RETRY),
        ("\x00\ufffd", Verdict.RETRY),
        ("", Verdict.RETRY),
    ],
)
def test_a_line_is_read_wherever_its_code_stands(line: str, verdict: Verdict) -> None:
    assert classify(line).verdict is verdict


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("5.1.1 <jo@mail.example>: unknown", "5.1.1"),
        ("5.7.509 Access denied", "5.7.509"),
        ("alas, no mailbox (#5.1.1)", "5.1.1"),
        ("550 5.7.0 twice", "5.7.0"),
        ("[203.0.113.7] blocked", None),
        ("4.16.55.1 is no code, nor is <5.1.1@mail.example>, nor mx5.1.1.example", None),
        ("https://help.example/5.1.1", None),
        ("", None),
    ],
)
def test_the_enhanced_code_is_found_and_nothing_else(text: str, code: str | None) -> None:
    assert enhanced(text) == code


# --- promises for all inputs

anything = st.text(max_size=400) | st.lists(st.sampled_from([row["reply"] for row in OWN])).map(" ".join)
REASONS = {rule.why for rule in RULES} | {"the server took it"}


@given(code=st.integers(), text=anything, at_rcpt=st.booleans())
def test_anything_is_judged_in_words_of_ours(code: int, text: str, at_rcpt: bool) -> None:
    assert judge(code, text, at_rcpt=at_rcpt).why in REASONS
    assert classify(text).why in REASONS


@given(code=st.integers(200, 399), text=anything)
def test_what_the_server_took_is_accepted(code: int, text: str) -> None:
    assert judge(code, text).verdict is Verdict.ACCEPTED


@given(code=st.integers(400, 499), text=anything)
def test_a_temporary_reply_is_never_final(code: int, text: str) -> None:
    assert judge(code, text).verdict in {Verdict.RETRY, Verdict.SLOW_DOWN, Verdict.SENDER_FAULT}


@given(code=st.integers(500, 599), text=anything)
def test_a_final_reply_is_never_tried_again_as_it_is(code: int, text: str) -> None:
    assert judge(code, text).verdict not in {Verdict.ACCEPTED, Verdict.RETRY}


loaded = st.sampled_from(
    ["spam", "blocked", "user-unknown", "quota", "full", "no.such.user", "dmarc", "relay", "rcpt", "5.1.1"]
)
hosts = st.builds("{}.{}.example".format, loaded, st.from_regex(r"[a-z][a-z0-9-]{0,8}[a-z]", fullmatch=True))
addresses = st.builds("{}@{}".format, loaded, hosts)
ips = st.ip_addresses(v=4).map(str)
NAME = re.compile(
    r"(?P<address>[\w.+-]+@[\w.-]+\.example)|(?P<host>\b[\w-]+(?:\.[\w-]+)*\.example\b)|(?P<ip>203\.0\.113\.\d+)"
)


@given(row=st.sampled_from(OWN), address=addresses, host=hosts, ip=ips)
def test_other_names_change_no_verdict(row: Row, address: str, host: str, ip: str) -> None:
    others = {"address": address, "host": host, "ip": ip}
    renamed = NAME.sub(lambda found: others[str(found.lastgroup)], row["reply"])
    assert classify(renamed) == classify(row["reply"])


@given(row=st.sampled_from(OWN), queue_id=st.from_regex(r"[0-9][A-Z][0-9A-Za-z]{6,12}", fullmatch=True))
def test_ids_change_no_verdict(row: Row, queue_id: str) -> None:
    assert classify(f"{row['reply']} ({queue_id})") == classify(row["reply"])


# --- what is kept


@given(text=st.text(max_size=600) | st.lists(addresses | hosts | st.text(max_size=9)).map(" ".join))
def test_what_is_kept_is_one_short_line_without_an_address(text: str) -> None:
    kept = scrub(text)
    assert len(kept) <= 200
    assert "@" not in kept
    assert kept.isprintable()


@given(address=addresses, ip=ips)
def test_nobody_is_named_in_what_is_kept(address: str, ip: str) -> None:
    kept = scrub(
        f'550 <{address}>: "{address}" from [{ip}] unknown, see https://help.example/?rcpt={address}'
    )
    assert address not in kept
    assert ip not in kept
    assert kept.endswith("unknown, see https://help.example")


@pytest.mark.parametrize(
    "text",
    [
        "unknown user jo.winter",
        "no local part jo.winter in <jo.winter@mail.example>",
        "JO.WINTER(at)mail.example is gone",
        "jo.winter%40mail.example is gone",
        "jo.winter\uff20mail.example is gone",  # a full-width @
        "bounce+jo.winter=mail.example@site.example is gone",
    ],
)
def test_the_local_part_is_not_kept_alone_either(text: str) -> None:
    assert "jo.winter" not in scrub(text, "jo.winter@mail.example").lower()


def test_what_an_operator_needs_is_kept() -> None:
    kept = scrub("5.7.1 Client host [203.0.113.7] blocked using bl.example; queue 4F1c2d3e4f5a6b7c")
    assert kept == "5.7.1 Client host [[ip]] blocked using bl.example; queue [id]"


# --- the practice corpus


def test_the_practice_corpus_meets_the_bars(capsys: pytest.CaptureFixture[str]) -> None:
    if not CORPUS.exists():
        pytest.skip("the practice corpus lies beside the repository, and not here")
    replies = rows(CORPUS)
    hard = [row for row in replies if row["class"] == "hard"]
    soft = [row for row in replies if row["class"] == "soft"]
    missed = [row for row in hard if not is_dead(row["reply"])]
    false = [row for row in soft if is_dead(row["reply"])]
    right = 1 - (len(missed) + len(false)) / len(replies)
    with capsys.disabled():
        print(  # noqa: T201 - the score is what this test is run for
            f"\nSMTP replies: {right:.1%} of {len(replies)} right, "
            f"false hard {len(false)}/{len(soft)}, missed hard {len(missed)}/{len(hard)}"
        )
    assert right >= 0.93
    assert not [row for row in false if row["cause"] == "sender"]
    assert len(false) <= 0.02 * len(soft)
    assert len(missed) <= 0.10 * len(hard)
    ours = [classify(row["reply"]).verdict for row in replies if row["cause"] == "sender"]
    assert sum(v in {Verdict.SENDER_FAULT, Verdict.SLOW_DOWN} for v in ours) >= 0.9 * len(ours)
