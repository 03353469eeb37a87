"""Hooks of schemathesis, beside the document. They run in `.venv-schema`, not in `.venv`.

Rule: no hook spares the gateway anything. Files of images get the bytes of an image, because a schema cannot describe a
PNG. Two more checks compare every reply with the promises of all errors.
"""

import base64
from typing import Any

import schemathesis  # type: ignore[import-not-found,unused-ignore]
from hypothesis import strategies as st

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAIAAAAlC+aJAAAAYklEQVR4nO3PMQ0AIADAMEAI/qUgCxEcDcmqYJtn7/GzpQNeNaA1oDWgNaA1oDWg"
    "NaA1oDWgNaA1oDWgNaA1oDWgNaA1oDWgNaA1oDWgNaA1oDWgNaA1oDWgNaBdQ3UBhOjh6FcAAAAASUVORK5CYII="
)
OWN = {"authorization", "content-type", "accept", "user-agent"}
FIRST_ERROR = 400
MISUNDERSTOOD = {"invalid_json", "invalid_form", "unknown_parameter", "missing_required_parameter"}
ERROR = {"message", "type", "param", "code"}

for kind in ("image/png", "image/jpeg", "image/webp"):
    schemathesis.openapi.media_type(kind, st.just(PNG))


@schemathesis.hook  # type: ignore[untyped-decorator,unused-ignore]
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Replace a file that an example names with an image."""
    del context, kwargs
    if case.media_type == "multipart/form-data" and isinstance(case.body, dict):
        for name, value in case.body.items():
            if isinstance(value, list):
                case.body[name] = [_file(item) for item in value]
            else:
                case.body[name] = _file(value)


def _file(value: object) -> object:
    return PNG if isinstance(value, str) and value.startswith("@") else value


@schemathesis.hook  # type: ignore[untyped-decorator,unused-ignore]
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Reduce the schema of a stream to that of an event.

    Schemathesis compares each event with the schema, as in 3.2; in 3.1 it describes the whole body. Schemathesis
    compares the path of a server with that of `base-url`, and does not resolve it against the document's address.
    """
    del context
    raw_schema["servers"] = [{"url": "/"}]
    for methods in raw_schema["paths"].values():
        for operation in methods.values():
            for response in operation["responses"].values():
                stream = response.get("content", {}).get("text/event-stream")
                if stream:
                    stream["schema"] = stream["schema"]["contentSchema"]["items"]
                    stream.pop("examples", None)


@schemathesis.hook  # type: ignore[untyped-decorator,unused-ignore]
def filter_case(context: Any, case: Any) -> bool:
    """Drop requests with unknown headers.

    The gateway accepts them, because HTTP requires it and proxies add their own.
    """
    known = {parameter.name.lower() for parameter in context.operation.headers}
    return all(name.lower() in known or name.lower() in OWN for name in case.headers or {})


@schemathesis.check  # type: ignore[untyped-decorator,unused-ignore]
def one_envelope(context: Any, response: Any, case: Any) -> None:
    """Require an id in every reply. An error also has the envelope and advice on retries."""
    del context
    assert response.headers.get("x-request-id"), "no x-request-id"
    is_health = case.operation.path.startswith("/health")
    if response.status_code < FIRST_ERROR or (is_health and response.status_code != 405):
        return
    body = response.json()
    assert set(body) == {"error"}, "an error is one envelope"
    assert body["error"].keys() >= ERROR, "an error has a message, a type, a param and a code"
    assert response.headers["x-should-retry"][0] in {"true", "false"}


@schemathesis.check  # type: ignore[untyped-decorator,unused-ignore]
def understood(context: Any, response: Any, case: Any) -> None:
    """Refuse an error that calls a valid request malformed. It may be impossible, such as a size that a model lacks."""
    del context
    is_allowed = case.meta is not None and case.meta.generation.mode.value == "positive"
    if is_allowed and response.status_code == FIRST_ERROR:
        error = response.json()["error"]
        is_of_other_models = "not supported by model" in error["message"]
        assert is_of_other_models or error["code"] not in MISUNDERSTOOD, f"what the document allows is {error['code']}"
