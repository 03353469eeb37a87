"""Keys while running: issued once, replaced with an overlap, ended for good; and who did it is written down."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from service.domain.errors import InvalidValue, KeyNotFound, LedgerUnavailable, MissingParameter
from service.domain.key_allowances import UNRESTRICTED, Allowance
from service.domain.quota_limits import Limits
from service.domain.team_access import Team, key_digest
from service.usecases.admin.issue_keys import DAY, MAX_OVERLAP_SECONDS, IssueKeys, KeyChanges
from service.usecases.ports.key_store import Actor, IssuedKey
from tests.fakes.builders import NOW, catalog
from tests.fakes.key_store import FakeKeyStore

ADMIN = Actor(name="admin", request_id="req_1")
LATER = NOW + timedelta(days=30)


class Desk:
    """The use case on a fake store, with a clock that tests set."""

    def __init__(self) -> None:
        self.store = FakeKeyStore()
        self.now = NOW
        numbers, ids = itertools.count(1), itertools.count(1)
        self.issuing = IssueKeys(
            store=self.store,
            teams=lambda: {"search": Team(name="search", tiers=frozenset({"low", "medium"})), "ads": Team(name="ads")},
            catalog=catalog,
            keys_in_file=lambda: {"search-1": "search"},
            file="config/teams.yaml",
            now=lambda: self.now,
            new_secret=lambda: f"igw_secret-{next(numbers)}",
            new_id=lambda: f"{next(ids):032x}"[::-1],
        )

    async def issued(self, **changes: object) -> IssuedKey:
        new = await self.issuing.issue(ADMIN, "search", "for tests")
        key = replace(new.key, **changes)  # type: ignore[arg-type]  # any of its fields
        self.store.stored[key.id] = key
        self.store.audit.clear()
        return key

    def trail(self) -> list[tuple[str, str, str]]:
        return [(each.action, each.subject, each.detail) for each in self.store.audit]


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_key_is_issued_and_only_its_digest_kept(desk: Desk) -> None:
    new = await desk.issuing.issue(ADMIN, "search", "the crawler", LATER)

    kept = desk.store.stored[new.key.id]
    assert new.secret == "igw_secret-1"
    assert kept == new.key
    assert (kept.team, kept.note, kept.digest) == ("search", "the crawler", key_digest("igw_secret-1"))
    assert (kept.created_at, kept.expires_at, kept.revoked_at) == (NOW, LATER, None)
    assert kept.id.startswith("key_")
    assert len(kept.id) == len("key_") + 16


async def test_issuing_is_written_down_without_the_secret(desk: Desk) -> None:
    new = await desk.issuing.issue(ADMIN, "search", "the crawler", LATER)

    (record,) = desk.store.audit
    assert (record.actor, record.request_id, record.at) == ("admin", "req_1", NOW)
    assert (record.action, record.subject) == ("key.issue", new.key.id)
    assert record.detail == "team search; until 2026-12-21T12:00:00Z"
    assert new.secret not in repr(record)


async def test_a_key_that_stands_in_a_file_says_where(desk: Desk) -> None:
    for story in (
        desk.issuing.rotate(ADMIN, "search-1"),
        desk.issuing.expire(ADMIN, "search-1", None),
        desk.issuing.revoke(ADMIN, "search-1"),
        desk.issuing.get("search-1"),
    ):
        with pytest.raises(KeyNotFound) as refused:
            await story
        assert refused.value.param == "key_id"
        assert refused.value.message == (
            "Key 'search-1' was not issued. It stands in config/teams.yaml, under team 'search': change it there."
        )
    assert desk.store.audit == []


async def test_a_team_that_is_none_has_no_list_of_keys(desk: Desk) -> None:
    assert await desk.issuing.list_keys("ads") == []
    with pytest.raises(InvalidValue) as refused:
        await desk.issuing.list_keys("serch")
    assert (refused.value.param, refused.value.message) == (
        "team",
        "There is no such team, nor a key of one. Did you mean 'search'?",
    )


@pytest.mark.parametrize("team", ["", "nobody", "Search"])
async def test_a_key_needs_a_team(desk: Desk, team: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        await desk.issuing.issue(ADMIN, team)

    assert (refused.value.param, desk.store.stored, desk.store.audit) == ("team", {}, [])


@pytest.mark.parametrize("note", ["a" * 201, "two\nlines", "\x1b[2J", "tab\t"])
async def test_a_note_is_one_line(desk: Desk, note: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        await desk.issuing.issue(ADMIN, "search", note)

    assert (refused.value.param, desk.store.stored) == ("note", {})


async def test_a_key_does_not_begin_with_its_end(desk: Desk) -> None:
    with pytest.raises(InvalidValue) as refused:
        await desk.issuing.issue(ADMIN, "search", expires_at=NOW)

    assert (refused.value.param, desk.store.stored) == ("expires_at", {})


async def test_rotating_leaves_both_keys_good_for_the_overlap(desk: Desk) -> None:
    key = await desk.issued()

    new, old = await desk.issuing.rotate(ADMIN, key.id, 3600)

    assert (new.key.team, new.key.note, new.key.expires_at) == (key.team, key.note, None)
    assert new.key.id != key.id
    assert new.key.digest == key_digest(new.secret) != key.digest
    assert old == replace(key, expires_at=NOW + timedelta(hours=1)) == desk.store.stored[key.id]
    assert desk.trail() == [
        ("key.rotate", new.key.id, f"team search; replaces {key.id}; without end"),
        ("key.expire", key.id, f"team search; replaced by {new.key.id}; until 2026-11-21T13:00:00Z"),
    ]


async def test_a_day_is_the_overlap_unless_it_is_said(desk: Desk) -> None:
    key = await desk.issued()

    _, old = await desk.issuing.rotate(ADMIN, key.id, expires_at=LATER)

    assert old.expires_at == NOW + timedelta(seconds=DAY)


async def test_no_overlap_ends_the_old_key_now(desk: Desk) -> None:
    key = await desk.issued()

    _, old = await desk.issuing.rotate(ADMIN, key.id, 0)

    assert desk.issuing.state(old) == "expired"


async def test_rotating_never_makes_a_key_last_longer(desk: Desk) -> None:
    key = await desk.issued(expires_at=NOW + timedelta(minutes=1))

    _, old = await desk.issuing.rotate(ADMIN, key.id, 3600)

    assert old.expires_at == key.expires_at


@pytest.mark.parametrize("overlap", [-1, MAX_OVERLAP_SECONDS + 1, float("nan"), float("inf")])
async def test_an_overlap_has_bounds(desk: Desk, overlap: float) -> None:
    key = await desk.issued()

    with pytest.raises(InvalidValue) as refused:
        await desk.issuing.rotate(ADMIN, key.id, overlap)

    assert (refused.value.param, desk.trail()) == ("overlap_seconds", [])


async def test_the_end_of_a_key_can_be_set_and_taken_away(desk: Desk) -> None:
    key = await desk.issued()

    ending = await desk.issuing.expire(ADMIN, key.id, LATER)
    endless = await desk.issuing.expire(ADMIN, key.id, None)

    assert (ending.expires_at, endless.expires_at) == (LATER, None)
    assert desk.trail() == [
        ("key.expire", key.id, "team search; until 2026-12-21T12:00:00Z"),
        ("key.expire", key.id, "team search; without end"),
    ]


async def test_an_end_in_the_past_is_refused(desk: Desk) -> None:
    key = await desk.issued()

    with pytest.raises(InvalidValue, match="revoke ends it now") as refused:
        await desk.issuing.expire(ADMIN, key.id, NOW - timedelta(seconds=1))

    assert (refused.value.param, desk.trail()) == ("expires_at", [])


async def test_a_key_is_revoked_once_and_for_good(desk: Desk) -> None:
    key = await desk.issued()

    first = await desk.issuing.revoke(ADMIN, key.id)
    desk.now = LATER
    again = await desk.issuing.revoke(ADMIN, key.id)

    assert first.revoked_at == again.revoked_at == NOW
    assert desk.trail() == [
        ("key.revoke", key.id, "team search; from now on"),
        ("key.revoke", key.id, "team search; was revoked before"),
    ]


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"revoked_at": NOW}, "revoked"),
        ({"expires_at": NOW}, "expired"),
        ({"expires_at": NOW, "revoked_at": NOW}, "revoked"),
    ],
)
async def test_a_key_that_has_ended_stays_ended(desk: Desk, changes: dict[str, datetime], state: str) -> None:
    key = await desk.issued(**changes)

    assert desk.issuing.state(key) == state
    for attempt in (desk.issuing.expire(ADMIN, key.id, None), desk.issuing.rotate(ADMIN, key.id)):
        with pytest.raises(InvalidValue, match=f"is {state}; issue a new one") as refused:
            await attempt
        assert refused.value.param == "key_id"
    assert desk.trail() == []


async def test_a_key_that_will_end_is_still_active(desk: Desk) -> None:
    assert desk.issuing.state(await desk.issued(expires_at=LATER)) == "active"


LEASH = Allowance(
    models=frozenset({"painter"}),
    tiers=frozenset({"low"}),
    limits=Limits(usd_per_day=5_000_000_000),
    limits_by_tier={"low": Limits(concurrent_images=2)},
)
LEASH_SHOWN = "usd_per_day=5 low:concurrent_images=2 models=painter tiers=low"


async def test_a_key_is_issued_with_an_allowance_which_is_written_down(desk: Desk) -> None:
    new = await desk.issuing.issue(ADMIN, "search", allowance=LEASH)

    assert desk.store.stored[new.key.id].allowance == LEASH
    assert desk.trail() == [("key.issue", new.key.id, f"team search; without end; {LEASH_SHOWN}")]


async def test_a_rotated_key_keeps_its_allowance(desk: Desk) -> None:
    key = await desk.issued(allowance=LEASH)

    new, old = await desk.issuing.rotate(ADMIN, key.id)

    assert (new.key.allowance, old.allowance) == (LEASH, LEASH)
    assert desk.trail()[0][2] == f"team search; replaces {key.id}; without end; {LEASH_SHOWN}"


async def test_an_allowance_is_changed_field_by_field(desk: Desk) -> None:
    key = await desk.issued(allowance=LEASH)

    more = await desk.issuing.change(ADMIN, key.id, {"limits": Limits(usd_per_day=7), "expires_at": LATER})
    free = await desk.issuing.change(
        ADMIN, key.id, {"limits": Limits(), "limits_by_tier": {}, "models": frozenset(), "tiers": frozenset()}
    )

    assert (more.allowance, more.expires_at) == (replace(LEASH, limits=Limits(usd_per_day=7)), LATER)
    assert (free.allowance, free.expires_at) == (UNRESTRICTED, LATER)
    assert desk.store.stored[key.id] == free
    assert [action for action, _, _ in desk.trail()] == ["key.change", "key.change"]


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"models": frozenset({"drawer"})}, "models"),
        ({"tiers": frozenset({"high"})}, "tiers"),
        ({"limits_by_tier": {"ultra": Limits()}}, "limits_by_tier"),
        ({"limits": Limits(usd_per_day=7), "expires_at": NOW}, "expires_at"),
    ],
)
async def test_an_allowance_that_cannot_be_changes_nothing(desk: Desk, changes: KeyChanges, param: str) -> None:
    key = await desk.issued(allowance=LEASH)

    with pytest.raises(InvalidValue) as refused:
        await desk.issuing.change(ADMIN, key.id, changes)

    assert (refused.value.param, desk.store.stored[key.id], desk.trail()) == (param, key, [])


async def test_a_key_is_not_issued_with_what_its_team_may_not_use(desk: Desk) -> None:
    with pytest.raises(InvalidValue, match="team 'search' may not use 'high'"):
        await desk.issuing.issue(ADMIN, "search", allowance=Allowance(tiers=frozenset({"high"})))

    assert (desk.store.stored, desk.store.audit) == ({}, [])


async def test_a_change_of_nothing_is_refused(desk: Desk) -> None:
    key = await desk.issued()

    with pytest.raises(MissingParameter, match="It can be: expires_at, models, tiers, limits, limits_by_tier"):
        await desk.issuing.change(ADMIN, key.id, {})


async def test_keys_are_listed_by_team(desk: Desk) -> None:
    mine = await desk.issuing.issue(ADMIN, "search")
    theirs = await desk.issuing.issue(ADMIN, "ads")

    assert await desk.issuing.list_keys() == sorted([mine.key, theirs.key], key=lambda key: key.id)
    assert await desk.issuing.list_keys("ads") == [theirs.key]


async def test_an_unknown_key_is_not_found(desk: Desk) -> None:
    for attempt in (
        desk.issuing.expire(ADMIN, "key_0", None),
        desk.issuing.rotate(ADMIN, "key_0"),
        desk.issuing.revoke(ADMIN, "key_0"),
    ):
        with pytest.raises(KeyNotFound):
            await attempt


async def test_while_the_store_is_away_nothing_is_done(desk: Desk) -> None:
    desk.store.down = True

    with pytest.raises(LedgerUnavailable):
        await desk.issuing.issue(ADMIN, "search")

    assert desk.store.stored == {}


async def test_times_are_told_in_utc(desk: Desk) -> None:
    elsewhere = datetime.fromisoformat("2026-12-01T01:00:00+02:00")

    new = await desk.issuing.issue(ADMIN, "search", expires_at=elsewhere)

    assert new.key.expires_at == datetime(2026, 11, 30, 23, tzinfo=UTC)
    assert desk.trail()[0][2] == "team search; until 2026-11-30T23:00:00Z"
