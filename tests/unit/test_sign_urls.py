"""Keys for links that become others: new links are signed with the new one, old ones are good until they expire."""

from datetime import UTC, datetime, timedelta

import pytest

from service.domain.errors import ImageNotFound
from service.domain.signed_urls import sign
from service.domain.stored_images import new_image_id
from service.usecases.images.sign_urls import SignUrls

NAME = new_image_id("search", "png", "0123456789abcdef" * 2) + ".png"
ONE, TWO, THREE = (letter.encode() * 32 for letter in "abc")
HOUR = 3600


class Site:
    def __init__(self, *keys: bytes) -> None:
        self.keys: tuple[bytes, ...] = keys
        self.now = datetime(2026, 11, 21, tzinfo=UTC)
        self.links = SignUrls(signing_keys=lambda: self.keys, url_seconds=HOUR, now=lambda: self.now)

    @property
    def at(self) -> int:
        return int(self.now.timestamp())

    def rotate(self, *keys: bytes) -> None:
        self.keys = keys
        self.links.reload_keys()

    def good(self, key: bytes, expires: int) -> bool:
        """Is a link good that the key signed?"""
        try:
            return self.links.check(NAME, str(expires), sign(key, NAME, expires), self.at) == expires
        except ImageNotFound:
            return False


def test_the_first_key_signs_and_each_checks() -> None:
    site = Site(ONE, TWO)
    assert site.links.sign(NAME, 9) == sign(ONE, NAME, 9)
    until = site.at + HOUR
    assert [site.good(key, until) for key in (ONE, TWO, THREE)] == [True, True, False]


def test_a_key_that_was_taken_away_checks_until_its_last_link_has_expired() -> None:
    site = Site(ONE)
    until = site.at + HOUR
    site.rotate(TWO)
    assert site.links.sign(NAME, until) == sign(TWO, NAME, until)
    site.now += timedelta(seconds=HOUR - 1)
    assert site.good(ONE, until)
    site.now += timedelta(seconds=2)
    assert not site.good(ONE, site.at + HOUR)
    assert site.good(TWO, site.at + HOUR)


def test_two_rotations_within_the_hour_break_no_link() -> None:
    site = Site(ONE)
    first = site.at + HOUR
    site.rotate(TWO)
    site.now += timedelta(minutes=10)
    second = site.at + HOUR
    site.rotate(THREE)
    assert (site.good(ONE, first), site.good(TWO, second)) == (True, True)
    site.now += timedelta(minutes=55)
    site.rotate(THREE, TWO)
    assert (site.good(ONE, site.at + 1), site.good(TWO, second)) == (False, True)


@pytest.mark.parametrize("keys", [(ONE,), (ONE, TWO)])
def test_a_key_that_comes_back_is_not_on_its_way_out(keys: tuple[bytes, ...]) -> None:
    site = Site(ONE)
    site.rotate(TWO)
    site.rotate(*keys)
    site.now += timedelta(days=1)
    assert site.good(ONE, site.at + HOUR)
