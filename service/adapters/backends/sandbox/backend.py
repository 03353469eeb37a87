"""A backend without a vendor: draws in this process, and fails in every way that a vendor can, on demand.

Rule: whoever calls it cannot tell it from a vendor by anything but the picture: the same usage arithmetic, the same
failures, read by the same code. As with a vendor each call draws another sample, unless the request names a seed; its
number is on the picture, so that what was drawn anew can be told from what was kept. It has no dependency that could
fail; a caller's broken picture is the caller's fault.
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
from service.usecases.ports.backends import Reply
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
    """A vendor's refusal as it comes over HTTP. `error` is what the envelope holds; headers have lower-case names."""

    status: int
    error: Mapping[str, object]
    headers: Mapping[str, str] = field(default_factory=dict)


SandboxFault = VendorReply | Failure
"""What can go wrong: a refusal that a vendor words, or a failure of the network, which no one words."""


def _vendor_reply(  # noqa: PLR0913 (the columns of the table below)
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
"""Every failure by the name that settings and directives use. Sources: `docs/vendors.md`."""

KNOWN_FAULTS = tuple(FAULTS)


def named_failure(name: str) -> Failure:
    """The failure of that name, read as a real one would be. Raises `ValueError` listing the known names."""
    fault = FAULTS.get(name)
    if fault is None:
        raise ValueError(f"The sandbox knows no failure '{name}'. It knows {', '.join(KNOWN_FAULTS)}.")
    if isinstance(fault, Failure):
        return fault
    return read_failure(fault.status, fault.headers, msgspec.json.encode({"error": fault.error}))


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """How the sandbox behaves.

    Args:
        delay_seconds: How long it waits before it draws or fails.
        fail: The name of the failure that every request ends in, or None.
        prompt_directives: Do directives such as `[sandbox delay=2.5]` or `[sandbox fail=slow_down]` in a prompt count?
        threads: How many pictures are drawn at a time.

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
    """A number for a sample, which replicas do not share."""
    return secrets.token_hex(3)


class SandboxBackend:
    """Draws by itself. `sleep` waits a number of seconds, `sample` gives a number for each call."""

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
        """No: it has to see the pictures."""
        return False

    async def generate(self, request: UpstreamRequest, listener: RequestListener) -> Reply:
        """Wait, then fail or draw, as the settings and, where they count, the prompt's directives say."""
        try:
            settings = apply_directives(self._settings, request.spec.prompt)
        except ValueError as wrong:
            return Reply(outcome=_invalid(str(wrong), "prompt", "invalid_value"))
        pause = settings.delay_seconds / (request.partials + 1)
        await self._sleep(pause)
        if settings.fail is not None:
            return Reply(outcome=named_failure(settings.fail))
        try:
            purchase = await self._draw(request)
        except UnreadableFile as broken:
            return Reply(outcome=_invalid(broken.message, broken.param, broken.code))

        for index in range(request.partials):
            await listener.on_preview(await self._preview(purchase, index))
            await self._sleep(pause)
        return Reply(outcome=purchase, previews=request.partials)

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
    """The settings for one request. Raises `ValueError` naming a directive that cannot be followed."""
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
    """The tier that was asked for, or the middle one where this route has tiers."""
    known = request.price.tokens.output_tokens(DEFAULT_TIER, size) is not None
    return request.spec.tier or (DEFAULT_TIER if known else None)


def count_tokens(request: UpstreamRequest, size: Size, tier: str | None) -> Usage | None:
    """Tokens by the vendor's formula: n pictures count as n runs. None where the route has no price by token."""
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
