"""Paths of other API flavours, and the gateway's own paths that they stand for.

Rule: pure. `AzureOpenAI` of OpenAI's SDKs sends `/openai/deployments/{model}/images/…` and `/openai/models`; Azure's
newer API is `/openai/v1/…`. Together's Python SDK from 2.1 sends `/v1/v1/…` when its base_url ends in `/v1`. The query
parameter `api-version` of Azure has no effect. Every other path is left as it is.
"""

import re

DOUBLED_V1 = "/v1/v1/"
AZURE = "/openai/"
AZURE_V1 = "/openai/v1/"
AZURE_VERSION_PARAM = "api-version"
DEPLOYMENT = re.compile(r"/openai/deployments/(?P<model>.+)/(?P<path>images/(?:generations|edits))/?")


def canonical_path(path: str) -> tuple[str, str | None]:
    """Return the gateway's own path, and the model that the path names, if it names one."""
    if not path.startswith((DOUBLED_V1, AZURE)):
        return path, None
    match = DEPLOYMENT.fullmatch(path)
    if match:
        return f"/v1/{match['path']}", match["model"]
    prefix = next(alias for alias in (DOUBLED_V1, AZURE_V1, AZURE) if path.startswith(alias))
    return f"/v1/{path.removeprefix(prefix)}", None


def is_azure_path(raw_path: bytes) -> bool:
    """Whether a path, as it was sent, is one of Azure's SDKs."""
    return raw_path.startswith(AZURE.encode())
