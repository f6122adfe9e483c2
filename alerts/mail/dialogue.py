"""One connection's dialogue with a relay: mails in, outcomes out.

    MAIL RCPT DATA ──354──> content, MAIL RCPT DATA of the next ──250, 354──> content, MAIL RCPT DATA ...

Where the server offers PIPELINING (RFC 2920), a mail's content and the next one's envelope leave in one
write: one round trip a mail. DATA stays the last command of its group, so that never more than one mail a
connection is in doubt. Some servers offer it and yet take nothing behind a content, for fear of smuggled
mail: there the envelope waits for the content's reply. Others drop what follows any command. Where it is
not offered, or does not work, each command waits for its reply (RFC 5321). There is no task, future or
timer per mail: replies call the next step.
"""

import asyncio
from collections.abc import Callable
from enum import Enum
from math import inf
from typing import Literal, Protocol

from alerts.failpoints import reach
from alerts.mail.smtp import InDoubt, Mail, Outcome, Replied, Stage, Unsent

_READ_BYTES = 8192  # asyncio's own reading allocates 256 KiB each time
_REPLY_LIMIT = 32_768  # bytes of one reply, all lines of it
_PIECE = 64 * 1024  # how much content is written between two looks at the fence
_OK = 250
_GO_AHEAD = 354
CLOSING = 421
_BAD_SEQUENCE = 503

# What a server that does not offer it would say (RFC 6531, 3.5); without it the name cannot be written.
_NO_UTF8 = Replied("RCPT", 553, "5.6.7 the relay offers no SMTPUTF8")

# What the next reply is about; "" while nothing is under way.
_Awaited = Stage | Literal["", "RSET", "empty"]


class End(Enum):
    """How a connection ended."""

    SOUND = "it had answered for a mail, nothing was under way, or it was our doing"
    IN_VAIN = "the server ended it with a mail under way, and had not answered for any"
    SILENT = "the same, and we waited for an answer as long as we do"


class Desk(Protocol):
    """Who has the mails: a transport."""

    @property
    def takes_riders(self) -> bool:
        """Whether the server lets an envelope ride behind a content, as far as is known."""

    def take_no_riders(self) -> None:
        """Hears that the server refused or dropped an envelope that rode, or a connection was lost over one."""

    def take_no_groups(self) -> None:
        """Hears that the server dropped commands that came in one write with another."""

    def next_mail(self) -> Mail | None:
        """Gives the mail to send next over this connection, if there is one."""

    def tell(self, mail: Mail, outcome: Outcome) -> None:
        """Passes on what became of a mail."""

    def give_back(self, mail: Mail, reason: str, *, is_sent_away: bool) -> None:
        """Takes back a mail that certainly did not go out.

        It was sent away with the connection when that had carried others: then the word was not about it.
        """

    def rests(self, dialogue: "Dialogue") -> None:
        """Hears that nothing is under way any more; `start` begins again."""

    def ended(self, dialogue: "Dialogue", how: "End") -> None:
        """Hears, once, that the connection is gone and all its mails are told."""


