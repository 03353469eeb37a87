"""Addresses as SDKs spell them, and the paths that they mean here.

Rule: pure. `AzureOpenAI` of OpenAI's SDKs asks for `/openai/deployments/{model}/images/…` and `/openai/models`; Azure's
newer surface is `/openai/v1/…`. Together's Python SDK from 2.1 asks for `/v1/v1/…` when its base_url ends in `/v1`. The
`api-version` behind the question mark is not read there. Every other path is left as it is.
"""

import re

DOUBLED_V1 = "/v1/v1/"
AZURE = "/openai/"
AZURE_V1 = "/openai/v1/"
AZURE_VERSION_PARAM = "api-version"
DEPLOYMENT = re.compile(r"/openai/deployments/(?P<model>.+)/(?P<path>images/(?:generations|edits))/?")


def canonical_path(path: str) -> tuple[str, str | None]:
    """The path here, and the model that the address names, if it names one."""
    if not path.startswith((DOUBLED_V1, AZURE)):
        return path, None
    match = DEPLOYMENT.fullmatch(path)
    if match:
        return f"/v1/{match['path']}", match["model"]
    prefix = next(spelled for spelled in (DOUBLED_V1, AZURE_V1, AZURE) if path.startswith(spelled))
    return f"/v1/{path.removeprefix(prefix)}", None


def is_azure_path(raw_path: bytes) -> bool:
    """Is this path, as it was sent, one that Azure's SDKs ask for?"""
    return raw_path.startswith(AZURE.encode())
