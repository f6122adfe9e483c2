"""The rules that judge an SMTP reply; the first that fits wins. docs/reference/smtp-verdicts.md explains them.

The order is the thought. What says that we are at fault comes before what says that the reader is gone:
servers dress the first up as the second, never the other way round. A mailbox that is full or closed
exists. And the bare label "unknown user" is weak: carriers give it to mail that they filter.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from alerts.mail import reply_words as words


class Verdict(StrEnum):
    """What a reply means for the mail, for the reader and for us."""

    ACCEPTED = "accepted"  # the server has it
    RETRY = "retry"  # not now; the same mail later
    SLOW_DOWN = "slow_down"  # fewer connections and mails to this destination
    SENDER_FAULT = "sender_fault"  # our reputation, permission or form: raise an alarm, suppress nobody
    REFUSED = "refused"  # final for this mail; the address lives, or may live
    DEAD = "dead"  # nobody is there: suppress the address


@dataclass(frozen=True, slots=True)
class Rule:
    """Fits a reply when every condition that it has fits; codes are matched whole."""

    verdict: Verdict
    why: str
    says: re.Pattern[str] | None = None
    enhanced: str = ""  # subject and detail, "1.1" of 5.1.1: the class is judged apart
    code: str = ""

    def fits(self, code: str, enhanced: str, text: str) -> bool:
        """Tells whether the reply is of this kind; `text` as `reply_text.words` puts it."""
        return (
            (not self.code or re.fullmatch(self.code, code) is not None)
            and (not self.enhanced or re.fullmatch(self.enhanced, enhanced) is not None)
            and (self.says is None or self.says.search(text) is not None)
        )


_NO_ADDRESS = r"1\.(?:1|2|3|6|10)"
_POLICY = r"7\.\d+"

_OF_THE_MOMENT = (
    Rule(Verdict.RETRY, "greylisted", words.GREYLISTED),
    # Exchange says so of one unknown recipient; in the plural it means all of us.
    Rule(Verdict.DEAD, "the directory has no such recipient", words.ACCESS_TO_RECIPIENT, enhanced=r"4\.1"),
    Rule(Verdict.REFUSED, "the mail loops", words.LOOPS),
    Rule(Verdict.SLOW_DOWN, "too much at a time", words.ASKED_SLOWER),
)
_THE_READER_IS_THERE = (
    Rule(Verdict.REFUSED, "the mailbox is full", words.FULL),
    Rule(Verdict.REFUSED, "the mail is too big", words.TOO_BIG),
    Rule(Verdict.REFUSED, "the mailbox is closed", words.CLOSED, enhanced=rf"(?!{_NO_ADDRESS}$).*"),
    Rule(Verdict.REFUSED, "the reader does not want it", words.READERS_CHOICE),
)
_WE_ARE_AT_FAULT = (
    Rule(Verdict.SENDER_FAULT, "SPF, DKIM, DMARC or login", words.UNAUTHENTIC),
    Rule(Verdict.SENDER_FAULT, "our host's name or its reverse DNS", words.BAD_NAME),
    Rule(Verdict.SENDER_FAULT, "blocked or listed", words.LISTED),
    Rule(Verdict.SENDER_FAULT, "taken for spam", words.SPAM),
    Rule(Verdict.SENDER_FAULT, "our sender address", words.SENDER),
    Rule(Verdict.SENDER_FAULT, "may not relay", words.NO_PASSAGE),
    Rule(Verdict.SENDER_FAULT, "policy", words.POLICY),
    Rule(Verdict.SENDER_FAULT, "our server is turned away", words.TURNED_AWAY),
    Rule(Verdict.SENDER_FAULT, "the form of our mail", words.BAD_FORM),
)
_CODES_THAT_SETTLE_IT = (
    Rule(Verdict.DEAD, "code: no such address", enhanced=_NO_ADDRESS),
    Rule(Verdict.DEAD, "code: the address has a new owner", enhanced=r"7\.1[78]"),
    Rule(Verdict.SENDER_FAULT, "code: our sender address", enhanced=r"1\.(?:7|8|9|90)"),
    Rule(Verdict.REFUSED, "code: the account is disabled", enhanced=r"7\.13"),
    Rule(
        Verdict.REFUSED,
        "code: policy, dressed up as an unknown user",
        words.NOBODY_OR_LABEL,
        enhanced=_POLICY,
    ),
    Rule(Verdict.SENDER_FAULT, "code: security or policy", enhanced=_POLICY, code=r"5..|0"),
    Rule(Verdict.REFUSED, "code: the mailbox is full", enhanced=r"2\.2"),
    Rule(Verdict.REFUSED, "code: the mail is too big", enhanced=r"2\.3|3\.4"),
)
_THE_READER_IS_GONE = (
    Rule(Verdict.DEAD, "no such domain", words.NO_DOMAIN),
    Rule(Verdict.SLOW_DOWN, "the server closes the connection", code=r"421"),
    Rule(Verdict.RETRY, "trouble at the server", words.TROUBLE),
    Rule(Verdict.DEAD, "code: no way to the domain", enhanced=r"4\.(?:4|310)"),
    Rule(Verdict.REFUSED, "an unknown user, but the code withholds the cause", words.LABEL, enhanced=r"0\.0"),
    Rule(Verdict.DEAD, "an unknown user, said to RCPT", words.LABEL_AT_RCPT),
    Rule(Verdict.REFUSED, "code: the mailbox is closed", enhanced=r"2\.[1-9]\d*"),
    Rule(Verdict.DEAD, "an unknown user, and the code is about the address", words.LABEL, enhanced=r"1\.\d+"),
    Rule(Verdict.DEAD, "an unknown user, said of the path", words.LABEL_OF_PATH),
    Rule(Verdict.REFUSED, "an unknown user, without proof", words.LABEL),
    Rule(Verdict.DEAD, "no such mailbox", words.NOBODY),
    Rule(Verdict.DEAD, "address rejected", words.ADDRESS_REJECTED, enhanced=r"1\.0"),
)
_THE_REST_BY_CODE = (
    Rule(Verdict.REFUSED, "code: the content", enhanced=r"6\.\d+"),
    Rule(Verdict.SENDER_FAULT, "turned away without a reason", words.REJECTED, code=r"5.."),
    Rule(Verdict.SLOW_DOWN, "code: security or policy, for now", enhanced=_POLICY),
    Rule(Verdict.SENDER_FAULT, "code: wants a login", code=r"53[0458]|454"),
    Rule(Verdict.DEAD, "code: the domain takes no mail", code=r"556"),
    Rule(Verdict.REFUSED, "refused for a reason that no rule knows", code=r"5.."),
    Rule(Verdict.RETRY, "not now"),
)

RULES: Final = (
    *_OF_THE_MOMENT,
    *_THE_READER_IS_THERE,
    *_WE_ARE_AT_FAULT,
    *_CODES_THAT_SETTLE_IT,
    *_THE_READER_IS_GONE,
    *_THE_REST_BY_CODE,
)
