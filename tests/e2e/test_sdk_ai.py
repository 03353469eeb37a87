"""Vercel's AI SDK against the vendors' simulators: its providers for OpenAI, for Together and for compatible APIs.

Rule: each documented option works, or is refused by name. For n images of an unknown model the SDK sends n requests at
once, and all are generated. A retry after a failure is not generated again.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.sdk_ai import draw
from tests.simulators.images import Sketch, encode_image
from tests.simulators.server import Answer, Simulator
from tests.support.gateway import GatewayProcess
from tests.support.images import mask, png
from tests.support.sdk_js import digest

FLUX, FLEX = "black-forest-labs/FLUX.2-pro", "black-forest-labs/FLUX.2-flex"
PROVIDERS = ("openai", "togetherai", "compatible")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two images and a mask."""
    bodies = {"first.png": png(), "second.png": png(color=(10, 80, 200)), "mask.png": mask()}
    for name, body in bodies.items():
        (tmp_path / name).write_bytes(body)
    return [tmp_path / name for name in bodies]


def vendors(size: tuple[int, int], count: int = 1) -> list[dict[str, object]]:
    """Return the digests of a simulator's images."""
    return [digest(encode_image(Sketch(size=size, index=index))) for index in range(count)]


def test_openais_provider_generates(openai_gateway: GatewayProcess, openai_sim: Simulator) -> None:
    chosen = {"quality": "low", "background": "opaque", "moderation": "low", "user": "u-1"}
    options = {"prompt": "a red fox", "n": 2, "size": "1536x1024", "providerOptions": {"openai": chosen}}
    drawn = draw(openai_gateway, "openai", "gpt-image-2", options)
    assert drawn.error == {}
    assert (drawn.digests, drawn.usage["outputTokens"]) == (vendors((1536, 1024), 2), 316)
    (received,) = openai_sim.requests
    assert {name: received.fields[name] for name in chosen} == chosen | {"user": received.fields["user"]}
    assert received.fields["user"] != "u-1"


@pytest.mark.parametrize(("provider", "calls"), [("openai", 2), ("togetherai", 2), ("compatible", 1)])
def test_each_provider_generates_through_together(
    together_gateway: GatewayProcess, together_sim: Simulator, provider: str, calls: int
) -> None:
    """Two identical requests at once are two generations, if the SDK does not know that n may be two."""
    together_sim.answer(*[Answer(delay=0.5)] * calls)
    drawn = draw(together_gateway, provider, FLUX, {"prompt": "a red fox", "n": 2, "size": "1024x768"})
    assert drawn.error == {}
    assert drawn.digests == (vendors((1024, 768), 2) if calls == 1 else vendors((1024, 768)) * 2)
    assert (len(drawn.headers), len(together_sim.requests)) == (calls, calls)
    assert len({header["x-request-id"] for header in drawn.headers}) == calls
    for received in together_sim.requests:
        assert (received.fields["width"], received.fields["height"]) == (1024, 768)


def test_togethers_provider_sends_its_documented_options(
    together_gateway: GatewayProcess, together_sim: Simulator
) -> None:
    options = {"prompt": "a red fox", "seed": 7, "providerOptions": {"togetherai": {"steps": 30, "guidance": 2.5}}}
    assert draw(together_gateway, "togetherai", FLEX, options).error == {}
    (received,) = together_sim.requests
    expected = {"seed": 7, "steps": 30, "guidance_scale": 2.5}
    assert {name: received.fields[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"disable_safety_checker": True}, "disable_safety_checker"),
        ({"negative_prompt": "dogs"}, "negative_prompt"),
    ],
)
def test_an_unsupported_option_is_refused_by_name(
    together_gateway: GatewayProcess, together_sim: Simulator, options: Mapping[str, Any], message: str
) -> None:
    drawn = draw(together_gateway, "togetherai", FLEX, {"prompt": "a fox", "providerOptions": {"togetherai": options}})
    assert (drawn.error["class"], drawn.error["status"]) == ("AI_APICallError", 400)
    assert message in drawn.error["message"]
    assert together_sim.requests == []


@pytest.mark.parametrize("provider", ["openai", "compatible"])
@pytest.mark.parametrize(("count", "part"), [(1, "image"), (2, "image[]")])
def test_each_provider_edits_with_files(
    openai_gateway: GatewayProcess, openai_sim: Simulator, files: list[Path], provider: str, count: int, part: str
) -> None:
    options = {"prompt": "add a fox", "size": "1024x1024"}
    drawn = draw(openai_gateway, provider, "gpt-image-2", options, images=files[:count], mask=files[-1])
    assert drawn.error == {}
    assert drawn.digests == vendors((1024, 1024))
    (received,) = openai_sim.requests
    assert [file.part_name for file in received.files] == [part] * count + ["mask"]
    assert [file.body for file in received.files] == [path.read_bytes() for path in [*files[:count], files[-1]]]


def test_togethers_provider_edits_with_a_url(
    together_gateway: GatewayProcess, together_sim: Simulator, files: list[Path]
) -> None:
    options = {"prompt": "add a fox", "size": "1024x768"}
    drawn = draw(together_gateway, "togetherai", FLUX, options, images=files[:1])
    assert (drawn.error, drawn.digests) == ({}, vendors((1024, 768)))
    (received,) = together_sim.requests
    (image,) = received.fields["reference_images"]
    assert image.startswith("data:image/png;base64,")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_invalid_request_raises_an_error_without_a_retry(sandbox_gateway: GatewayProcess, provider: str) -> None:
    options = {"prompt": "a red fox", "size": "1920x1080", "maxRetries": 2}
    error = draw(sandbox_gateway, provider, "gpt-image-2", options).error
    assert (error["class"], error["status"], error["tries"]) == ("AI_APICallError", 400, 1)
    assert "1920x1080" in error["message"]


def test_a_retry_of_a_call_that_may_have_been_billed_calls_no_vendor(tmp_path: Path, together_sim: Simulator) -> None:
    """The settings are the shipped ones. The SDK retries after two seconds, whatever the refusal advises."""
    together_sim.answer(Answer(fault="close_mid_body"))
    environment = {"TOGETHER_API_KEY": "tgp-operator", "TOGETHER_BASE_URL": together_sim.url}
    with GatewayProcess(tmp_path / "data", environment) as gateway:
        error = draw(gateway, "togetherai", FLUX, {"prompt": "a red fox", "maxRetries": 1}).error
    assert (error["tries"], error["status"]) == (2, 502)
    assert len(together_sim.requests) == 1
