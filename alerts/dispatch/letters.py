"""The bytes of a notice: rendered once, kept in its row, and stamped for the one reader they are for."""

from collections.abc import Mapping, Sequence

from alerts.audience.tokens import Keys, Purpose, make, message_id
from alerts.dispatch.compose import notice_headers
from alerts.dispatch.notices import Claimed
from alerts.mail import dkim
from alerts.mail.compose import compose, fillings, pack, prepare, unpack
from alerts.mail.dkim import Signer
from alerts.mail.render import Renderer
from alerts.mail.views import NoticeView, SiteView
from alerts.models import NoticeKind

PURPOSES: Mapping[NoticeKind, Purpose] = {
    NoticeKind.CONFIRM: Purpose.CONFIRM,
    NoticeKind.LINK: Purpose.OWN,
    NoticeKind.NEW_ADDRESS: Purpose.NEW_ADDRESS,
    NoticeKind.OLD_ADDRESS: Purpose.OLD_ADDRESS,
}
_NO_ALERT = 0  # alerts are numbered from 1: a notice's Message-ID is no delivery's


class Letters:
    """Makes the mails of notices; safe to use from several threads."""

    def __init__(
        self,
        renderer: Renderer,
        site: SiteView,
        keys: Keys,
        envelope_sender: str,
        signers: Sequence[Signer] = (),
    ) -> None:
        self.envelope_sender = envelope_sender.encode("ascii")
        self._renderer = renderer
        self._site = site
        self._keys = keys
        self._signers = signers

    def write(self, claimed: Claimed) -> bytes:
        """Gives a notice's mail without what is the reader's own, as its row keeps it."""
        view = NoticeView(claimed.kind, claimed.language, claimed.topics, claimed.expires_at)
        headers = notice_headers(self._site, claimed.made_at)
        prepared = prepare(self._renderer.render_notice(view), headers)
        return pack(dkim.pin(prepared, self._signers, claimed.made_at))

    def seal(self, claimed: Claimed, segments: bytes) -> tuple[bytes, bytes]:
        """Gives the recipient and the mail; always the same for the same notice and segments.

        Refused when the address cannot stand on the wire; ConfigError when a key that was pinned is gone.
        """
        signable = dkim.prepare(self._signers, unpack(segments))
        own = fillings(
            claimed.address,
            message_id(self._keys, _NO_ALERT, claimed.id),
            make(self._keys, PURPOSES[claimed.kind], claimed.id, 0, claimed.key_id),
        )
        return own.to, compose(signable.prepared, own, signature=dkim.sign(signable, own))
