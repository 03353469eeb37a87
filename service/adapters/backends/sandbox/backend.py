"""A backend without a vendor: draws images in this process, and fails on demand in every way of a vendor.

Rule: only the image shows that this is no vendor. Usage has a vendor's arithmetic, and failures are a vendor's, read by
the code of OpenAI's dialect. Each call draws another sample, unless the request has a seed. The image shows the
sample's number, so that a new image differs from a cached one.

Fails with: the failure that settings or a prompt's directive name; `INVALID_REQUEST` for a broken image of the caller.
"""

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

import msgspec
import pybase64

from service.adapters.backends.openai import read_failure
from service.adapters.backends.sandbox.drawing import draw, preview
from service.domain.errors import Failure, FailureKind, UnreadableFile
from service.domain.generation import GeneratedImage, Generation, Preview, Usage
from service.domain.image_spec import Size, Spec, fingerprint
from service.domain.pricing import TOKENS_PER_PARTIAL
from service.usecases.ports.backends import Backend, Reply
from service.usecases.ports.requests import RequestListener, UpstreamRequest

DEFAULT_SIZE = Size(1024, 1024)
DEFAULT_TIER = "medium"
LETTERS_PER_TOKEN = 4
TOKENS_PER_REFERENCE = 1450
MAX_DELAY_SECONDS = 600.0
SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)
DIRECTIVE = re.compile(r"\[sandbox ([^\]=]{1,40})=([^\]]{0,60})\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorReply:
    """A vendor's refusal over HTTP. `error` is the content of the envelope; headers have lower-case names."""

    status: int
    error: Mapping[str, object]
    headers: Mapping[str, str] = field(default_factory=dict)


SandboxFault = VendorReply | Failure
"""A fault: a refusal in a vendor's words, or a failure of the network."""


def _vendor_reply(  # noqa: PLR0913 (columns of the table below)
    status: int,
    code: str | None,
    kind: str | None,
    message: str,
    *,
    param: str | None = None,
    retry_after: str | None = None,
    **more: object,
) -> VendorReply:
    error = {"message": message, "type": kind, "param": param, "code": code} | more
    return VendorReply(status=status, error=error, headers={"retry-after": retry_after} if retry_after else {})


INVALID, USER, QUOTA = "invalid_request_error", "image_generation_user_error", "insufficient_quota"
RATE = (
    "Rate limit reached for gpt-image-2 (for limit gpt-image) in organization org-sandbox on input-images per min: "
    "Limit 5, Used 5, Requested 1. Please try again in 12s."
)
BLOCKED = "Your request was rejected by the safety system. safety_violations=[violence]."
DETAILS = {"moderation_stage": "input", "categories": ["violence"]}
UNSUPPORTED_MIMETYPE = (
    "Invalid file 'image[0]': unsupported mimetype ('application/octet-stream'). "
    "Supported file formats are 'image/jpeg', 'image/png', and 'image/webp'."
)
NO_TRANSPARENT_BACKGROUND = "Transparent background is not supported for this model."
UNVERIFIED = "Your organization must be verified to use the model `gpt-image-2`."
NO_CREDIT = "You exceeded your current quota, please check your plan and billing details."

FAULTS: Mapping[str, SandboxFault] = {
    "unknown_parameter": _vendor_reply(
        400, "unknown_parameter", INVALID, "Unknown parameter: 'response_format'.", param="response_format"
    ),
    "invalid_value": _vendor_reply(400, "invalid_value", INVALID, NO_TRANSPARENT_BACKGROUND, param="background"),
    "moderation_blocked": _vendor_reply(400, "moderation_blocked", USER, BLOCKED, moderation_details=DETAILS),
    "content_policy_violation": _vendor_reply(400, "content_policy_violation", None, BLOCKED),
    "unsupported_file_mimetype": _vendor_reply(
        400, "unsupported_file_mimetype", INVALID, UNSUPPORTED_MIMETYPE, param="image[0]"
    ),
    "invalid_api_key": _vendor_reply(401, "invalid_api_key", INVALID, "Incorrect API key provided: sk-sand*******box."),
    "organization_must_be_verified": _vendor_reply(403, None, INVALID, UNVERIFIED),
    "model_not_found": _vendor_reply(
        404, "model_not_found", INVALID, "The model does not exist or you do not have access to it.", param="model"
    ),
    "rate_limit_exceeded": _vendor_reply(429, "rate_limit_exceeded", "input-images", RATE, retry_after="12"),
    "slow_down": _vendor_reply(
        429, "slow_down", None, "Slow down: the rate of requests rose too fast.", retry_after="20"
    ),
    "credit_balance_exhausted": _vendor_reply(
        429, "credit_balance_exhausted", QUOTA, "The credit balance is exhausted."
    ),
    "organization_spend_limit_exceeded": _vendor_reply(
        429, "organization_spend_limit_exceeded", QUOTA, "The organization's spend limit is exceeded."
    ),
    "project_spend_limit_exceeded": _vendor_reply(
        429, "project_spend_limit_exceeded", QUOTA, "The project's spend limit is exceeded."
    ),
    "organization_usage_limit_exceeded": _vendor_reply(
        429, "organization_usage_limit_exceeded", QUOTA, "The organization's usage limit is exceeded."
    ),
    "insufficient_quota": _vendor_reply(429, "insufficient_quota", QUOTA, NO_CREDIT),
    "billing_hard_limit_reached": _vendor_reply(
        400, "billing_hard_limit_reached", INVALID, "Billing hard limit has been reached."
    ),
    "server_error": _vendor_reply(500, "server_error", "server_error", "The server had an error. Please retry."),
    "server_is_overloaded": _vendor_reply(503, "server_is_overloaded", None, "Slow Down", retry_after="5"),
    "timeout": Failure(kind=FailureKind.TIMED_OUT, message="The backend did not answer in time."),
    "connection_refused": Failure(kind=FailureKind.UNREACHABLE, message="The backend cannot be reached."),
    "broken_reply": Failure(kind=FailureKind.BROKEN_REPLY, message="The backend's reply could not be read."),
}
"""Every fault by its name in settings and directives. Sources: `docs/vendors.md`."""

KNOWN_FAULTS = tuple(FAULTS)


def named_failure(name: str) -> Failure:
    """Return the failure of a name, read like a vendor's reply. Raises `ValueError` with the known names."""
    fault = FAULTS.get(name)
    if fault is None:
        raise ValueError(f"The sandbox knows no failure '{name}'. It knows {', '.join(KNOWN_FAULTS)}.")
    if isinstance(fault, Failure):
        return fault
    return read_failure(fault.status, fault.headers, msgspec.json.encode({"error": fault.error}))


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """Settings of the sandbox.

    Attributes:
        delay_seconds: Delay before it draws or fails.
        fail: Name of the failure of every request, or None.
        prompt_directives: Whether directives such as `[sandbox delay=2.5]` or `[sandbox fail=slow_down]` in a
            prompt count.
        threads: Number of images at a time.

    Raises:
        ValueError: `fail` is not in `KNOWN_FAULTS`, or the delay is not from 0 to 600 seconds.
    """

    delay_seconds: float = 0.0
    fail: str | None = None
    prompt_directives: bool = False
    threads: int = 2

    def __post_init__(self) -> None:
        if self.fail is not None:
            named_failure(self.fail)
        if not 0 <= self.delay_seconds <= MAX_DELAY_SECONDS:
            raise ValueError(f"The sandbox can wait 0 to {MAX_DELAY_SECONDS:.0f} seconds, not {self.delay_seconds}.")


def new_sample_number() -> str:
    """Return a random number for a sample, which replicas do not share."""
    return secrets.token_hex(3)


class SandboxBackend(Backend):
    """Draws images in this process. `sleep` waits a number of seconds, `sample` returns a number for each call."""

    def __init__(
        self,
        settings: SandboxSettings,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        sample: Callable[[], str] = new_sample_number,
    ) -> None:
        self._settings = settings
        self._sleep = sleep
        self._sample = sample
        self._gate = asyncio.Semaphore(settings.threads)

    @property
    def accepts_links(self) -> bool:
        """No: it draws from the images themselves."""
        return False

    async def generate(self, request: UpstreamRequest, listener: RequestListener) -> Reply:
        try:
            settings = apply_directives(self._settings, request.spec.prompt)
        except ValueError as error:
            return Reply(outcome=_invalid(str(error), "prompt", "invalid_value"))
        # Previews share the delay, so that a stream takes as long as a single reply.
        pause = settings.delay_seconds / (request.partials + 1)
        await self._sleep(pause)
        if settings.fail is not None:
            return Reply(outcome=named_failure(settings.fail))
        try:
            generation = await self._draw(request)
        except UnreadableFile as error:
            return Reply(outcome=_invalid(error.message, error.param, error.code))

        for index in range(request.partials):
            await listener.on_preview(await self._preview(generation, index))
            await self._sleep(pause)
        return Reply(outcome=generation, previews=request.partials)

    async def _preview(self, generation: Generation, index: int) -> Preview:
        async with self._gate:
            base64 = await asyncio.to_thread(_preview, generation.images[0], index)
        return Preview(
            base64=base64,
            index=index,
            size=str(generation.size),
            tier=generation.tier,
            background=generation.background,
            output_format=generation.output_format,
        )

    async def _draw(self, request: UpstreamRequest) -> Generation:
        spec, size = request.spec, request.spec.size or DEFAULT_SIZE
        tier = resolve_tier(request, size)
        identity, sample = fingerprint(spec), self._sample() if spec.seed is None else ""

        async def draw_one(index: int) -> GeneratedImage:
            async with self._gate:
                return await asyncio.to_thread(_draw_image, spec, identity, index, size, tier, sample)

        return Generation(
            images=tuple(await asyncio.gather(*map(draw_one, range(spec.n)))),
            size=size,
            tier=tier,
            background="transparent" if spec.background == "transparent" else "opaque",
            output_format=spec.output_format,
            usage=count_tokens(request, size, tier),
        )


def _invalid(message: str, param: str | None, code: str | None) -> Failure:
    return Failure(kind=FailureKind.INVALID_REQUEST, message=message, param=param, code=code)


def _draw_image(spec: Spec, identity: str, index: int, size: Size, tier: str | None, sample: str) -> GeneratedImage:  # noqa: PLR0913, PLR0917 (as of `draw`)
    return GeneratedImage(base64=pybase64.b64encode(draw(spec, identity, index, size, tier, sample)))


def _preview(image: GeneratedImage, index: int) -> bytes:
    return pybase64.b64encode(preview(pybase64.b64decode(image.base64), index))


def apply_directives(settings: SandboxSettings, prompt: str) -> SandboxSettings:
    """Return the settings of one request. Raises `ValueError` with a directive that is unknown or invalid."""
    if not settings.prompt_directives:
        return settings
    for name, value in DIRECTIVE.findall(prompt):
        if name not in DIRECTIVES:
            raise ValueError(f"The sandbox knows no directive '{name}'. It knows {', '.join(DIRECTIVES)}.")
        settings = DIRECTIVES[name](settings, value)
    return settings


def _with_delay(settings: SandboxSettings, value: str) -> SandboxSettings:
    if not SECONDS.fullmatch(value):
        raise ValueError(f"The sandbox cannot wait '{value}' seconds.")
    return replace(settings, delay_seconds=float(value))


DIRECTIVES: Mapping[str, Callable[[SandboxSettings, str], SandboxSettings]] = {
    "delay": _with_delay,
    "fail": lambda settings, value: replace(settings, fail=value),
}


def resolve_tier(request: UpstreamRequest, size: Size) -> str | None:
    """Return the requested tier, or the middle one where this route has tiers."""
    known = request.price.tokens.output_tokens(DEFAULT_TIER, size) is not None
    return request.spec.tier or (DEFAULT_TIER if known else None)


def count_tokens(request: UpstreamRequest, size: Size, tier: str | None) -> Usage | None:
    """Count tokens by the vendor's formula: n images count as n runs. None where the route has no price by token."""
    output_tokens = request.price.tokens.output_tokens(tier, size) if request.price.rates and tier else None
    if output_tokens is None:
        return None
    spec = request.spec
    words = max(1, -(-len(spec.prompt) // LETTERS_PER_TOKEN))
    return Usage(
        text_in=words * spec.n,
        image_in=TOKENS_PER_REFERENCE * len(spec.references) * spec.n,
        image_out=output_tokens * spec.n + TOKENS_PER_PARTIAL * request.partials,
    )
