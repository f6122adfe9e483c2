"""From openings to mails: each variant is rendered once, stored, and stamped for its readers."""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlmodel import Session

from alerts.audience.tokens import Keys, Purpose, make, make_tag, message_id
from alerts.db import Database, clock
from alerts.dispatch import content
from alerts.dispatch.content import Content
from alerts.dispatch.digests import content as digests
from alerts.dispatch.opening import Opening
from alerts.dispatch.wording import Choice
from alerts.failpoints import reach
from alerts.mail import dkim
from alerts.mail.compose import Fillings, Headers, compose, fillings, pack, prepare, unpack
from alerts.mail.dkim import Signable, Signer
from alerts.mail.render import Rendered, Renderer, SiteView
from alerts.models import Alert

_CACHED_VARIANTS = 64
_CACHED_DIGESTS = 4  # whose texts are kept from one chunk to the next
_RENDERED_AT_ONCE = 32  # variants


def site_headers(site: SiteView, released_at: datetime) -> Headers:
    """Gives what the head of each of a site's alert mails says; its Date is the alert's release."""
    domain = site.sender.rpartition("@")[2]
    return Headers(
        sender_name=site.sender_name,
        sender=site.sender,
        date=released_at,
        list_id=f"alerts.{domain}",
        list_name=site.name,
        base_url=site.base_url,
    )


class ReturnPath:
    """The envelope's sender: one address for all mails, or one with a tag for each behind `sign` (VERP).

    A bounce comes back to it, so that the tag says whose mail it is about, whatever else the bounce says.
    """

    def __init__(self, address: str, sign: str, keys: Keys) -> None:
        name, _, domain = address.rpartition("@")
        self._whole = address.encode("ascii")
        self._before = f"{name}{sign}" if sign else ""
        self._after = f"@{domain}"
        self._keys = keys

    def of(self, subscriber_id: int, alert_id: int, key_id: int) -> bytes:
        """Gives the sender of one mail, always the same; raises ConfigError when its key is gone."""
        if not self._before:
            return self._whole
        tag = make_tag(self._keys, subscriber_id, alert_id, key_id)
        return f"{self._before}{tag}{self._after}".encode("ascii")


def notice_headers(site: SiteView, made_at: datetime) -> Headers:
    """Gives what the head of a site's notice says: no list's mail, and its Date is when it was asked for."""
    return replace(site_headers(site, made_at), list_id="", list_name="")


@dataclass(frozen=True, slots=True)
class Sealed:
    """What makes a prepared mail one reader's: its sender, what fills its holes, and its signatures."""

    sender: bytes
    own: Fillings
    signature: bytes


def stamp(prepared: Signable, sealed: Sealed) -> bytes:
    """Gives one reader's mail."""
    return compose(prepared.prepared, sealed.own, signature=sealed.signature)


def in_parts(openings: Sequence[Opening]) -> Iterator[Sequence[Opening]]:
    """Gives a chunk's openings in parts that need few variants each, all who share one together.

    A digest may have a variant for nearly every reader, and they need not be in memory at once.
    """
    if len({opening.variant for opening in openings}) <= _RENDERED_AT_ONCE:
        yield openings
        return
    by_variant: dict[str, list[Opening]] = {}
    for opening in openings:
        by_variant.setdefault(opening.variant, []).append(opening)
    variants = [*by_variant.values()]
    for start in range(0, len(variants), _RENDERED_AT_ONCE):
        yield [opening for some in variants[start : start + _RENDERED_AT_ONCE] for opening in some]


