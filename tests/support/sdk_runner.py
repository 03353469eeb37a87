"""Calls a gateway with the vendors' SDKs for Python, as `tests/sdk_js/run.mjs` does with the one for JavaScript.

    python sdk_runner.py < calls        by the Python of an SDK's own environment; needs nothing but the SDKs

One line of JSON comes in for each call:

    sdk         "openai" or "together"
    operation   "generate" or "edit"
    params      what the SDK is given; `stream: true` among it makes the answer a stream
    files       pictures of an edit by parameter, or lists of them: paths
    client      options of the client: base_url, api_key, timeout (in seconds), max_retries
    headers     of this call alone

"ready" comes out once the SDKs are there. Then comes one line of JSON for each thing that an SDK handed over: "headers"
(the answer's x-*, where the SDK shows them), "result", "event" with its class for each event of a stream and "end"
after the last, or "error" with what the SDK raised; then "done". Base64 is replaced by its length and digest.
"""

import hashlib
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import openai
import together

FIRST_TOGETHER = version("together").startswith("1.")


def print_line(what: str, **facts: Any) -> None:
    sys.stdout.write(json.dumps({"what": what, **facts}) + "\n")
    sys.stdout.flush()


def small(value: Any) -> Any:
    """A document with its base64 made short."""
    if isinstance(value, list):
        return [small(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: digest(item) if name == "b64_json" and item else small(item) for name, item in value.items()}


def digest(base64: str) -> dict[str, object]:
    return {"length": len(base64), "sha256": hashlib.sha256(base64.encode()).hexdigest()}


def ours(headers: Any) -> dict[str, str]:
    return {name.lower(): text for name, text in headers.items() if name.lower().startswith("x-")}


def open_file(file: Any) -> Any:
    return [open_file(path) for path in file] if isinstance(file, list) else Path(file).open("rb")


def perform(call: dict[str, Any]) -> None:
    client = call["client"]
    if call["sdk"] == "openai":
        images = openai.OpenAI(**client).images
    elif FIRST_TOGETHER:  # sends headers for the whole client only, and shows none
        images = together.Together(**client, supplied_headers=call["headers"]).images
        print_line("result", result=small(images.generate(**call["params"]).model_dump(mode="json")))
        return
    else:
        images = together.Together(**client).images
    files = {name: open_file(file) for name, file in call["files"].items()}
    operation = getattr(images.with_raw_response, call["operation"])
    answer = operation(**call["params"], **files, extra_headers=call["headers"])
    print_line("headers", headers=ours(answer.headers))
    if not call["params"].get("stream"):
        print_line("result", result=small(answer.parse().model_dump(mode="json")))
        return
    for event in answer.parse():
        print_line("event", event=small(event.model_dump(mode="json")), type=type(event).__name__)
    print_line("end")


def failed(error: Exception) -> None:
    facts = {name: getattr(error, name, None) for name in ("code", "param", "type", "request_id")}
    response = getattr(error, "response", None)
    if response is not None:
        print_line("headers", headers=ours(response.headers))
    status = getattr(error, "status_code", None)
    print_line("error", error={"class": type(error).__name__, "status": status, "message": str(error), **facts})


def main() -> None:
    print_line("ready")
    for line in sys.stdin:
        try:
            perform(json.loads(line))
        except Exception as error:  # noqa: BLE001 (whatever an SDK raises is what its caller gets)
            failed(error)
        print_line("done")


if __name__ == "__main__":
    main()
