"""What an SMTP reply means: a verdict and its reason, from the code, the enhanced code and the text."""

import re
from dataclasses import dataclass

from alerts.mail.reply_rules import RULES, Verdict
from alerts.mail.reply_text import enhanced, scrub, words

__all__ = ["Judgement", "Verdict", "classify", "enhanced", "judge", "scrub"]

_CODE_OF_LINE = re.compile(r"(?:^|\bsaid:|;)\s*([2-5]\d\d)(?=[\s-]|$)-?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Judgement:
    verdict: Verdict
    why: str  # names the rule in the same words each time; never the server's text


def judge(code: int, text: str, *, at_rcpt: bool = False) -> Judgement:
    """Judges any reply and never raises; `text` is what follows the code, all lines of it.

    `at_rcpt` says that the reply answered RCPT TO: "unknown user" is believed there without further proof.
    A code of 0 stands for none: then the text alone is judged, and what is unclear is tried again.
    """
    first_digit = code // 100
    if first_digit in (2, 3):
        return Judgement(Verdict.ACCEPTED, "the server took it")
    status = enhanced(text) or ""
    said = words(text) + (" rcpt" if at_rcpt else "")
    rule = next(rule for rule in RULES if rule.fits(str(code), status[2:], said))
    outcome = str(first_digit) if first_digit in (4, 5) else status[:1]
    return Judgement(_tempered(rule.verdict, outcome, status), rule.why)


def classify(line: str) -> Judgement:
    """Judges a whole reply as it stands in a log, such as "550 5.1.1 <jo@reader.example>: unknown"."""
    found = _CODE_OF_LINE.search(line)
    return judge(int(found[1]), line[found.end() :]) if found else judge(0, line)


def _tempered(verdict: Verdict, outcome: str, status: str) -> Verdict:
    """Lets no temporary reply be final, and no final one be tried again as it is (RFC 5321, 4.2.1)."""
    match verdict, outcome:
        case ((Verdict.DEAD | Verdict.REFUSED), "4"):
            return Verdict.RETRY
        case Verdict.RETRY, "5":
            return Verdict.REFUSED
        case Verdict.DEAD, "5" if status.startswith("4"):  # two halves that disagree prove nothing
            return Verdict.REFUSED
        case _:
            return verdict
