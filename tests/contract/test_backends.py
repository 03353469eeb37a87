"""The backend port: the fake, the sandbox, and both vendors over real HTTP."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from service.adapters.backends.dialect import Dialect
from service.adapters.backends.http import HttpBackend, HttpBackendSettings
from service.adapters.backends.openai import OpenAIDialect
from service.adapters.backends.sandbox.backend import SandboxBackend, SandboxSettings
from service.adapters.backends.together import TogetherDialect
from service.domain.errors import Failure, FailureKind
from service.domain.generation import Generation
from service.domain.image_spec import Size, Spec
from service.usecases.ports.backends import Backend
from service.usecases.ports.requests import UpstreamRequest
from tests.fakes.backends import FakeBackend, call
from tests.fakes.builders import build_generation, failure, price, route, spec
from tests.simulators import openai, together
from tests.simulators.server import Simulator

SIZE = Size(1024, 1024)


@dataclass(frozen=True)
class Stage:
    """A backend, its name for a model, and how to make its next call fail for want of money."""

    backend: Backend
    model: str
    go_broke: Callable[[], None]

    def order(self, wanted_spec: Spec) -> UpstreamRequest:
        return UpstreamRequest(spec=wanted_spec, route=route(model=self.model), price=price(), request_id="req_1")


@asynccontextmanager
async def over_http(vendor: Simulator, dialect: Dialect) -> AsyncIterator[HttpBackend]:
    backend = HttpBackend(HttpBackendSettings(base_url=vendor.base_url, api_key="sk-operator"), dialect)
    try:
        yield backend
    finally:
        await backend.close()


@pytest.fixture(params=["fake", "sandbox", "openai", "together"])
async def stage(request: pytest.FixtureRequest, openai_sim: Simulator, together_sim: Simulator) -> AsyncIterator[Stage]:
    match request.param:
        case "fake":
            fake = FakeBackend(build_generation("one", "two"))
            yield Stage(fake, "x", lambda: fake.reply_next(failure(FailureKind.QUOTA_EXHAUSTED)))
        case "sandbox":
            broke = SandboxSettings(prompt_directives=True)
            yield Stage(SandboxBackend(broke), "x", lambda: None)
        case "openai":
            async with over_http(openai_sim, OpenAIDialect()) as backend:
                yield Stage(backend, "gpt-image-2", lambda: openai_sim.answer(openai.FAULTS["insufficient_quota"]))
        case _:
            async with over_http(together_sim, TogetherDialect()) as backend:
                yield Stage(
                    backend, "openai/gpt-image-2", lambda: together_sim.answer(together.FAULTS["payment_required"])
                )


async def test_it_delivers_as_many_pictures_as_were_ordered(stage: Stage) -> None:
    outcome = await call(stage.backend, stage.order(spec(n=2, size=SIZE)))
    assert isinstance(outcome, Generation), outcome
    assert len({bytes(image.base64) for image in outcome.images}) == 2
    assert outcome.size in {SIZE, None}


async def test_it_returns_its_failures(stage: Stage) -> None:
    stage.go_broke()
    outcome = await call(stage.backend, stage.order(spec(prompt="[sandbox fail=insufficient_quota]")))
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.QUOTA_EXHAUSTED
