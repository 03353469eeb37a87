"""Calls a gateway with the vendors' SDKs. Run by the Python of an SDK's own environment; needs nothing but the SDKs.

    python sdk_calls.py CALL BASE_URL KEY FOLDER MODEL

Reads the pictures image-0.png ... and mask.png from FOLDER, writes what it got to out-0.png ... there, and prints one
JSON object: what the SDK made of the reply.
"""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import openai
import together


def openai_client(base: str, key: str) -> Any:
    return openai.OpenAI(base_url=f"{base}/v1", api_key=key, max_retries=0)


def together_client(base: str, key: str) -> Any:
    """Build a client. The newest SDK adds /v1 by itself and the old one does not. People write addresses for both."""
    return together.Together(base_url=f"{base}/v1", api_key=key)


def azure_client(base: str, key: str, **options: str) -> Any:
    return openai.AzureOpenAI(
        azure_endpoint=base, api_key=key, api_version="2025-04-01-preview", max_retries=0, **options
    )


def generate(base: str, key: str, folder: Path, model: str) -> Any:
    del folder
    client = openai_client(base, key)
    return client.images.generate(model=model, prompt="a red fox", size="1536x1024", quality="low", n=2)


def generate_url(base: str, key: str, folder: Path, model: str) -> Any:
    del folder
    return openai_client(base, key).images.generate(model=model, prompt="a red fox", response_format="url")


def edit_one(base: str, key: str, folder: Path, model: str) -> Any:
    client = openai_client(base, key)
    with (folder / "image-0.png").open("rb") as image:
        return client.images.edit(model=model, prompt="add a fox", image=image)


def edit_many(base: str, key: str, folder: Path, model: str) -> Any:
    client = openai_client(base, key)
    images = [(folder / f"image-{index}.png").read_bytes() for index in range(16)]
    mask = (folder / "mask.png").read_bytes()
    return client.images.edit(model=model, prompt="join them", image=images, mask=mask, size="1024x1024", n=1)


def together_generate(base: str, key: str, folder: Path, model: str) -> Any:
    del folder
    images = together_client(base, key).images
    return images.generate(model=model, prompt="a red fox", width=1024, height=1024, n=2, response_format="base64")


def failing(base: str, key: str, folder: Path, model: str) -> Any:
    """Return the error of a wrong size in the SDK."""
    del folder
    try:
        openai_client(base, key).images.generate(model=model, prompt="a red fox", size="1920x1080")
    except openai.BadRequestError as error:
        return {"code": error.code, "param": error.param, "request_id": error.request_id}
    return {}


def models(base: str, key: str, folder: Path, model: str) -> Any:
    del folder
    client = openai_client(base, key)
    one = client.models.retrieve(model)
    return {"ids": [known.id for known in client.models.list()], "one": one.id, "owned_by": one.owned_by}


def files(base: str, key: str, folder: Path, model: str) -> Any:
    """Upload an image once, edit it by its id, fetch it, and delete it."""
    client = openai_client(base, key)
    with (folder / "image-0.png").open("rb") as image:
        file = client.files.create(file=image, purpose="vision")
    body = {"model": model, "prompt": "add a fox", "images": [{"file_id": file.id}]}
    edited = client.post("/images/edits", cast_to=openai.types.ImagesResponse, body=body)
    content = client.files.content(file.id).read()
    known = client.files.retrieve(file.id)
    gone = client.files.delete(file.id)
    try:
        client.files.retrieve(file.id)
    except openai.NotFoundError as error:
        code = error.code
    return {
        "filename": known.filename,
        "same": known == file,
        "edited": len(edited.data),
        "fetched": content == (folder / "image-0.png").read_bytes(),
        "deleted": gone.deleted,
        "code": code,
    }


