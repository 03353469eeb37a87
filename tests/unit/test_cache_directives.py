"""Cache directives of a caller's headers."""

from dataclasses import replace

import pytest

from service.domain.cache_directives import CacheDirectives, InFlightRules, parse_cache_directives, wants_variation
from service.domain.errors import InvalidValue
from service.domain.team_access import InFlightPolicy, Key, Team


@pytest.mark.parametrize(
    ("header", "terms"),
    [
        (None, CacheDirectives()),
        ("", CacheDirectives()),
        ("public, max-stale=5, immutable", CacheDirectives()),
        ("no-store", CacheDirectives(allow_cached=False)),
        ("No-Cache", CacheDirectives(max_age=0)),
        ("max-age=60", CacheDirectives(max_age=60)),
        (' max-age = "60" , no-transform', CacheDirectives(max_age=60)),
        ("only-if-cached", CacheDirectives(only_if_cached=True)),
        ("only-if-cached, max-age=5", CacheDirectives(only_if_cached=True, max_age=5)),
    ],
)
def test_cache_control_is_read(header: str | None, terms: CacheDirectives) -> None:
    assert parse_cache_directives({} if header is None else {"cache-control": header}) == terms


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cache-control", "max-age"),
        ("cache-control", "max-age=-1"),
        ("cache-control", "max-age=1.5"),
        ("cache-control", "max-age=99999999999"),
        ("cache-control", "max-age=²"),
        ("cache-control", "no-store, only-if-cached"),
        ("x-gateway-variant", ""),
        ("x-gateway-variant", "-1"),
        ("x-gateway-variant", "two"),
        ("x-gateway-variant", "1000001"),
        ("x-stainless-retry-count", "many"),
        ("idempotency-key", ""),
        ("idempotency-key", '""'),
        ("idempotency-key", "k" * 256),
        ("idempotency-key", "clé"),
        ("idempotency-key", "a\tb"),
    ],
)
def test_what_cannot_be_understood_is_refused(name: str, text: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        parse_cache_directives({name: text})
    assert refused.value.param == name


def test_a_variant_is_a_number() -> None:
    assert parse_cache_directives({"x-gateway-variant": " 7 "}).variant == 7


@pytest.mark.parametrize(("text", "key"), [("a b", "a b"), ('"8e03"', "8e03"), ('"', '"'), ("k" * 255, "k" * 255)])
def test_a_key_is_taken_with_or_without_quotes(text: str, key: str) -> None:
    assert parse_cache_directives({"idempotency-key": text}).idempotency_key == key


@pytest.mark.parametrize(("text", "tries", "again"), [(None, None, False), ("0", 0, False), ("2", 2, True)])
def test_a_request_that_was_sent_before_says_so(text: str | None, tries: int | None, again: bool) -> None:
    terms = parse_cache_directives({} if text is None else {"x-stainless-retry-count": text})
    assert (terms.retry_count, terms.is_retry) == (tries, again)


@pytest.mark.parametrize(
    ("text", "variant", "vary"), [(None, 0, None), ("0", 0, False), ("2", 2, False), ("Auto", 0, True)]
)
def test_a_variant_is_a_number_or_left_to_the_gateway(text: str | None, variant: int, vary: bool | None) -> None:
    terms = parse_cache_directives({} if text is None else {"x-gateway-variant": text})
    assert (terms.variant, terms.is_varied) == (variant, vary)


AI_SDK = "ai/6.0.3 ai-sdk/openai/3.0.141 ai-sdk/provider-utils/4.0.23 runtime/node.js/24"
RULES = InFlightRules(user_agents=("ai-sdk", "agent-*-images"))
JOIN, VARY = InFlightPolicy


@pytest.mark.parametrize(
    ("vary", "key", "team", "user_agent", "default", "varied"),
    [
        (None, None, None, "OpenAI/Python 3.57.0", JOIN, False),
        (None, None, None, "OpenAI/Python 3.57.0", VARY, True),
        (None, None, None, AI_SDK, JOIN, True),
        (None, None, None, AI_SDK.upper(), JOIN, True),
        (None, None, None, "agent-7-images/1", JOIN, True),
        (None, None, JOIN, AI_SDK, JOIN, False),
        (None, VARY, JOIN, "curl/8", JOIN, True),
        (None, JOIN, VARY, AI_SDK, VARY, False),
        (True, JOIN, JOIN, "curl/8", JOIN, True),
        (False, VARY, VARY, AI_SDK, VARY, False),
    ],
)
def test_request_key_team_client_and_gateway_decide_in_this_order(
    *,
    vary: bool | None,
    key: InFlightPolicy | None,
    team: InFlightPolicy | None,
    user_agent: str,
    default: InFlightPolicy,
    varied: bool,
) -> None:
    who = Key(id="search-1", team=Team(name="search", in_flight=team), digest="", in_flight=key)
    assert wants_variation(CacheDirectives(is_varied=vary), who, user_agent, replace(RULES, default=default)) is varied
