"""What a scripted SMTP server is like, and what it does wrong when: rules looked up at points of a dialogue."""

import ssl
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase


class Point(StrEnum):
    BANNER = "banner"
    EHLO = "ehlo"
    HELO = "helo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    MIDDLE = "middle"  # some of the content has come, not its end
    CONTENT = "content"  # the final dot has come
    RSET = "rset"
    NOOP = "noop"
    QUIT = "quit"


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of one or more lines; 421 closes the connection after it, as RFC 5321 3.8 asks."""

    code: int
    lines: tuple[str, ...] = ("",)

    @classmethod
    def of(cls, code: int, *lines: str) -> "Reply":
        return cls(code, lines or ("",))

    def __bytes__(self) -> bytes:
        *first, last = self.lines
        wire = [f"{self.code}-{line}" for line in first] + [f"{self.code} {last}".rstrip()]
        return "".join(f"{line}\r\n" for line in wire).encode()


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection ends without a reply; at CONTENT the mail may have been taken all the same."""

    is_accepted: bool = False


@dataclass(frozen=True, slots=True)
class Hang:
    """No reply, for as long as the client waits; at CONTENT the mail may have been taken all the same."""

    is_accepted: bool = False


Action = Reply | Drop | Hang

PIPELINING = "PIPELINING"
SIZE = "SIZE 10485760"
EIGHT_BIT = "8BITMIME"
UTF8 = "SMTPUTF8"


@dataclass(frozen=True, slots=True)
class Manners:
    """How a server is where its script says nothing else."""

    extensions: tuple[str, ...] = (PIPELINING, SIZE, EIGHT_BIT)
    tls: ssl.SSLContext | None = None
    is_tls_from_start: bool = False  # else STARTTLS is offered
    credentials: tuple[str, str] | None = None  # offered as AUTH, and asked for before MAIL
    delay: float = 0  # seconds from a mail's end to its reply
    is_byte_by_byte: bool = False  # each byte of a reply in a packet of its own
    close_after: int | None = None  # the connection ends after so many mails, without a word
    mails_per_connection: int | None = None  # 421 to the MAIL after


@dataclass(slots=True)
class Rule:
    point: Point
    action: Action
    recipient: str | None = None  # a pattern: "dead*@example.org"
    left: int | None = None  # how many times more; none means always

    def meets(self, point: Point, recipients: tuple[str, ...]) -> bool:
        if point is not self.point or self.left == 0:
            return False
        return self.recipient is None or any(fnmatchcase(each, self.recipient) for each in recipients)


@dataclass(slots=True)
class Script:
    rules: list[Rule] = field(default_factory=list)

    def on(
        self, point: Point, action: Action, *, recipient: str | None = None, times: int | None = None
    ) -> None:
        """From now on, `action` at `point`, for recipients that match, at most `times` times."""
        self.rules.append(Rule(point, action, recipient, times))

    def next(self, point: Point, recipients: tuple[str, ...]) -> Action | None:
        """Gives what the first rule that meets says, and uses it up once; none means behave."""
        for rule in self.rules:
            if rule.meets(point, recipients):
                if rule.left is not None:
                    rule.left -= 1
                return rule.action
        return None
