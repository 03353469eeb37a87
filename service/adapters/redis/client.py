"""The connection to Redis or Valkey, set up so that nothing is sent twice and nobody waits long.

Rule: no retries by the client (its default would send a script eleven times), a pool that waits rather than raises, and
short timeouts. `redis+cluster://` and `rediss+cluster://` name one node of a cluster; its others are learnt from it.
Whoever uses the connection decides what an unreachable server means; `UNREACHABLE` is how that shows.
"""

import re
import ssl
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    ReadOnlyError,
    RedisClusterException,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.maint_notifications import MaintNotificationsConfig

from service.adapters.dynamic_text import DynamicText, current_text
from service.adapters.loop_aware_timeout import LoopAwareTimeout
from service.adapters.network_error_causes import NETWORK_TEXTS, ErrorTexts, describe_network_error
from service.usecases.ports.monitored_store import ServerMemory

TIMEOUT_SECONDS = 0.08  # quiet seconds for a call: making a connection if there is none, asking
BACKGROUND_TIMEOUT_SECONDS = 1.0  # for a question that nobody waits for
POOL_SECONDS = 5.0  # for one of the connections of a client that is asked by itself
MAX_CONNECTIONS = 16  # to one server; more do not make it faster, and a burst has to make them all at once
CLUSTER = "+cluster"
PORT = 6379
PROBE_KEY = "igw:teams"
PROBE = """redis.call('TYPE', KEYS[1])
local told = redis.pcall('INFO', 'server')
if type(told) == 'table' and told.err then return redis.error_reply("NOPERM permissions to run the 'info' command") end
return redis.status_reply('OK')
"""
"""Reads what the scripts of money read; counters are vouched for by the `run_id` of `INFO server`."""

Client = redis.Redis | redis.RedisCluster

UNREACHABLE = (redis.RedisError, RedisClusterException, OSError, TimeoutError)


class Credentials(CredentialProvider):
    """User and password of an address, as it is when a connection is made; those that are there go on."""

    def __init__(self, url: DynamicText) -> None:
        self._url = url

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """The password, behind the user if one is named."""
        parts = urlsplit(current_text(self._url))
        password = unquote(parts.password or "")
        return (unquote(parts.username), password) if parts.username else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """The same; nothing is waited for."""
        return self.get_credentials()