class Composer:
    """Makes the mails of a chunk; keeps the last prepared variants, so that a batch renders nothing."""

    def __init__(
        self,
        database: Database,
        renderer: Renderer,
        site: SiteView,
        keys: Keys,
        return_path: ReturnPath,
        signers: Sequence[Signer] = (),
    ) -> None:
        self._db = database
        self._renderer = renderer
        self._site = site
        self._keys = keys
        self._return_path = return_path
        self._signers = signers
        self._prepared: OrderedDict[tuple[int, str], Signable] = OrderedDict()
        self._pieces: OrderedDict[int, digests.Pieces] = OrderedDict()

    async def prepare(self, alert_id: int, openings: Sequence[Opening]) -> Mapping[str, Signable]:
        """Gives the prepared bytes of each variant the openings need, committed before they are used."""
        choices = {opening.variant: opening.choice for opening in openings}
        # What is kept may be forgotten while others are prepared: a chunk can have more variants than that.
        prepared = {
            variant: self._prepared[alert_id, variant]
            for variant in choices
            if (alert_id, variant) in self._prepared
        }
        missing = [variant for variant in choices if variant not in prepared]
        if missing:
            packed = await self._db.run(content.stored, alert_id, missing)
            new = {variant: choices[variant] for variant in missing if variant not in packed}
            if new:
                packed |= await self._render(alert_id, new)
            for variant in missing:
                signable = dkim.prepare(self._signers, unpack(packed[variant]))
                prepared[variant] = self._keep(alert_id, variant, signable)
        return prepared

    def seal(self, alert_id: int, prepared: Signable, opening: Opening) -> Sealed:
        """Makes and signs what is one reader's, in any thread; always the same for the same delivery.

        Refused when the address cannot stand on the wire; ConfigError when a key that was pinned is gone.
        """
        own = fillings(
            opening.address,
            message_id(self._keys, alert_id, opening.subscriber_id),
            make(self._keys, Purpose.MANAGE, opening.subscriber_id, alert_id, opening.key_id),
        )
        sender = self._return_path.of(opening.subscriber_id, alert_id, opening.key_id)
        return Sealed(sender, own, dkim.sign(prepared, own))

    def seal_all(
        self, alert_id: int, prepared: Mapping[str, Signable], openings: Sequence[Opening]
    ) -> list[tuple[Opening, Sealed | Exception]]:
        """Seals a mail for each opening, in any thread; what went wrong with one stands in its place."""
        return [
            (opening, self._sealed_or_why_not(alert_id, prepared[opening.variant], opening))
            for opening in openings
        ]

    def _sealed_or_why_not(self, alert_id: int, prepared: Signable, opening: Opening) -> Sealed | Exception:
        try:
            return self.seal(alert_id, prepared, opening)
        except Exception as error:  # noqa: BLE001 - it is told where the chunk is handed over
            return error

    async def _render(self, alert_id: int, choices: Mapping[str, Choice]) -> Mapping[str, bytes]:
        """Renders variants, a few at once, and keeps them in one transaction; gives the bytes that are kept."""
        pieces = self._pieces.setdefault(alert_id, {})
        self._pieces.move_to_end(alert_id)
        while len(self._pieces) > _CACHED_DIGESTS:
            self._pieces.popitem(last=False)
        loaded = await self._db.run(_load, alert_id, choices.keys(), pieces)
        if isinstance(loaded, digests.Digest):
            # Hundreds of variants may be rendered for a chunk: the wire and the leases go on meanwhile.
            rendered = await asyncio.to_thread(self._render_digest, loaded)
        else:
            rendered = {
                variant: self._packed(self._renderer.render(loaded.view(choice)), loaded.released_at)
                for variant, choice in choices.items()
            }
        kept = await self._db.run(_store, alert_id, rendered)
        reach("body.committed")
        return kept

    def _render_digest(self, digest: digests.Digest) -> dict[str, bytes]:
        return {
            variant: self._packed(self._renderer.render_digest(view), digest.released_at)
            for variant, view in digest.views.items()
        }

    def _packed(self, rendered: Rendered, released_at: datetime) -> bytes:
        prepared = prepare(rendered, site_headers(self._site, released_at))
        return pack(dkim.pin(prepared, self._signers, released_at))

    def _keep(self, alert_id: int, variant: str, prepared: Signable) -> Signable:
        self._prepared[alert_id, variant] = prepared
        while len(self._prepared) > _CACHED_VARIANTS:
            self._prepared.popitem(last=False)
        return prepared


def _load(
    session: Session, alert_id: int, variants: Collection[str], pieces: digests.Pieces
) -> Content | digests.Digest:
    alert = session.get(Alert, alert_id)
    assert alert is not None, "asked for by one who holds its batch"
    return (
        digests.load(session, alert, variants, pieces) if alert.window_end else content.load(session, alert)
    )


def _store(session: Session, alert_id: int, rendered: Mapping[str, bytes]) -> Mapping[str, bytes]:
    return content.store(session, alert_id, rendered, clock(session))