class Dialogue(asyncio.BufferedProtocol):
    """Carries one mail after another over an open connection; time-outs in seconds."""

    def __init__(
        self,
        transport: asyncio.Transport,
        desk: Desk,
        *,
        is_pipelined: bool,
        takes_utf8: bool,
        reply_timeout: float,
        final_timeout: float,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._desk = desk
        self._is_pipelined = is_pipelined
        self._takes_utf8 = takes_utf8
        self._reply_timeout = reply_timeout
        self._final_timeout = final_timeout
        self._room = memoryview(bytearray(_READ_BYTES))  # asyncio's TLS slices it, and must not get a copy
        self._rest = b""  # of a line that has not come whole
        self._lines: list[bytes] = []  # of a reply of which more is to come
        self._awaited: _Awaited = ""
        self._sent: Mail | None = None  # its content went out, at least in part: in doubt if we lose the line
        self._asked: Mail | None = None  # its envelope went out: certain not to be sent if we lose the line
        self._refusal: Replied | None = None  # the first no to what is asked
        self._is_sender_refused = False
        self._rode = False  # what is asked went out behind a content
        self._is_fresh = True  # nothing of an earlier mail stands in the session
        self._carried = 0
        self._unwritten = b""  # of a large content, behind the server's pace
        self._is_paused = False
        self._is_over = False
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = inf  # when the timer looks at the deadline
        transport.set_protocol(self)

    @property
    def is_busy(self) -> bool:
        return self._awaited != ""

    @property
    def is_over(self) -> bool:
        return self._is_over

    @property
    def mails(self) -> list[Mail]:
        """The mails that are on the wire."""
        return [mail for mail in (self._sent, self._asked) if mail is not None]

    def start(self) -> None:
        """Begins with the desk's next mail; call it when nothing is under way."""
        self._ask_next()

    def end(self, reason: str, how: End = End.IN_VAIN) -> None:
        """Drops the connection, and tells every mail on it what is certain of it."""
        if self._is_over:
            return
        was_busy = self.is_busy
        if self._rode and self._asked is not None and self._sent is not None:
            self._desk.take_no_riders()  # or the mail in doubt could be lost over the next one again
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        self._transport.abort()
        sent, asked = self._sent, self._asked
        self._sent = self._asked = None
        self._awaited = ""
        if sent is not None:
            self._desk.tell(sent, InDoubt(reason))
        if asked is not None:
            self._let_go(asked, reason)
        self._desk.ended(self, how if was_busy and not self._carried else End.SOUND)

    def _let_go(self, mail: Mail, reason: str) -> None:
        """Tells a mail whose content did not go out of its refusal, or gives it back where there was none."""
        if self._refusal is None or self._is_out_of_sequence(self._refusal):
            self._desk.give_back(mail, reason, is_sent_away=self._carried > 0)
        else:
            self._carried += 1
            self._desk.tell(mail, self._refusal)

    def hand_over(self, protocol: asyncio.BaseProtocol) -> None:
        """Gives the connection, on which nothing is under way, to another protocol."""
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        self._transport.set_protocol(protocol)

    # --- what asyncio calls ----------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        lines = (self._rest + bytes(self._room[:nbytes])).split(b"\n")
        self._rest = lines.pop()
        if self._awaited == "content" and self._asked is not None and _is_smooth(lines) and not self._lines:
            self._take_group(lines[0])
            return
        for line in lines:
            if self._is_over:
                return
            if line[3:4] == b"-":
                self._lines.append(line)
            else:
                self._take(line)
        if len(self._rest) + sum(map(len, self._lines)) > _REPLY_LIMIT:
            self.end("the reply was too long")

    def eof_received(self) -> bool:
        self.end("the server closed")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(type(exc).__name__ if exc else "the server closed")

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        if self._unwritten:
            self._guarded(self._write_on)

    # --- replies, strictly in the order of what was asked ------------------------------------------------

    def _take_group(self, line: bytes) -> None:
        """Takes the four replies to a content and the next envelope at once: so nearly all mail goes."""
        reach("smtp.replied")
        mail, self._sent = self._sent, None
        assert mail is not None, "its content was sent"
        self._carried += 1
        self._desk.tell(mail, self._replied("content", _OK, line))
        if self._is_over:
            return
        reach("smtp.mail")
        reach("smtp.rcpt")
        reach("smtp.data")
        self._guarded(self._write_content)

    def _take(self, line: bytes) -> None:
        """Takes the last line of a reply."""
        code = int(line[:3]) if line[:3].isdigit() else 0
        awaited = self._awaited
        if not code or not awaited:
            # Nothing was asked (a server that is about to close says so), or this is no SMTP.
            self.end("sent away" if code == CLOSING else "the reply could not be read")
        elif not _answers(code, awaited):
            self.end("the reply answers no question")
        elif awaited == "content" and self._unwritten:
            self._take_early(code, line)
        elif awaited == "content":
            self._take_final(code, line)
        elif awaited == "MAIL":
            self._take_mail(code, line)
        elif awaited == "RCPT":
            self._take_rcpt(code, line)
        elif awaited == "DATA":
            self._take_data(code, line)
        elif awaited == "empty":
            self._lines.clear()
            self._refuse()
        else:
            self._take_reset(code)

    def _take_reset(self, code: int) -> None:
        self._lines.clear()
        if code == CLOSING:
            self.end("sent away")
            return
        self._await("MAIL", self._reply_timeout)
        if not self._is_pipelined:
            self._guarded(self._write_mail)

    def _take_mail(self, code: int, line: bytes) -> None:
        reach("smtp.mail")
        if not 200 <= code < 300:  # noqa: PLR2004 - RFC 5321, 4.2.1
            if code == CLOSING and self._carried:
                # RFC 5321, 3.8: the word is about the connection, which has carried its share.
                self.end("sent away")
                return
            self._is_sender_refused = True
            if self._note_refusal("MAIL", code, line):
                return
        self._lines.clear()
        self._await("RCPT", self._reply_timeout)
        if not self._is_pipelined:
            self._guarded(self._write_rcpt)

    def _take_rcpt(self, code: int, line: bytes) -> None:
        reach("smtp.rcpt")
        if not 200 <= code < 300:  # noqa: PLR2004 - RFC 5321, 4.2.1
            self._is_sender_refused = False  # nobody was named: an empty mail would reach nobody
            if self._note_refusal("RCPT", code, line):
                return
        self._lines.clear()
        self._await("DATA", self._reply_timeout)
        if not self._is_pipelined:
            self._guarded(self._write_data)

    def _take_data(self, code: int, line: bytes) -> None:
        reach("smtp.data")
        if code != _GO_AHEAD:
            if not self._note_refusal("DATA", code, line):
                self._refuse()
        elif self._refusal is None:
            self._lines.clear()
            self._guarded(self._write_content)
        elif self._is_sender_refused:
            self._lose_face()
        else:
            # RFC 2920, 3.1: nobody was accepted, and yet the server waits: an empty mail, for nobody.
            self._lines.clear()
            self._transport.write(b".\r\n")
            self._await("empty", self._final_timeout)

    def _take_early(self, code: int, line: bytes) -> None:
        """Takes a reply that came before the content's end: a no is believed, and nothing can follow here.

        A yes to half a mail is none: the mail stays in doubt.
        """
        mail = self._sent
        assert mail is not None, "its content is being written"
        if not 200 <= code < 300:  # noqa: PLR2004 - RFC 5321, 4.2.1
            self._sent = None
            self._desk.tell(mail, self._replied("content", code, line))
        self.end("answered before the end")

    def _take_final(self, code: int, line: bytes) -> None:
        reach("smtp.replied")
        mail, self._sent = self._sent, None
        assert mail is not None, "its content was sent"
        self._carried += 1
        self._desk.tell(mail, self._replied("content", code, line))
        if self._is_over:
            return
        if code == CLOSING:
            self.end("sent away")
        elif self._asked is None:
            self._ask_next()
        else:
            self._await("MAIL", self._reply_timeout)

    def _note_refusal(self, stage: Stage, code: int, line: bytes) -> bool:
        """Keeps the first no; says whether that ended the mail, because no other reply is to come."""
        replied = self._replied(stage, code, line)
        self._refusal = self._refusal or replied
        if code == CLOSING:
            self._carried += stage != "MAIL"  # there it is as good as no connection
            mail, self._asked = self._asked, None
            assert mail is not None, "it was asked for"
            self._desk.tell(mail, self._refusal)
            self.end("sent away")
            return True
        if self._is_pipelined or stage == "DATA":
            return False
        self._refuse()
        return True

    def _refuse(self) -> None:
        """Tells the mail that was asked for of its refusal, and goes on with the next."""
        mail, refusal = self._asked, self._refusal
        self._asked = self._refusal = None
        self._is_sender_refused = self._is_fresh = False
        assert mail is not None, "it was asked for"
        assert refusal is not None, "it was noted"
        self._carried += 1
        if self._is_out_of_sequence(refusal):
            self._desk.take_no_riders()
            self._desk.give_back(mail, "out of sequence", is_sent_away=True)
        else:
            self._desk.tell(mail, refusal)
        if not self._is_over:
            self._ask_next()

    def _is_out_of_sequence(self, refusal: Replied) -> bool:
        """Whether a refusal is no word on the mail, but on its envelope's having come with a content."""
        return self._rode and refusal.stage == "MAIL" and refusal.code == _BAD_SEQUENCE

    def _lose_face(self) -> None:
        """Leaves a server that took a recipient after it refused the sender: it might deliver an empty mail."""
        mail, self._asked = self._asked, None
        assert mail is not None, "it was asked for"
        assert self._refusal is not None, "it was noted"
        self._desk.tell(mail, self._refusal)
        self.end("the server contradicts itself")

    def _replied(self, stage: Stage, code: int, line: bytes) -> Replied:
        if not self._lines:
            return Replied(stage, code, line[4:].strip().decode("utf-8", "surrogateescape"))
        lines = [each[4:].strip() for each in (*self._lines, line)]
        self._lines.clear()
        return Replied(stage, code, b"\n".join(lines).decode("utf-8", "surrogateescape"))

    # --- what is asked, each write behind the mail's fence ------------------------------------------------

    def _ask_next(self) -> None:
        mail = self._asked = self._next_mail()
        if mail is None:
            self._awaited = ""
            self._desk.rests(self)
            return
        self._refusal, self._rode = None, False
        is_fresh, self._is_fresh = self._is_fresh, True
        self._await("MAIL" if is_fresh else "RSET", self._reply_timeout)
        if self._is_pipelined:
            self._transport.write((b"" if is_fresh else b"RSET\r\n") + _envelope(mail))
        elif is_fresh:
            self._guarded(self._write_mail)
        else:
            self._transport.write(b"RSET\r\n")

    def _next_mail(self) -> Mail | None:
        """Gives the next mail whose fence is open; tells the others that they were not sent."""
        while (mail := self._desk.next_mail()) is not None:
            try:
                mail.check()
            except Exception as error:  # noqa: BLE001 - whatever the fence says, this one is not written
                self._desk.tell(mail, Unsent(type(error).__name__))
            else:
                if self._takes_utf8 or mail.recipient.isascii():
                    return mail
                self._desk.tell(mail, _NO_UTF8)
        return None

    def _write_mail(self) -> None:
        mail = self._mail_asked()
        mail.check()
        self._transport.write(_mail_line(mail))

    def _write_rcpt(self) -> None:
        mail = self._mail_asked()
        mail.check()
        self._transport.write(b"RCPT TO:<%b>\r\n" % mail.recipient)

    def _write_data(self) -> None:
        self._mail_asked().check()
        self._transport.write(b"DATA\r\n")

    def _write_content(self) -> None:
        """Writes the content, and the next mail's envelope behind it where that is offered."""
        mail = self._mail_asked()
        mail.check()
        content = mail.content()
        mail.begin()
        self._sent, self._asked = mail, None
        if len(content) > _PIECE:
            self._unwritten = content
            self._write_on()
        else:
            self._transport.writelines((content, self._tail()))
        reach("smtp.content")
        self._await("content", self._final_timeout)

    def _write_on(self) -> None:
        """Writes a large content piece by piece, as far as the server keeps pace."""
        while self._unwritten and not self._is_paused and not self._is_over:
            assert self._sent is not None, "its content is being written"
            self._sent.check()
            piece, self._unwritten = self._unwritten[:_PIECE], self._unwritten[_PIECE:]
            self._transport.write(piece if self._unwritten else piece + self._tail())

    def _tail(self) -> bytes:
        """Gives what follows a content: its end and, where pipelined, the envelope of the next mail."""
        may_ride = self._is_pipelined and self._desk.takes_riders
        mail = self._asked = self._next_mail() if may_ride else None
        self._refusal, self._rode = None, True
        return b".\r\n" if mail is None else b".\r\n" + _envelope(mail)

    def _guarded(self, write: Callable[[], None]) -> None:
        """Writes; a fence that shut, or a mail that cannot be made or written down, ends the connection."""
        try:
            write()
        except Exception as error:  # noqa: BLE001 - a lost lease, a full disk, a defect: all end this mail here
            self.end(type(error).__name__, End.SOUND)

    def _mail_asked(self) -> Mail:
        assert self._asked is not None, "a mail is asked for"
        return self._asked

    # --- waiting -------------------------------------------------------------------------------------------

    def _await(self, awaited: _Awaited, seconds: float) -> None:
        self._awaited = awaited
        self._deadline = self._loop.time() + seconds
        if self._looks_at > self._deadline:
            self._set_timer()

    def _set_timer(self) -> None:
        """One timer a connection, which looks again at the deadline as it then is: setting one a mail is dear."""
        if self._timer is not None:
            self._timer.cancel()
        self._looks_at = self._deadline
        self._timer = self._loop.call_at(self._deadline, self._look_at_deadline)

    def _look_at_deadline(self) -> None:
        self._timer, self._looks_at = None, inf
        if not self._awaited:
            return
        if self._loop.time() >= self._deadline:
            how = End.SOUND if self._learns_from_silence() else End.SILENT
            self.end("the server did not answer in time", how)
        else:
            self._set_timer()

    def _learns_from_silence(self) -> bool:
        """Takes it that a server which answered the first of what came in one write dropped the rest."""
        if not self._is_pipelined or self._asked is None or self._sent is not None:
            return False
        if self._awaited in {"RCPT", "DATA"}:
            self._desk.take_no_groups()
            return True
        if self._rode:
            self._desk.take_no_riders()
        return self._rode


def _answers(code: int, awaited: _Awaited) -> bool:
    """Whether a reply can be one to what is awaited: a yes to another question must not count as one to this.

    RFC 5321, 4.3.2: DATA is the one command that is answered with a 3yz, and never with a 2yz.
    """
    if awaited == "DATA":
        return code == _GO_AHEAD or 400 <= code < 600  # noqa: PLR2004 - RFC 5321, 4.2.1
    return 200 <= code < 300 or 400 <= code < 600  # noqa: PLR2004 - RFC 5321, 4.2.1


def _is_smooth(lines: list[bytes]) -> bool:
    """Whether these are the four replies of a group in which all went well, each of one line."""
    return (
        len(lines) == 4  # noqa: PLR2004 - content, MAIL, RCPT, DATA
        and lines[0].startswith(b"250 ")
        and lines[1].startswith(b"250 ")
        and lines[2].startswith(b"250 ")
        and lines[3].startswith(b"354 ")
    )


def _envelope(mail: Mail) -> bytes:
    return b"%bRCPT TO:<%b>\r\nDATA\r\n" % (_mail_line(mail), mail.recipient)


def _mail_line(mail: Mail) -> bytes:
    if mail.recipient.isascii():
        return b"MAIL FROM:<%b>\r\n" % mail.sender
    return b"MAIL FROM:<%b> BODY=8BITMIME SMTPUTF8\r\n" % mail.sender  # RFC 6531, 3.4: To says it, too