def files_listed(base: str, key: str, folder: Path, model: str) -> Any:
    """Upload files for two hours, list them page by page, and delete them on the way."""
    del model
    client, lent = openai_client(base, key), []
    for _ in range(3):
        with (folder / "image-0.png").open("rb") as image:
            expiry: Any = {"anchor": "created_at", "seconds": 7200}
            lent.append(client.files.create(file=image, purpose="vision", expires_after=expiry))
    listed = [file.id for file in client.files.list(limit=1)]
    ours = [file.id for file in lent]
    for file in client.files.list(limit=1, order="asc"):
        if file.id in ours:
            client.files.delete(file.id)
    return {
        "seconds": [file.expires_at - file.created_at for file in lent],
        "newest_first": [name for name in listed if name in ours] == ours[::-1],
        "left": [file.id for file in client.files.list() if file.id in ours],
    }


def azure_generate(base: str, key: str, folder: Path, model: str) -> Any:
    """Generate with the model in the address and in the body."""
    del folder
    return azure_client(base, key).images.generate(model=model, prompt="a red fox", quality="low")


def azure_deployment(base: str, key: str, folder: Path, model: str) -> Any:
    """Generate with the model in the address alone."""
    del folder
    client = azure_client(base, key, azure_deployment=model)
    return client.images.generate(prompt="a red fox", quality="low")


def azure_v1(base: str, key: str, folder: Path, model: str) -> Any:
    """Generate through Azure's newer API, which takes OpenAI's own client."""
    del folder
    client = openai.OpenAI(base_url=f"{base}/openai/v1/", api_key=key, max_retries=0)
    return client.images.generate(model=model, prompt="a red fox", quality="low")


def azure_edit(base: str, key: str, folder: Path, model: str) -> Any:
    with (folder / "image-0.png").open("rb") as image:
        return azure_client(base, key).images.edit(model=model, prompt="add a fox", image=image)


def azure_stream(base: str, key: str, folder: Path, model: str) -> Any:
    del folder
    client = azure_client(base, key)
    events = client.images.generate(model=model, prompt="a red fox", quality="low", stream=True, partial_images=1)
    return {"events": [event.type for event in events]}


def azure_rest(base: str, key: str, folder: Path, model: str) -> Any:
    """Call the routes without a deployment, with no model in the address."""
    client = azure_client(base, key)
    try:
        azure_client(base, key, azure_deployment=model).images.generate(model="gpt-image-2.6-flare", prompt="a red fox")
    except openai.BadRequestError as error:
        refused = [error.code, error.param]
    with (folder / "image-0.png").open("rb") as image:
        file = client.files.create(file=image, purpose="vision")
    listed = [file.id for file in client.files.list(limit=1)]
    client.files.delete(file.id)
    models = [file.id for file in client.models.list().data]
    return {"models": model in models, "refused": refused, "listed": file.id in listed}


CALLS = {
    call.__name__: call
    for call in (
        generate,
        generate_url,
        edit_one,
        edit_many,
        together_generate,
        failing,
        models,
        files,
        files_listed,
        azure_generate,
        azure_deployment,
        azure_v1,
        azure_edit,
        azure_stream,
        azure_rest,
    )
}


def main(call: str, base: str, key: str, folder: str, model: str) -> None:
    reply = CALLS[call](base, key, Path(folder), model)
    if isinstance(reply, dict):
        sys.stdout.write(json.dumps(reply))
        return
    for index, item in enumerate(reply.data):
        if item.b64_json:
            (Path(folder) / f"out-{index}.png").write_bytes(base64.b64decode(item.b64_json))
    facts = {
        "count": len(reply.data),
        "urls": [item.url for item in reply.data if getattr(item, "url", None)],
        "output_tokens": getattr(getattr(reply, "usage", None), "output_tokens", None),
        "size": getattr(reply, "size", None),
        "quality": getattr(reply, "quality", None),
    }
    sys.stdout.write(json.dumps(facts))


if __name__ == "__main__":
    main(*sys.argv[1:])
