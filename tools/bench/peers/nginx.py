"""nginx in three roles: the vendor with almost no cost, the simplest proxy, and a cache.

Rule: one worker, keep-alive on both sides, no access log. The vendor serves files with sendfile. A POST to a file is a
405, which nginx then answers with the file. The body of an edit is read to its end first. The proxy streams both ways.
The cache stores replies on disk under the request's body. Needs `nginx` on the path, or in Debian's folder.
"""

import os
import shutil
import urllib.request
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.bench.cases import CASES, Kind
from tools.bench.peers.peer import Peer, bearer
from tools.bench.peers.running import NotRunning, free_port, running
from tools.bench.vendor_replies import canned

HINT = "apt-get install --no-install-recommends nginx wrk"
KEY = "sk-bench"
COMMON = """
daemon off; {user} worker_processes 1; pid {place}/pid; error_log {place}/errors warn; worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on; default_type application/json; client_max_body_size 0;
  keepalive_requests 100000000; keepalive_timeout 1h;
  client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;
  uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
  proxy_http_version 1.1; proxy_set_header Connection "";
  {servers}
}}
"""
VENDOR = """
  upstream files {{ server unix:{place}/files; keepalive 64; }}
  server {{ listen unix:{place}/files; root {place}/root; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024; root {place}/root; error_page 405 =200 $uri;
    location = /asked {{ stub_status; }}
    location /sse/ {{ default_type text/event-stream; }}
    location /edit/ {{
      client_body_buffer_size 20m; proxy_pass http://files;
      proxy_method GET; proxy_pass_request_body off; proxy_set_header Content-Length "";
    }}
  }}
"""
PROXY = """
  upstream vendor {{ server {vendor}; keepalive 64; }}
  upstream slow {{ server {slow}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    proxy_request_buffering off; proxy_buffering off; proxy_buffers 8 64k; proxy_buffer_size 64k;
    proxy_busy_buffers_size 128k; proxy_read_timeout 300s;
    location / {{ proxy_pass http://vendor; }}
    location /slow/ {{ proxy_pass http://slow; }}
  }}
"""
CACHE = """
  upstream vendor {{ server {vendor}; keepalive 64; }}
  proxy_cache_path {place}/cache keys_zone=pictures:1m;
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
      proxy_pass http://vendor; proxy_cache pictures; proxy_cache_methods POST; proxy_cache_valid 200 1h;
      proxy_cache_key $uri$request_body; client_body_buffer_size 64k;
    }}
  }}
"""


@contextmanager
def vendor(folder: Path) -> Iterator[Peer]:
    """Run the upstream of all peers. It is measured too: the cost of a peer comes on top of it."""
    place = folder / "vendor"
    for case in CASES:
        file = place / "root" / case.slug / case.path.strip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(canned(case))
    with _nginx(place, VENDOR) as (pid, port):
        yield _peer("upstream", pid, port)


def calls_at(vendor: Peer) -> int:
    """Return the number of the vendor's calls so far, this query included."""
    with urllib.request.urlopen(f"{vendor.url}/asked") as reply:  # noqa: S310 (our own server)
        return int(reply.read().split()[9])


@contextmanager
def proxy(folder: Path, vendor: str, slow: str) -> Iterator[Peer]:
    """Run the simplest proxy."""
    with _nginx(folder / "proxy", PROXY, vendor=_place(vendor), slow=_place(slow)) as (pid, port):
        yield _peer("nginx", pid, port, unable=(Kind.HIT,))


@contextmanager
def cache(folder: Path, vendor: str, _slow: str) -> Iterator[Peer]:
    """Run the cache. It gets only requests that are hits."""
    with _nginx(folder / "cache", CACHE, vendor=_place(vendor)) as (pid, port):
        yield _peer("nginx", pid, port, unable=[kind for kind in Kind if kind is not Kind.HIT])


def _place(url: str) -> str:
    return url.removeprefix("http://")


def _peer(name: str, pid: int, port: int, unable: Collection[Kind] = ()) -> Peer:
    url = f"http://127.0.0.1:{port}"
    return Peer(name=name, url=url, headers=bearer(KEY), by_path=True, own=(pid,), unable=unable)


@contextmanager
def _nginx(place: Path, servers: str, **values: str) -> Iterator[tuple[int, int]]:
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if binary is None:
        raise NotRunning(f"nginx is needed: {HINT}")
    place.mkdir(parents=True, exist_ok=True)
    port = free_port()
    user = "user root;" if os.geteuid() == 0 else ""  # user that owns the folders
    text = COMMON.format(place=place, user=user, servers=servers.format(place=place, port=port, **values))
    (place / "nginx.conf").write_text(text)
    with running([binary, "-c", str(place / "nginx.conf"), "-p", str(place)], port, place / "log") as pid:
        yield pid, port