def connect(url: DynamicText) -> Client:
    """A client of the server, or of the cluster, at that address. It connects when it is first used.

    Nothing is said on a new connection that is not needed (a client's name, an offer to be told of maintenance): with
    it a connection costs 2 ms of CPU, without it 0.4. The client waits for ever for a reply: whoever asks
    brings `LoopAwareTimeout`.
    """
    options: dict[str, Any] = {
        "socket_timeout": None,
        "socket_connect_timeout": None,
        "retry": Retry(NoBackoff(), 0),
        "driver_info": None,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    scheme, _, address = current_text(url).partition("://")
    parts = urlsplit(f"//{address}")
    if parts.password:
        address = address.removeprefix(parts.netloc.rpartition("@")[0] + "@")
        options["credential_provider"] = Credentials(url)
    if scheme.endswith(CLUSTER):
        # The pools of a cluster's nodes raise where a pool should wait; who uses them asks less than this at a time.
        # With `reinitialize_steps` the fifth slot that has moved would close every connection, also those in use.
        node = f"{scheme.removesuffix(CLUSTER)}://{address}"
        max_connections = 2 * MAX_CONNECTIONS
        return redis.RedisCluster.from_url(node, max_connections=max_connections, reinitialize_steps=0, **options)
    server = f"{scheme}://{address}"
    pool = redis.BlockingConnectionPool.from_url(
        server, max_connections=MAX_CONNECTIONS, timeout=POOL_SECONDS, **options
    )
    return redis.Redis(connection_pool=pool)


def check_options(url: DynamicText) -> None:
    """Raise `ValueError` where an address has options, or files of TLS, that cannot be used. Connects to nothing."""
    try:
        client = connect(url)
        pool = client.connection_pool if isinstance(client, redis.Redis) else _pool_of_node(current_text(url))
        connection = pool.make_connection()  # type: ignore[no-untyped-call]
        if isinstance(connection, redis.SSLConnection):
            connection.ssl_context.get()
    except ssl.SSLError as error:
        raise ValueError(f"a file of TLS: {error.reason or error}") from None
    except (TypeError, OSError, redis.RedisError, RedisClusterException) as error:
        raise ValueError(str(error)) from None


def _pool_of_node(url: str) -> redis.ConnectionPool:
    return redis.ConnectionPool.from_url(url.replace(CLUSTER, "", 1))


async def disconnect(client: Client) -> None:
    """Close every connection of a client."""
    if isinstance(client, redis.Redis):
        await client.aclose(close_connection_pool=True)
        return
    await client.aclose()
    for nodes in ("nodes_cache", "startup_nodes"):  # which `aclose` leaves open while the cluster is to be learnt again
        await client.nodes_manager.aclose(nodes)


class RedisServer:
    """The server that quotas, holds, flights and the cache live in."""

    def __init__(self, url: DynamicText, *, needs_scripts: bool = True) -> None:
        """With `needs_scripts` it has to run the scripts of money too."""
        self._url = url
        self._needs_scripts = needs_scripts
        self._client = connect(url)

    async def problem(self, timeout_seconds: float = TIMEOUT_SECONDS) -> str | None:
        """What is wrong with the server, or None. Never raises. Each question may take `timeout_seconds` seconds.

        A user may `PING` without the right to anything else, so the rest that scripts need is tried as well.
        """
        try:
            async with LoopAwareTimeout(timeout_seconds):
                await self._client.ping()
            if self._needs_scripts:
                async with LoopAwareTimeout(timeout_seconds):
                    await self._client.execute_command("EVAL", PROBE, 1, PROBE_KEY)
        except UNREACHABLE as error:
            return describe_redis_error(error)
        return None

    def is_same_server(self, url: DynamicText) -> bool:
        """Is it the server of that address as well? Its databases share one memory, whoever logs in."""
        return _location(current_text(self._url)) == _location(current_text(url))

    async def memory(self) -> Sequence[ServerMemory]:
        """How every server that answers (a cluster's primaries) treats its memory. Never raises.

        `INFO` rather than `CONFIG GET`, which managed servers forbid.
        """
        try:
            async with LoopAwareTimeout(BACKGROUND_TIMEOUT_SECONDS):
                await self._client.initialize()
        except UNREACHABLE:
            return []
        nodes = [] if isinstance(self._client, redis.Redis) else self._client.get_primaries()
        replies = [await self._info({"target_nodes": node}) for node in nodes] or [await self._info({})]
        return [memory for memory in map(parse_memory, replies) if memory]

    async def _info(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a server says about its memory; nothing, if it says nothing."""
        try:
            async with LoopAwareTimeout(BACKGROUND_TIMEOUT_SECONDS):
                reply: Mapping[str, Any] = await self._client.info("memory", **options)
        except UNREACHABLE:
            return {}
        return reply

    async def close(self) -> None:
        """Close every connection."""
        await disconnect(self._client)


def parse_memory(reply: Mapping[str, Any]) -> ServerMemory | None:
    """What `INFO memory` comes to; None for a server that does not say."""
    match reply:
        case {"maxmemory": int(max_bytes), "maxmemory_policy": str(policy), "used_memory": int(used_bytes)}:
            return ServerMemory(max_bytes=max_bytes, policy=policy, used_bytes=used_bytes)
        case _:
            return None


def _location(url: str) -> tuple[str | None, int | None, str]:
    parts = urlsplit(url)
    return (parts.hostname, parts.port or PORT, "") if parts.hostname else (None, None, parts.path)


RIGHTS = "it needs ~igw:* +@all -@dangerous +info"
CLOSED = "closed by server"
CONNECTION_CLOSED = (
    "does not answer: it hangs up, as a server does that speaks TLS only; then the address begins with rediss"
)
COMMAND = re.compile(r"permissions to run the '([a-z|]+)' command")


def describe_redis_error(error: BaseException) -> str:
    """One line for an error of a question, by the cause that lies deepest."""
    refusal = describe_network_error(error, REFUSALS)
    if refusal:
        return refusal
    network = describe_network_error(error, NETWORK_TEXTS)
    return f"does not answer: {network}" if network else f"does not answer ({type(error).__name__})"


def _permission(error: Any) -> str:  # noqa: ANN401 (each row knows its kind)
    command = COMMAND.search(str(error))
    return f"refuses its user {f'the command {command[1].upper()}' if command else 'what the gateway does'}; {RIGHTS}"


def _response(error: Any) -> str:  # noqa: ANN401 (likewise)
    if "DB index" in str(error):
        return "does not have the database of that number"
    return f"refuses a command ({str(error).partition(' ')[0]})"


REFUSALS: ErrorTexts = (
    (NoPermissionError, _permission),
    (AuthenticationError, lambda _: "refuses the user or the password"),
    (BusyLoadingError, lambda _: "is still loading its data"),
    (ReadOnlyError, lambda _: "is a replica that takes no writes"),
    (ResponseError, _response),
    (RedisConnectionError, lambda error: CONNECTION_CLOSED if CLOSED in str(error) else None),
)
