"""Aliases of SDKs lead to the gateway's own paths; other paths stay."""

import pytest

from service.api.http.path_aliases import canonical_path

GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"


@pytest.mark.parametrize(
    ("path", "here", "model"),
    [
        (GENERATIONS, GENERATIONS, None),
        ("/v1/v1/images/edits", EDITS, None),
        ("/openai/v1/images/generations", GENERATIONS, None),
        ("/openai/v1/models/gpt-image-2", "/v1/models/gpt-image-2", None),
        ("/openai/models", "/v1/models", None),
        ("/openai/files/img_0/content", "/v1/files/img_0/content", None),
        ("/openai/deployments/gpt-image-2/images/generations", GENERATIONS, "gpt-image-2"),
        ("/openai/deployments/gpt-image-2/images/edits/", EDITS, "gpt-image-2"),
        ("/openai/deployments/black-forest-labs/FLUX.2-pro/images/edits", EDITS, "black-forest-labs/FLUX.2-pro"),
        ("/openai/deployments/gpt-6/chat/completions", "/v1/deployments/gpt-6/chat/completions", None),
        ("/openai", "/openai", None),
        ("/openai.yaml", "/openai.yaml", None),
        ("/admin/v1/keys", "/admin/v1/keys", None),
        ("/", "/", None),
    ],
)
def test_an_alias_has_a_path_and_may_have_a_model(path: str, here: str, model: str | None) -> None:
    assert canonical_path(path) == (here, model)
