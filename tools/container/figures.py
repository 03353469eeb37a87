"""`python -m tools.container.figures`: size of the image, time until it is ready, CPU and memory while it is idle.

Rule: the image of this tree runs beside a Redis and a PostgreSQL, which are not counted. Prints a table.
"""

import gzip
import json
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from testcontainers.community.postgres import PostgresContainer
from testcontainers.community.redis import RedisContainer
from testcontainers.core.network import Network

from tests.support.gateway_site import await_true
from tests.support.postgres import POSTGRES_IMAGE
from tests.support.servers import REDIS_IMAGE
from tools.container.engine import Container, build, docker, inspected, running
from tools.container.named import ROOT, SETTINGS

IDLE_SECONDS, PIECE, MEGA = 60, 1 << 20, 1_000_000
INSIDE = """
import json, resource, subprocess, sys, time
from pathlib import Path
said = dict(line.split(":", 1) for line in Path("/proc/1/status").read_text().splitlines())
groups = [Path("/sys/fs/cgroup/memory.current"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")]
group = next(int(path.read_text()) for path in groups if path.exists())
sizes = {name: int(said[name].split()[0]) * 1024 for name in ("VmRSS", "RssAnon")}
times = []
for _ in range(10):
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "service.commands.health"], check=True)
    times.append(time.monotonic() - began)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"rss": sizes["VmRSS"], "anonymous": sizes["RssAnon"], "group": group,
                  "check": sorted(times)[5], "cpu": (used.ru_utime + used.ru_stime) / 10}))
"""


def compressed(image: str) -> int:
    """Return the bytes of `docker save`, gzipped: about the size of a pull."""
    with (
        tempfile.TemporaryFile() as file,
        subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saving,
    ):
        assert saving.stdout
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6) as packed:
            while piece := saving.stdout.read(PIECE):
                packed.write(piece)
        return file.tell()


def started(container: Container) -> float:
    """Return the seconds from the engine's start of the container to the log line `listening`."""
    began, _, fraction = inspected(container.name)["State"]["StartedAt"].rstrip("Z").partition(".")
    lines = docker("logs", "--timestamps", container.name).splitlines()
    listening = next(line for line in lines if '"event":"listening"' in line)
    ended, _, later = listening.split(" ", 1)[0].rstrip("Z").partition(".")
    whole = (time.mktime(time.strptime(at, "%Y-%m-%dT%H:%M:%S")) for at in (ended, began))
    return next(whole) - next(whole) + float(f"0.{later}") - float(f"0.{fraction}")


def main() -> None:
    image = build()
    print(f"| image, MB | {inspected(image)['Size'] / MEGA:.0f} |")
    print(f"| image, compressed, MB | {compressed(image) / MEGA:.0f} |")
    with (
        Network() as network,
        RedisContainer(REDIS_IMAGE).with_network(network).with_network_aliases("redis"),
        PostgresContainer(POSTGRES_IMAGE, driver=None).with_network(network).with_network_aliases("postgres"),
    ):
        stores = {"REDIS_URL": "redis://redis", "DATABASE_URL": "postgresql://test:test@postgres/test"}
        settings = {**stores, "IMAGE_GATEWAY_CONFIG": f"/etc/image-gateway/{SETTINGS.name}"}
        for again in ("tables made", "tables there"):
            with running(image, settings, ROOT / "config", network.name) as gateway:
                print(f"| start to listening, {again}, s | {started(gateway):.1f} |")
        with running(image, settings, Path(ROOT / "config"), network.name) as gateway:
            await_true(lambda: gateway.health == "healthy")
            threading.Event().wait(IDLE_SECONDS)
            measured = json.loads(docker("exec", gateway.name, "python", "-c", INSIDE))
    for name, what in (("group", "memory of the cgroup"), ("rss", "RSS"), ("anonymous", "RSS, anonymous")):
        print(f"| idle for {IDLE_SECONDS} s: {what}, MB | {measured[name] / MEGA:.0f} |")
    print(f"| health check, wall, ms | {measured['check'] * 1000:.0f} |")
    print(f"| health check, CPU, ms | {measured['cpu'] * 1000:.0f} |")


if __name__ == "__main__":
    main()
