"""Clients of Redis or Valkey: connections, the address check, the server's memory and the causes of its errors.

Rule: the client never retries, because its default would send a script eleven times. Its pool waits for a connection
instead of raising. `redis+cluster://` and `rediss+cluster://` name one node of a cluster, which names the others. An
error's text has its cause, and never an address, a user or a password.

Fails with: an error of `UNREACHABLE`. The user of the client decides about it. `RedisServer` raises nothing.
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
from service.usecases.ports.monitored_store import MonitoredStore, ServerMemory

TIMEOUT_SECONDS = 0.08  # quiet seconds of one command, with the connect if there is no connection
BACKGROUND_TIMEOUT_SECONDS = 1.0  # of a command that no request waits for
POOL_SECONDS = 5.0  # for a free connection of a client that is used without `RedisConnectionPool`
MAX_CONNECTIONS = 16  # to one server; more are not faster, and a burst would open all of them at once
CLUSTER = "+cluster"
PORT = 6379
PROBE_KEY = "igw:teams"
PROBE = """redis.call('TYPE', KEYS[1])
local info = redis.pcall('INFO', 'server')
if type(info) == 'table' and info.err then return redis.error_reply("NOPERM permissions to run the 'info' command") end
return redis.status_reply('OK')
"""
"""Runs the commands of the quota scripts. The `run_id` of `INFO server` says which server counted."""

Client = redis.Redis | redis.RedisCluster

UNREACHABLE = (redis.RedisError, RedisClusterException, OSError, TimeoutError)


class Credentials(CredentialProvider):
    """User and password of an address, read again for each new connection. Open connections keep theirs."""

    def __init__(self, url: DynamicText) -> None:
        self._url = url

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return the password, behind the user if the address names one."""
        parts = urlsplit(current_text(self._url))
        password = unquote(parts.password or "")
        return (unquote(parts.username), password) if parts.username else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """Return the credentials; nothing is awaited."""
        return self.get_credentials()


def connect(url: DynamicText) -> Client:
    """Build a client of the server, or cluster, at an address. The client connects at its first use.

    A new connection sends neither a client name nor an offer of maintenance messages. A connection costs 2 ms of CPU
    with them, 0.4 ms without. The client waits for a reply without a limit, so each call needs a `LoopAwareTimeout`.
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
        # The pool of a cluster's node raises when it is empty. `RedisConnectionPool` never uses all its connections.
        # Without `reinitialize_steps=0`, the fifth moved slot would close all connections, used ones included.
        node = f"{scheme.removesuffix(CLUSTER)}://{address}"
        max_connections = 2 * MAX_CONNECTIONS
        return redis.RedisCluster.from_url(node, max_connections=max_connections, reinitialize_steps=0, **options)
    server = f"{scheme}://{address}"
    pool = redis.BlockingConnectionPool.from_url(
        server, max_connections=MAX_CONNECTIONS, timeout=POOL_SECONDS, **options
    )
    return redis.Redis(connection_pool=pool)


def check_options(url: DynamicText) -> None:
    """Raise `ValueError` if options or TLS files of an address are unusable. Connects to nothing."""
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
    for nodes in ("nodes_cache", "startup_nodes"):  # `aclose` leaves them open before a new look at the cluster
        await client.nodes_manager.aclose(nodes)


class RedisServer(MonitoredStore):
    """A server of quotas, holds, flights or cached results. With `needs_scripts` the server must run scripts too."""

    def __init__(self, url: DynamicText, *, needs_scripts: bool = True) -> None:
        self._url = url
        self._needs_scripts = needs_scripts
        self._client = connect(url)

    async def problem(self, timeout_seconds: float = TIMEOUT_SECONDS) -> str | None:
        """Return the problem of the server, or None. Each of the two commands may take `timeout_seconds`.

        A user may `PING` without any other right, so the scripts' commands are tried as well.
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
        """Return whether an address leads to this server. Databases and users of a server share its memory."""
        return _location(current_text(self._url)) == _location(current_text(url))

    async def memory(self) -> Sequence[ServerMemory]:
        """Return the memory settings of each server that answers: all primaries of a cluster.

        Sends `INFO` rather than `CONFIG GET`, which managed servers forbid.
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
        """Return the memory part of a server's `INFO`, or an empty mapping if the server does not answer."""
        try:
            async with LoopAwareTimeout(BACKGROUND_TIMEOUT_SECONDS):
                reply: Mapping[str, Any] = await self._client.info("memory", **options)
        except UNREACHABLE:
            return {}
        return reply

    async def close(self) -> None:
        await disconnect(self._client)


def parse_memory(reply: Mapping[str, Any]) -> ServerMemory | None:
    """Parse the reply to `INFO memory`; None if a field is missing."""
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
    """Describe an error by its deepest known cause, in one line."""
    refusal = describe_network_error(error, REFUSALS)
    if refusal:
        return refusal
    network = describe_network_error(error, NETWORK_TEXTS)
    return f"does not answer: {network}" if network else f"does not answer ({type(error).__name__})"


def _permission(error: Any) -> str:  # noqa: ANN401 (each row of the table has its own kind)
    command = COMMAND.search(str(error))
    return f"refuses its user {f'the command {command[1].upper()}' if command else 'what the gateway does'}; {RIGHTS}"


def _response(error: Any) -> str:  # noqa: ANN401 (as above)
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
