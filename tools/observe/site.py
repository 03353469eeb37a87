"""A small company on loopback: two replicas on one store, both vendors as simulators, the sandbox, and five teams.

Rule: every server is a child process or a server in this process, and ends with its block. The settings are the shipped
ones with short times, so that a minute shows what a day would: holds expire, breakers open and close, keys and models
are about to end.
"""

import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2

from service.domain.team_access import key_digest
from tests.simulators import openai, together
from tests.simulators.server import Defaults, Simulator
from tests.support.gateway import GatewayProcess, with_slow_stores
from tests.support.gateway_site import Valkey, free_port

CONFIG = Path(__file__).parents[2] / "config"
TEAMS: Mapping[str, str] = {
    "search": "limits: {usd_per_day: 20, usd_per_month: 300, requests_per_minute: 6000}, "
    "limits_by_tier: {high: {images_per_minute: 12, usd_per_day: 5}}",
    "ads": "limits: {usd_per_day: 1.5, usd_per_month: 20}",
    "mobile": "limits: {concurrent_images: 3, usd_per_month: 100}, cache_seconds: 0",
    "studio": "limits: {usd_per_month: 40}, limits_by_model: {gpt-image-2.5-flare: {usd_per_day: 2}}",
    "labs": "limits: {requests_per_minute: 30}, backends: [sandbox]",
}
CHANGES: Mapping[str, str] = {
    "  lease_seconds: 60 #": "  lease_seconds: 3 #",
    "  sweep_seconds: 5 #": "  sweep_seconds: 0.5 #",
    "  grace_seconds: 5": "  grace_seconds: 0",
    "  enabled: false": "  enabled: true",
    "  delay_seconds: 0 #": "  delay_seconds: 0.2 #",
    "  prompt_directives: false": "  prompt_directives: true",
    "  collect_seconds: 5 #": "  collect_seconds: 1 #",
    "  open_seconds: 5 #": "  open_seconds: 2 #",
    "  max_open_seconds: 60 #": "  max_open_seconds: 4 #",
}
SOON = 10  # days until the oldest models end


def teams_file(searching: str = "") -> str:
    """Return the text of `teams.yaml`, with more settings for the first team."""
    lines = [
        f"  {name}: {{{limits}{searching if name == 'search' else ''}, keys: [{{id: {name}-prod, "
        f"sha256: {key_digest(f'igw_{name}')}}}]}}"
        for name, limits in TEAMS.items()
    ]
    return "teams:\n" + "\n".join(lines) + "\n"


def write_settings(folder: Path) -> None:
    """Write the shipped settings with the changes of this module."""
    shutil.copytree(CONFIG, folder, ignore=shutil.ignore_patterns("grafana", "prometheus"))
    text = with_slow_stores((folder / "gateway.yaml").read_text())
    for was, becomes in CHANGES.items():
        if was not in text:
            raise ValueError(f"config/gateway.yaml has no {was!r} any more")
        text = text.replace(was, becomes)
    (folder / "gateway.yaml").write_text(text)
    end = datetime.now(UTC).date() + timedelta(days=SOON)
    models = folder / "models.yaml"
    models.write_text(models.read_text().replace("shutdown_date: 2026-12-01", f"shutdown_date: {end}"))
    (folder / "teams.yaml").write_text(teams_file())


@dataclass(slots=True)
class Site:
    """The running servers.

    `replicas` has each replica under the host and port of its metrics, which a restart keeps.
    """

    folder: Path
    store: Valkey
    openai: Simulator
    together: Simulator
    stack: ExitStack
    replicas: dict[str, GatewayProcess] = field(default_factory=dict)
    admin: str = field(default_factory=lambda: secrets.token_hex(32))

    @property
    def urls(self) -> list[str]:
        """Return the addresses of the replicas."""
        return [replica.url for replica in [*self.replicas.values()]]  # a thread may be starting one

    def start(self, metrics: str) -> GatewayProcess:
        """Start a replica that exposes its metrics there, also in place of one that is gone."""
        environment = {
            "IMAGE_GATEWAY_CONFIG": str(self.folder / "config"),
            "OPENAI_API_KEY": "sk-operator",
            "OPENAI_BASE_URL": self.openai.base_url,
            "TOGETHER_API_KEY": "tgp-operator",
            "TOGETHER_BASE_URL": self.together.base_url,
            "REDIS_URL": self.store.url,
            "DATABASE_URL": f"sqlite:///{self.folder / 'ledger.db'}",
            "ADMIN_API_KEY": self.admin,
            "METRICS_HOST": "127.0.0.1",
            "METRICS_PORT": metrics.rpartition(":")[2],
        }
        replica = self.stack.enter_context(GatewayProcess(self.folder / "data", environment, options=()))
        self.replicas[metrics] = replica
        return replica

    def kill(self, metrics: str) -> None:
        """Kill a replica with SIGKILL in the middle of its work."""
        replica = self.replicas.pop(metrics)
        replica.signal(9)
        replica.wait()

    def reload(self, text: str) -> None:
        """Change `teams.yaml` while everything runs."""
        (self.folder / "config" / "teams.yaml").write_text(text)

    def issue_key(self, team: str, days: int) -> None:
        """Issue a key that ends in `days`."""
        end = datetime.now(UTC) + timedelta(days=days)
        body = {"team": team, "note": "for a demonstration", "expires_at": end.isoformat(timespec="seconds")}
        headers = {"authorization": f"Bearer {self.admin}"}
        with httpx2.Client(trust_env=False) as client:
            client.post(f"{self.urls[0]}/admin/v1/keys", json=body, headers=headers).raise_for_status()


@contextmanager
def site(folder: Path, replicas: int = 2) -> Iterator[Site]:
    """Run a site with its files in `folder`, which is made."""
    folder.mkdir(parents=True)
    write_settings(folder / "config")
    with ExitStack() as stack:
        store = stack.enter_context(Valkey(folder / "valkey"))
        drawing = stack.enter_context(openai.simulator(defaults=Defaults(delay=0.15), remember=0))
        other = stack.enter_context(together.simulator(defaults=Defaults(delay=0.08)))
        place = Site(folder, store, drawing, other, stack)
        for _ in range(replicas):
            place.start(f"127.0.0.1:{free_port()}")
        yield place
