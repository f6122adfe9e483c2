import hmac
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.audience import tokens
from alerts.audience.tokens import Claim, Purpose
from alerts.errors import ConfigError

KEYS = tokens.derive(b"the secret of today, long enough", ())
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
ids = st.integers(min_value=0, max_value=2**48 - 1)


@given(ids, ids)
def test_a_token_is_43_url_safe_characters_and_reads_back(subscriber_id: int, alert_id: int) -> None:
    token = tokens.make(KEYS, Purpose.MANAGE, subscriber_id, alert_id, KEYS.current)
    assert len(token) == 43
    assert set(token) <= set(ALPHABET)
    assert tokens.read(KEYS, token) == Claim(Purpose.MANAGE, subscriber_id, alert_id, 1)


@given(ids, ids, st.integers(0, 42), st.sampled_from(ALPHABET) | st.characters())
def test_any_other_character_anywhere_is_refused(
    subscriber_id: int, alert_id: int, place: int, other: str
) -> None:
    token = tokens.make(KEYS, Purpose.MANAGE, subscriber_id, alert_id, 1)
    altered = token[:place] + other + token[place + 1 :]
    assert (tokens.read(KEYS, altered) is not None) == (altered == token)


def test_every_other_spelling_of_the_last_character_is_refused() -> None:
    token = tokens.make(KEYS, Purpose.MANAGE, 4711, 17, 1)
    spellings = [token[:-1] + last for last in ALPHABET]
    assert [each for each in spellings if tokens.read(KEYS, each)] == [token]


@given(st.text(max_size=60))
def test_no_text_makes_read_fail(text: str) -> None:
    assert tokens.read(KEYS, text) is None


@pytest.mark.parametrize("around", ["{}=", " {}", "{}\n", "{}A", "\ud800{}"])
def test_a_token_with_anything_around_it_is_refused(around: str) -> None:
    assert tokens.read(KEYS, around.format(tokens.make(KEYS, Purpose.MANAGE, 1, 2, 1))) is None


def test_a_new_secret_keeps_old_links_message_ids_and_suppressions() -> None:
    rotated = tokens.derive(b"the secret of tomorrow", (b"the secret of today, long enough",))
    old_link = tokens.make(KEYS, Purpose.MANAGE, 5, 6, KEYS.current)
    assert rotated.current == 2
    assert tokens.read(rotated, old_link) == Claim(Purpose.MANAGE, 5, 6, 1)
    assert tokens.make(rotated, Purpose.MANAGE, 5, 6, 1) == old_link
    assert tokens.make(rotated, Purpose.MANAGE, 5, 6, 2) != old_link
    assert tokens.message_id(rotated, 6, 5) == tokens.message_id(KEYS, 6, 5)
    assert tokens.address_hash(rotated.pepper, "ana@example.org") == tokens.address_hash(
        KEYS.pepper, "ana@example.org"
    )


def test_another_site_reads_nothing_of_ours() -> None:
    other = tokens.derive(b"the secret of somebody else", ())
    assert tokens.read(other, tokens.make(KEYS, Purpose.MANAGE, 1, 2, 1)) is None
    assert tokens.message_id(other, 1, 2) != tokens.message_id(KEYS, 1, 2)
    assert tokens.address_hash(other.pepper, "a@example.org") != tokens.address_hash(
        KEYS.pepper, "a@example.org"
    )


def test_a_token_of_a_purpose_that_we_do_not_know_is_refused() -> None:
    # As a later version, gone back from, could have made it: the MAC is right.
    token = tokens.make(KEYS, cast("Purpose", 200), 1, 2, 1)
    assert tokens.read(KEYS, token) is None


def test_a_missing_secret_is_said_and_not_replaced() -> None:
    with pytest.raises(ConfigError, match="secret number 2"):
        tokens.make(KEYS, Purpose.MANAGE, 1, 2, 2)


@pytest.mark.parametrize("bad", [-1, 2**48])
def test_an_id_that_does_not_fit_is_not_cut(bad: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        tokens.make(KEYS, Purpose.MANAGE, bad, 1, 1)
    with pytest.raises(ValueError, match="does not fit"):
        tokens.make(KEYS, Purpose.MANAGE, 1, bad, 1)


def test_message_ids_differ_for_pairs_whose_digits_are_the_same() -> None:
    pairs = [(1, 23), (12, 3), (23, 1), (3, 12), (0, 123)]
    assert len({tokens.message_id(KEYS, *pair) for pair in pairs}) == len(pairs)


def test_keys_do_not_print_themselves() -> None:
    shown = repr(KEYS)
    assert KEYS.pepper.hex() not in shown
    assert repr(KEYS.pepper) not in shown
    assert repr(KEYS.tokens[1]) not in shown


@given(st.binary(min_size=1, max_size=64), st.binary(max_size=200))
def test_our_hmac_is_that_of_the_standard(key: bytes, message: bytes) -> None:
    for _ in range(2):  # the state that has read the key is not used up
        assert tokens._hmac_sha256(key, message) == hmac.digest(key, message, "sha256")


@given(ids, ids)
def test_a_bounce_s_tag_reads_back_whatever_case_it_comes_back_in(subscriber_id: int, alert_id: int) -> None:
    tag = tokens.make_tag(KEYS, subscriber_id, alert_id, KEYS.current)
    assert len(tag) == tokens.TAG_LENGTH
    assert tag.isalnum()
    for spelling in (tag, tag.upper(), tag.title()):
        assert tokens.read_tag(KEYS, spelling) == Claim(Purpose.BOUNCE, subscriber_id, alert_id, 1)


@given(ids, ids, st.integers(0, 38), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567") | st.characters())
def test_any_other_letter_in_a_tag_is_refused(
    subscriber_id: int, alert_id: int, place: int, other: str
) -> None:
    tag = tokens.make_tag(KEYS, subscriber_id, alert_id, 1)
    altered = tag[:place] + other + tag[place + 1 :]
    assert (tokens.read_tag(KEYS, altered) is not None) == (altered.isascii() and altered.lower() == tag)


@given(st.text(max_size=50))
def test_no_text_makes_read_tag_fail(text: str) -> None:
    assert tokens.read_tag(KEYS, text) is None


def test_a_tag_is_no_link_and_a_link_no_tag() -> None:
    # As either could have been made with the other's purpose: the MAC is right.
    assert tokens.read(KEYS, tokens.make(KEYS, Purpose.BOUNCE, 5, 6, 1)) is None
    rotated = tokens.derive(b"the secret of tomorrow", (b"the secret of today, long enough",))
    assert tokens.read_tag(rotated, tokens.make_tag(KEYS, 5, 6, 1)) == Claim(Purpose.BOUNCE, 5, 6, 1)
    assert (
        tokens.read_tag(tokens.derive(b"the secret of somebody else", ()), tokens.make_tag(KEYS, 5, 6, 1))
        is None
    )
