"""Check before the measurement: each peer answers each case correctly.

Rule: one call per peer and case, with status, image and number of events checked. A hit is requested twice, and the
second request must not reach the vendor.

Fails with: `WrongAnswer`, with the reply.
"""

import http.client
import json
from urllib.parse import urlsplit

from tools.bench.cases import EVENTS, Case, Kind
from tools.bench.peers.nginx import calls_at
from tools.bench.peers.peer import Peer
from tools.bench.request_bytes import MARK, request
from tools.bench.vendor_replies import canned

OK = 200
TIMEOUT_SECONDS = 120.0
SHOWN = 300


class WrongAnswer(Exception):
    """A peer that cannot be measured."""


def probe(case: Case, peer: Peer, vendor: Peer) -> int:
    """Send one request and return the length of the reply."""
    length = _right(case, peer)
    if case.kind is Kind.HIT and peer is not vendor:
        before = calls_at(vendor)
        _right(case, peer)
        if calls_at(vendor) > before + 1:
            raise WrongAnswer(f"{peer.name} keeps nothing")
    return length


def _right(case: Case, peer: Peer) -> int:
    status, body = _ask(case, peer)
    if status != OK:
        raise WrongAnswer(f"{peer.name}, {case.name}: {status} {body[:SHOWN]!r}")
    if _images(case, body) != _images(case, canned(case)):
        raise WrongAnswer(f"{peer.name}, {case.name}: {len(body)} bytes, {body[:SHOWN]!r} to {body[-SHOWN:]!r}")
    return len(body)


def _ask(case: Case, peer: Peer) -> tuple[int, bytes]:
    head, _, body = request(case, peer).replace(MARK.encode(), b"%012d" % 0).partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    connection = http.client.HTTPConnection(urlsplit(peer.url).netloc, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("POST", peer.path(case), body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _images(case: Case, body: bytes) -> list[str]:
    if case.kind is Kind.STREAM:
        events = [json.loads(line.removeprefix(b"data: ")) for line in body.split(b"\n") if line.startswith(b"data: {")]
        return [event["b64_json"] for event in events] if len(events) == EVENTS else []
    return [item["b64_json"] for item in json.loads(body)["data"]]
