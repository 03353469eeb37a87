"""Models, teams and keys that change while the gateway runs."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from service.domain.key_allowances import Allowance
from service.domain.quota_limits import Limits
from service.domain.team_access import Key, Team, TeamDirectory
from service.settings.reloadable_files import ReloadableFiles
from service.settings.yaml_file import SettingsError
from service.usecases.admin.config_reload import UNEXPECTED_ERROR, ConfigReload
from service.usecases.ports.config import Config
from service.usecases.ports.events import SettingsReloaded
from service.usecases.ports.key_store import AuditRecord, IssuedKey
from tests.fakes.builders import KEY, NOW, TODAY, catalog
from tests.fakes.key_store import FakeKeyStore
from tests.fakes.observer import Recorder

SEARCH = KEY.team
ISSUED = IssuedKey(id="k1", team="search", digest="d1", note="", created_at=NOW, expires_at=NOW)
RECORD = AuditRecord(at=NOW, actor="me", action="key.issue", subject="k1", detail="", request_id="")


def known(*teams: Team, keys: tuple[Key, ...] = ()) -> Config:
    roster = TeamDirectory(teams={team.name: team for team in teams}, keys={key.digest: key for key in keys})
    return Config(catalog=catalog(), team_directory=roster)


class Shelf:
    """What the files say, and when that changed."""

    def __init__(self, found: Config | str) -> None:
        self.found = found
        self.version = 0
        self.reads = 0

    def put(self, found: Config | str) -> None:
        self.found = found
        self.version += 1

    def reread(self) -> Config | str:
        self.reads += 1
        return self.found

    def stamp(self) -> int:
        return self.version


class ChangingShelf(Shelf):
    """Files that are replaced during the first read."""

    def reread(self) -> Config | str:
        if self.version < 2:
            self.put(known(SEARCH, Team(name="ads")))
            return "teams.yaml: cannot be read: half of it is not there"
        return self.found


class BrokenShelf(Shelf):
    """Files whose reading raises an unexpected error."""

    def reread(self) -> Config | str:
        raise RecursionError


def callers(shelf: Shelf, store: FakeKeyStore, observer: Recorder) -> ConfigReload:
    assert isinstance(shelf.found, Config)
    return ConfigReload(
        config=shelf.found,
        seen_stamp=shelf.stamp(),
        files=shelf,
        key_store=store,
        observer=observer,
        enabled_backends=frozenset({"alpha"}),
        now=lambda: NOW,
    )


async def test_keys_of_files_and_issued_ones_let_in() -> None:
    store = FakeKeyStore()
    await store.add(ISSUED, RECORD)
    story = callers(Shelf(known(SEARCH, keys=(KEY,))), store, Recorder())
    assert set(story.snapshot().keys) == {KEY.digest}
    await story.refresh()
    assert story.snapshot().keys == {KEY.digest: KEY, "d1": Key(id="k1", team=SEARCH, digest="d1", expires_at=NOW)}


async def test_an_issued_key_has_its_allowance() -> None:
    store, allowance = (
        FakeKeyStore(),
        Allowance(
            models=frozenset({"painter"}),
            tiers=frozenset({"low"}),
            limits=Limits(usd_per_day=5),
            limits_by_tier={"low": Limits(concurrent_images=1)},
        ),
    )
    await store.add(replace(ISSUED, allowance=allowance), RECORD)
    story = callers(Shelf(known(SEARCH)), store, Recorder())
    await story.refresh()
    key = story.snapshot().keys["d1"]
    assert (key.models, key.tiers) == (allowance.models, allowance.tiers)
    assert (key.limits, key.limits_by_tier) == (allowance.limits, allowance.limits_by_tier)


@pytest.mark.parametrize("gone", [replace(ISSUED, revoked_at=NOW), replace(ISSUED, team="nobody")])
async def test_a_revoked_key_and_one_without_a_team_let_nobody_in(gone: IssuedKey) -> None:
    store = FakeKeyStore()
    await store.add(gone, RECORD)
    story = callers(Shelf(known(SEARCH)), store, Recorder())
    await story.refresh()
    assert story.snapshot().keys == {}


async def test_while_the_store_is_away_the_keys_known_last_count() -> None:
    store = FakeKeyStore()
    await store.add(ISSUED, RECORD)
    story = callers(Shelf(known(SEARCH)), store, Recorder())
    await story.refresh()
    store.down = True
    await story.refresh()
    assert set(story.snapshot().keys) == {"d1"}


async def test_a_changed_file_is_in_force_and_a_wrong_one_is_not() -> None:
    observer, shelf = Recorder(), Shelf(known(SEARCH))
    story = callers(shelf, FakeKeyStore(), observer)
    await story.refresh()
    assert shelf.reads == 0
    shelf.put(known(SEARCH, Team(name="ads")))
    await story.refresh()
    assert set(story.snapshot().teams) == {"search", "ads"}
    shelf.put("teams.yaml: $.teams: wrong")
    await story.refresh()
    await story.refresh()
    assert set(story.snapshot().teams) == {"search", "ads"}
    assert observer.events == [SettingsReloaded(problem=None), SettingsReloaded(problem="teams.yaml: $.teams: wrong")]


async def test_a_change_that_would_lock_every_caller_out_is_refused_and_told() -> None:
    observer, store = Recorder(), FakeKeyStore()
    await store.add(replace(ISSUED, expires_at=None), RECORD)
    shelf = Shelf(known(SEARCH, keys=(KEY,)))
    story = callers(shelf, store, observer)
    await story.refresh()

    shelf.put(known(SEARCH))  # the issued key is left
    await story.refresh()
    assert set(story.snapshot().keys) == {"d1"}

    shelf.put(known(Team(name="ads")))  # the issued key has lost its team
    await story.refresh()

    assert set(story.snapshot().keys) == {"d1"}
    problem = "teams.yaml: $.teams: leaves none of the 1 keys that let callers in now, issued ones included. "
    problem += "It is refused while the gateway runs; a restart takes it."
    assert observer.events == [SettingsReloaded(problem=None), SettingsReloaded(problem=problem)]


async def test_files_that_change_while_they_are_read_are_read_again() -> None:
    """A ConfigMap that is swapped, or a long file that is being written."""
    observer, shelf = Recorder(), ChangingShelf(known(SEARCH))
    story = callers(shelf, FakeKeyStore(), observer)
    shelf.version += 1
    await story.refresh()
    assert (set(story.snapshot().teams), observer.events) == ({"search"}, [])

    await story.refresh()

    assert set(story.snapshot().teams) == {"search", "ads"}
    assert observer.events == [SettingsReloaded(problem=None)]


async def test_it_looks_again_and_again() -> None:
    observer, shelf = Recorder(), Shelf(known(SEARCH))
    story = replace(callers(shelf, FakeKeyStore(), observer), interval_seconds=0.0)
    looking = asyncio.create_task(story.run())
    shelf.put(known(SEARCH, Team(name="ads")))
    async with asyncio.timeout(10):
        while "ads" not in story.snapshot().teams:  # noqa: ASYNC110 (there is nothing to be told by)
            await asyncio.sleep(0)
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking


def files(folder: Path, extra: Key | None = None, teams: str = "teams: {search: {}}") -> ReloadableFiles:
    (folder / "models.yaml").write_text((Path(__file__).parents[2] / "config" / "models.yaml").read_text())
    (folder / "teams.yaml").write_text(teams)
    return ReloadableFiles(folder=folder, today=lambda: TODAY, backends=("alpha",), dev_key=extra)


def test_files_are_read_together(tmp_path: Path) -> None:
    found = files(tmp_path).reread()
    assert isinstance(found, Config)
    assert set(found.team_directory.teams) == {"search"}


@pytest.mark.parametrize("name", ["search", "dev"])
def test_the_dev_key_is_of_the_team_of_that_name(tmp_path: Path, name: str) -> None:
    extra = Key(id="dev", team=Team(name=name), digest="d")
    found = files(tmp_path, extra, "teams: {search: {limits: {usd_per_day: 1}}}").read()
    assert set(found.team_directory.teams) == {"search", name}
    assert found.team_directory.keys["d"].team is found.team_directory.teams[name]


def test_what_is_wrong_is_said_in_words(tmp_path: Path) -> None:
    reading = files(tmp_path)
    (tmp_path / "teams.yaml").write_text("teams: {search: {limits: {usd_per_day: -1}}}")
    assert "$.teams.search.limits.usd_per_day: -1 is not an amount" in str(reading.reread())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("teams: {}", "$.teams: no team, so no caller could be let in"),
        ("{}", "$.teams: no team, so no caller could be let in"),
        ("", "$: is empty"),
        ("null", "$: is empty"),
        ("# nothing\n", "$: is empty"),
        ("teams: null", "$.teams: Expected `object`, got `null`"),
    ],
)
def test_no_team_is_refused_also_while_running(tmp_path: Path, text: str, reason: str) -> None:
    reading = files(tmp_path)
    (tmp_path / "teams.yaml").write_text(text)

    assert reading.reread() == f"{tmp_path / 'teams.yaml'}: {reason}"
    with pytest.raises(SettingsError, match=r"teams\.yaml: "):
        reading.read_first()


def test_no_model_is_refused_also_while_running(tmp_path: Path) -> None:
    reading = files(tmp_path)
    (tmp_path / "models.yaml").write_text("default_model: x\nsizes: {}\ncarries: {}\nprices: {}\nmodels: {}\n")

    assert "$.default_model: 'x' is not defined; defined are none" in str(reading.reread())


def test_the_backends_that_teams_may_name_are_those_of_the_start(tmp_path: Path) -> None:
    assert isinstance(files(tmp_path, teams="teams: {search: {backends: [alpha]}}").reread(), Config)
    assert "'beta' is not in gateway.yaml" in str(files(tmp_path, teams="teams: {search: {backends: [beta]}}").reread())


def test_the_stamp_changes_with_a_file_and_when_it_goes(tmp_path: Path) -> None:
    reading = files(tmp_path)
    stamps = [reading.stamp()]
    (tmp_path / "teams.yaml").write_text("teams: {search: {}, ads: {}}")
    stamps.append(reading.stamp())
    (tmp_path / "teams.yaml").unlink()
    stamps.append(reading.stamp())
    assert len(set(stamps)) == 3


async def test_a_file_that_cannot_be_read_for_an_unforeseen_reason_changes_nothing() -> None:
    shelf, observer = BrokenShelf(known(SEARCH, keys=(KEY,))), Recorder()
    story = callers(shelf, FakeKeyStore(), observer)
    shelf.version += 1
    with pytest.raises(RecursionError):
        await story.refresh()
    assert observer.of(SettingsReloaded) == [SettingsReloaded(problem=UNEXPECTED_ERROR)]
    assert set(story.snapshot().keys) == {KEY.digest}
