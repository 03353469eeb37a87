"""Memory and eviction policy of a Redis server, as the server reports them."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerMemory:
    """How many bytes a server may use (0: no bound), what it does when they are used, and how many it uses."""

    max_bytes: int
    policy: str
    used_bytes: int = field(default=0, compare=False)
