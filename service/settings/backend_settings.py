"""Structure of the parts of `gateway.yaml` about backends: entries of vendors, limits of accounts, circuit breakers.

Rule: as in `gateway_file.py`.
"""

from typing import Annotated, Literal

from msgspec import Meta

from service.settings.yaml_file import Address, Count, Entry, FilePath, Seconds


class AccountLimits(Entry, frozen=True):
    """Limits of a vendor's account that all replicas share."""

    concurrent: Annotated[Count | None, Meta(description="Maximum number of concurrent calls of all replicas.")] = None
    requests_per_minute: Annotated[Count | None, Meta(description="Maximum number of calls in any minute.")] = None
    images_per_minute: Annotated[
        Count | None, Meta(description="Maximum number of images requested in any minute.")
    ] = None


class HttpBackendEntry(Entry, frozen=True):
    """Entry of one backend that is called over HTTP."""

    dialect: Annotated[Literal["openai", "together"], Meta(description="Wire format of the vendor's API.")]
    base_url: Annotated[
        Address,
        Meta(description="Base URL of the vendor's API. The environment variable `<NAME>_BASE_URL` overrides it."),
    ]
    api_key_env: Annotated[
        str | None,
        Meta(description="Name of the environment variable that has the API key. A backend without a key is off."),
    ] = None
    api_key_file: Annotated[
        FilePath | None, Meta(description="Path of the file that has the API key, instead of `api_key_env`.")
    ] = None
    deadline_seconds: Annotated[
        Seconds, Meta(description="Timeout of the whole call. A call that times out may have been billed.")
    ] = 300.0
    connect_seconds: Annotated[
        float, Meta(ge=0.01, le=60, description="Timeout for connecting to the vendor or its proxy.")
    ] = 5.0
    max_concurrent_calls: Annotated[Count, Meta(description="Maximum number of concurrent calls of each replica.")] = (
        512
    )
    gateway: Annotated[
        bool, Meta(description="Whether the backend is another image gateway, whose keys may begin with `igw_`.")
    ] = False
    relay_image_urls: Annotated[
        bool,
        Meta(
            description="Whether the vendor gets callers' https addresses instead of images that the gateway fetched."
        ),
    ] = False
    proxy: Annotated[
        Address | None, Meta(description="URL of the proxy to the vendor; by default HTTPS_PROXY and NO_PROXY decide.")
    ] = None
    ca_file: Annotated[
        FilePath | None,
        Meta(description="File of the authorities that sign the vendor's certificate; by default the system's."),
    ] = None
    headers: Annotated[
        dict[str, str], Meta(description="Additional headers of each call, such as OpenAI-Organization.")
    ] = {}
    account: Annotated[
        AccountLimits,
        Meta(description="Limits of the vendor's account over all replicas, if its reports come too late or never."),
    ] = AccountLimits()


class HealthSection(Entry, frozen=True):
    """Circuit breaker of each backend."""

    consecutive_failures: Annotated[
        Count,
        Meta(
            description="Number of consecutive failures that opens the circuit breaker; twice as many once a window "
            "has `min_calls` calls."
        ),
    ] = 5
    failure_ratio: Annotated[
        float, Meta(ge=0.01, le=1, description="Share of failed calls in a window that opens the circuit breaker.")
    ] = 0.5
    min_calls: Annotated[
        Count, Meta(description="Minimum number of calls in a window for `failure_ratio` to apply.")
    ] = 10
    window_seconds: Annotated[Seconds, Meta(description="Length of the window that calls are counted in.")] = 30.0
    open_seconds: Annotated[
        Seconds,
        Meta(
            description="Time for which an open circuit breaker blocks calls; it doubles from the third opening in a "
            "row."
        ),
    ] = 5.0
    max_open_seconds: Annotated[
        Seconds,
        Meta(
            description="Upper bound of `open_seconds`; used at once when the vendor refuses the key or the account "
            "has no credit."
        ),
    ] = 60.0
    max_blocked_seconds: Annotated[
        Seconds,
        Meta(description="Maximum time for which an account is not called after a report of an exhausted rate limit."),
    ] = 3600.0
    probe: Annotated[
        bool,
        Meta(description="Whether a blocked backend is probed with a request for its list of models, which is free."),
    ] = False
