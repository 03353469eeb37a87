"""What an error of a Redis server, or of the way to it, means to an operator.

Rule: the text names the cause and never the address, a user or a password. DNS, TLS, a refused connection, a refused
user and a missing right each have words of their own.
"""

import re
from typing import Any

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from service.adapters.network_error_causes import NETWORK_TEXTS, ErrorTexts, describe_network_error

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
