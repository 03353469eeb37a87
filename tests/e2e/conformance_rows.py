"""The rows: for each field and vendor what is sent to the gateway, and what the vendor must, or must not, receive."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import httpx2

from service.domain.team_access import Team, pseudonym
from tests.support.gateway import GatewayProcess
from tests.support.images import data_url, mask, png

RowOutcome = Literal["PASS", "MAP", "EMUL", "DROP", "REJECT"]
Json = Mapping[str, Any]

FLUX_FLEX = "black-forest-labs/FLUX.2-flex"
FLUX_PRO = "black-forest-labs/FLUX.2-pro"
FLUX_11 = "black-forest-labs/FLUX.1.1-pro"
KONTEXT = "black-forest-labs/FLUX.1-kontext-pro"
SUNBURST = "gpt-image-2.6-sunburst"
WHO = pseudonym(Team(name="dev"), "alice@example.com")
IMAGE = data_url(png())


@dataclass(frozen=True, kw_only=True)
class Row:
    """One case. `got` is what the vendor must receive; with REJECT it must receive nothing at all.

    `files` are brought before, and named by their ids.
    """

    vendor: str = ""
    field: str
    outcome: RowOutcome
    what: str
    send: Json
    model: str = "gpt-image-2"
    parts: Sequence[str] = ()
    files: int = 0
    edit: bool = False
    got: Json = dataclasses.field(default_factory=dict)
    got_starting: Mapping[str, str] = dataclasses.field(default_factory=dict)
    not_got: Sequence[str] = ()
    got_parts: Sequence[str] = ()
    calls: int = 1
    images: int = 1
    previews: int = 0
    drawn: str = "PNG"
    param: str | None = None
    code: str = "invalid_value"
    status: int = 400

    @property
    def id(self) -> str:
        return f"{self.field}: {self.what}".replace(" ", "-").replace("/", "-").replace("`", "")

    def send_to(self, http: httpx2.Client, gateway: GatewayProcess) -> httpx2.Response:
        operation = "edits" if self.parts or self.edit else "generations"
        body = {"model": self.model, "prompt": "a fox"} | dict(self.send)
        if self.files:
            body["images"] = [{"file_id": upload_image(http, gateway)} for _ in range(self.files)]
        address = f"{gateway.url}/v1/images/{operation}"
        if not self.parts:
            return http.post(address, json=body, headers=gateway.headers)
        files = [(part, ("upload", mask() if part in OVERLAYS else png(), OCTETS)) for part in self.parts]
        return http.post(address, data=body, files=files, headers=gateway.headers)


def upload_image(http: httpx2.Client, gateway: GatewayProcess) -> str:
    """The id of a file."""
    files = {"file": ("upload", png(), OCTETS)}
    reply = http.post(f"{gateway.url}/v1/files", data={"purpose": "vision"}, files=files, headers=gateway.headers)
    return str(reply.json()["id"])


OVERLAYS = {"mask", "markup"}
OCTETS = "application/octet-stream"


def reject(name: str, what: str, send: Json, **more: Any) -> Row:
    """Build a row whose error names its field by default."""
    return Row(**{"field": name, "outcome": "REJECT", "what": what, "send": send, "param": name} | more)


UNKNOWN = {"code": "unknown_parameter"}
GONE = {"code": "model_not_found", "status": 404}

SHARED = (
    reject("model", "unknown: 404", {"model": "gpt-image-9"}, **GONE),
    reject("model", "retired: 404 with date and successor", {"model": "dall-e-3"}, **GONE),
    reject("prompt", "empty", {"prompt": ""}),
    reject("size", "1920x1080: not a multiple of 16", {"size": "1920x1080"}),
    reject("n", "11", {"n": 11}),
    reject("quality", "`hd`, `standard`: words of a retired model", {"quality": "hd"}),
    reject("quality", "xhigh on a model without it", {"quality": "xhigh"}),
    reject("style", "a field of a retired model", {"style": "vivid"}, **UNKNOWN),
    reject("output_format", "gif on a model without it", {"output_format": "gif"}),
    reject("output_compression", "with png", {"output_compression": 50}),
    reject("background", "transparent with jpeg", {"background": "transparent", "output_format": "jpeg"}),
    reject("stream", "with gif", {"stream": True, "output_format": "gif"}),
    reject("response_format", "url, with stream", {"stream": True, "response_format": "url"}),
    reject("partial_images", "without stream", {"partial_images": 2}),
    Row(
        field="stream",
        outcome="EMUL",
        what="without previews: the answer is streamed, the call is not",
        send={"stream": True},
        not_got=["stream", "partial_images"],
    ),
    Row(
        field="stream",
        outcome="EMUL",
        what="several pictures: an event for each, no previews",
        send={"stream": True, "partial_images": 3, "n": 2},
        got={"n": 2},
        not_got=["stream", "partial_images"],
        images=2,
    ),
    reject("input_fidelity", "on a model that is always faithful", {"input_fidelity": "high"}, parts=["image"]),
    reject(
        "markup",
        "with mask",
        {},
        parts=["image", "mask", "markup"],
        model="gpt-image-2.5-flare",
    ),
    reject(
        "images[].file_id",
        "unknown, of another team, or forgotten",
        {"images": [{"file_id": "file-1"}]},
        edit=True,
        param="images[0].file_id",
        code="file_not_found",
    ),
    reject("width, height", "against size", {"width": 1024, "height": 1024, "size": "1536x1024"}, param="size"),
    reject("disable_safety_checker", "left to the operator", {"disable_safety_checker": True}, **UNKNOWN),
)

OPENAI = (
    *SHARED,
    Row(
        field="partial_images",
        outcome="PASS",
        what="of one picture",
        send={"stream": True, "partial_images": 2},
        got={"stream": True, "partial_images": 2},
        previews=2,
    ),
    Row(field="model", outcome="PASS", what="by its id", send={}, got={"model": "gpt-image-2"}),
    Row(
        field="model",
        outcome="MAP",
        what="by its alias",
        send={"model": "openai/gpt-image-2"},
        got={"model": "gpt-image-2"},
    ),
    Row(
        field="prompt", outcome="PASS", what="as given", send={"prompt": "ein Fuchs 🦊"}, got={"prompt": "ein Fuchs 🦊"}
    ),
    Row(field="size", outcome="PASS", what="WxH", send={"size": "1536x1024"}, got={"size": "1536x1024"}),
    Row(field="size", outcome="PASS", what="auto, said by leaving it out", send={"size": "auto"}, not_got=["size"]),
    Row(field="n", outcome="PASS", what="3", send={"n": 3}, got={"n": 3}, images=3),
    Row(field="quality", outcome="PASS", what="high", send={"quality": "high"}, got={"quality": "high"}),
    Row(field="quality", outcome="PASS", what="max", send={"quality": "max"}, model=SUNBURST, got={"quality": "max"}),
    Row(
        field="quality",
        outcome="PASS",
        what="auto, said by leaving it out",
        send={"quality": "auto"},
        not_got=["quality"],
    ),
    Row(
        field="background",
        outcome="PASS",
        what="transparent",
        send={"background": "transparent"},
        got={"background": "transparent"},
    ),
    Row(field="background", outcome="PASS", what="opaque", send={"background": "opaque"}, got={"background": "opaque"}),
    Row(
        field="output_format",
        outcome="PASS",
        what="jpeg",
        send={"output_format": "jpeg"},
        got={"output_format": "jpeg"},
        drawn="JPEG",
    ),
    Row(
        field="output_format",
        outcome="PASS",
        what="webp",
        send={"output_format": "webp"},
        got={"output_format": "webp"},
        drawn="WEBP",
    ),
    Row(
        field="output_compression",
        outcome="PASS",
        what="with jpeg",
        send={"output_format": "jpeg", "output_compression": 40},
        got={"output_compression": 40},
        drawn="JPEG",
    ),
    Row(
        field="response_format",
        outcome="EMUL",
        what="b64_json: never sent",
        send={"response_format": "b64_json"},
        not_got=["response_format"],
    ),
    Row(
        field="response_format",
        outcome="EMUL",
        what="url: an address of the gateway",
        send={"response_format": "url"},
        not_got=["response_format"],
    ),
    Row(field="moderation", outcome="PASS", what="low", send={"moderation": "low"}, got={"moderation": "low"}),
    Row(
        field="complexity",
        outcome="PASS",
        what="on 2.6",
        send={"complexity": "low"},
        model=SUNBURST,
        got={"complexity": "low"},
    ),
    Row(
        field="frame_count, frame_duration_ms",
        outcome="PASS",
        what="with gif on 2.6",
        send={"output_format": "gif", "frame_count": 4, "frame_duration_ms": 100},
        model=SUNBURST,
        got={"output_format": "gif", "frame_count": 4, "frame_duration_ms": 100},
        drawn="GIF",
    ),
    Row(
        field="safety_identifier",
        outcome="MAP",
        what="to a pseudonym",
        send={"safety_identifier": "alice@example.com"},
        got={"safety_identifier": WHO},
    ),
    Row(field="user", outcome="MAP", what="to a pseudonym", send={"user": "alice@example.com"}, got={"user": WHO}),
    Row(field="edits: image", outcome="PASS", what="one file", send={}, parts=["image"], got_parts=["image"]),
    Row(
        field="edits: image[]",
        outcome="PASS",
        what="three files",
        send={},
        parts=["image[]"] * 3,
        got_parts=["image[]"] * 3,
    ),
    Row(
        field="edits: image[]",
        outcome="MAP",
        what="numbered",
        send={},
        parts=["image[0]", "image[1]"],
        got_parts=["image[]"] * 2,
    ),
    Row(
        field="edits: mask",
        outcome="PASS",
        what="a PNG with alpha",
        send={},
        parts=["image", "mask"],
        got_parts=["image", "mask"],
    ),
    Row(
        field="edits: markup",
        outcome="PASS",
        what="on 2.5 and later",
        send={},
        parts=["image", "markup"],
        model="gpt-image-2.5-flare",
        got_parts=["image", "markup"],
    ),
    Row(
        field="edits: input_fidelity",
        outcome="PASS",
        what="on 1.5",
        send={"input_fidelity": "high"},
        parts=["image"],
        model="gpt-image-1.5",
        got={"input_fidelity": "high"},
        got_parts=["image"],
    ),
    Row(
        field="edits: images[].image_url",
        outcome="MAP",
        what="a data URL becomes a file",
        send={"images": [{"image_url": IMAGE}, {"image_url": IMAGE}]},
        edit=True,
        got_parts=["image[]"] * 2,
    ),
    Row(
        field="edits: images[].file_id",
        outcome="MAP",
        what="kept bytes become a file",
        send={},
        files=2,
        edit=True,
        got_parts=["image[]"] * 2,
    ),
    Row(
        field="width, height",
        outcome="MAP",
        what="to size",
        send={"width": 1536, "height": 1024},
        got={"size": "1536x1024"},
        not_got=["width"],
    ),
    reject("seed", "a field of another vendor", {"seed": 7}, **UNKNOWN),
    reject("negative_prompt", "a field of another vendor", {"negative_prompt": "dogs"}, **UNKNOWN),
    reject("steps", "a field of another vendor", {"steps": 20}, **UNKNOWN),
    reject("guidance_scale", "a field of another vendor", {"guidance_scale": 3.5}, **UNKNOWN),
    reject("guidance", "a field of another vendor", {"guidance": 3.5}, param="guidance_scale", **UNKNOWN),
    reject("reference_images", "a field of another vendor", {"reference_images": [IMAGE]}, **UNKNOWN),
    reject("image_url", "a field of another vendor", {"image_url": IMAGE}, param="reference_images", **UNKNOWN),
    reject("image_loras", "a field of another vendor", {"image_loras": [{"path": "x", "scale": 1}]}, **UNKNOWN),
)

TOGETHER = (
    Row(
        field="partial_images",
        outcome="DROP",
        what="there are none: fewer may always come",
        send={"stream": True, "partial_images": 2},
        not_got=["stream", "partial_images"],
    ),
    *(row for row in SHARED if row.model == "gpt-image-2"),
    Row(field="model", outcome="MAP", what="to the name it has there", send={}, got={"model": "openai/gpt-image-2"}),
    Row(
        field="prompt", outcome="PASS", what="as given", send={"prompt": "ein Fuchs 🦊"}, got={"prompt": "ein Fuchs 🦊"}
    ),
    Row(
        field="size",
        outcome="MAP",
        what="to width and height",
        send={"size": "1536x1024"},
        got={"width": 1536, "height": 1024},
        not_got=["size"],
    ),
    Row(
        field="size",
        outcome="MAP",
        what="to aspect_ratio, where a model takes no pixels",
        send={"size": "1536x1024"},
        model=KONTEXT,
        got={"aspect_ratio": "3:2"},
        not_got=["width", "height"],
    ),
    Row(
        field="size",
        outcome="PASS",
        what="auto, said by leaving it out",
        send={"size": "auto"},
        not_got=["width", "height", "size"],
    ),
    reject("size", "2048x2048 on a model that ends at 1920", {"size": "2048x2048"}, model=FLUX_PRO),
    Row(field="n", outcome="PASS", what="3", send={"n": 3}, got={"n": 3}, images=3),
    Row(field="n", outcome="EMUL", what="6: two calls side by side", send={"n": 6}, calls=2, images=6),
    reject("quality", "high", {"quality": "high"}),
    Row(field="quality", outcome="DROP", what="auto", send={"quality": "auto"}, not_got=["quality"]),
    reject("background", "transparent", {"background": "transparent"}),
    Row(field="background", outcome="DROP", what="opaque", send={"background": "opaque"}, not_got=["background"]),
    Row(field="output_format", outcome="MAP", what="png, always said", send={}, got={"output_format": "png"}),
    Row(
        field="output_format",
        outcome="MAP",
        what="jpeg",
        send={"output_format": "jpeg"},
        got={"output_format": "jpeg"},
        drawn="JPEG",
    ),
    Row(
        field="output_format",
        outcome="EMUL",
        what="webp: asked for as png, transcoded",
        send={"output_format": "webp"},
        got={"output_format": "png"},
        drawn="WEBP",
    ),
    Row(
        field="output_compression",
        outcome="EMUL",
        what="asked for as png, encoded here",
        send={"output_format": "jpeg", "output_compression": 40},
        got={"output_format": "png"},
        not_got=["output_compression"],
        drawn="JPEG",
    ),
    Row(
        field="response_format",
        outcome="MAP",
        what="b64_json to base64",
        send={"response_format": "b64_json"},
        got={"response_format": "base64"},
    ),
    Row(
        field="response_format",
        outcome="EMUL",
        what="url: an address of the gateway",
        send={"response_format": "url"},
        got={"response_format": "base64"},
    ),
    reject("moderation", "low", {"moderation": "low"}),
    Row(field="moderation", outcome="DROP", what="auto", send={"moderation": "auto"}, not_got=["moderation"]),
    reject("complexity", "not there", {"complexity": "low"}),
    reject("svg", "not there", {"svg": {"model": "gpt-5"}, "output_format": "svg"}),
    Row(
        field="user, safety_identifier",
        outcome="DROP",
        what="no such field there",
        send={"user": "alice"},
        not_got=["user", "safety_identifier"],
    ),
    Row(
        field="edits: image",
        outcome="MAP",
        what="one picture to image_url",
        send={},
        parts=["image"],
        got_starting={"image_url": "data:image/png;base64,"},
    ),
    Row(
        field="edits: image[]",
        outcome="MAP",
        what="several to reference_images, where a model lists it",
        send={},
        model=FLUX_PRO,
        parts=["image[]"] * 3,
        got_starting={"reference_images": "data:image/png;base64,"},
    ),
    reject("edits: image[]", "two, where a model takes one", {}, parts=["image[]"] * 2, param="image"),
    reject("mask", "not there", {}, parts=["image", "mask"]),
    reject("markup", "not there", {}, parts=["image", "markup"]),
    Row(
        field="edits: images[].image_url",
        outcome="MAP",
        what="a data URL",
        send={"images": [{"image_url": IMAGE}]},
        edit=True,
        got={"image_url": IMAGE},
    ),
    Row(
        field="edits: images[].file_id",
        outcome="MAP",
        what="kept bytes become a data URL",
        send={},
        files=1,
        edit=True,
        got={"image_url": IMAGE},
    ),
    Row(
        field="seed, steps, guidance_scale",
        outcome="PASS",
        what="on models that have them",
        send={"seed": 7, "steps": 30, "guidance_scale": 2.5},
        model=FLUX_FLEX,
        got={"seed": 7, "steps": 30, "guidance_scale": 2.5},
    ),
    Row(
        field="guidance",
        outcome="MAP",
        what="to guidance_scale",
        send={"guidance": 2.5},
        model=FLUX_FLEX,
        got={"guidance_scale": 2.5},
        not_got=["guidance"],
    ),
    reject("guidance", "another number than guidance_scale", {"guidance": 2.5, "guidance_scale": 3}, model=FLUX_FLEX),
    Row(
        field="negative_prompt",
        outcome="PASS",
        what="on models that have it",
        send={"negative_prompt": "dogs"},
        model=FLUX_11,
        got={"negative_prompt": "dogs"},
    ),
    Row(
        field="reference_images, image_url",
        outcome="PASS",
        what="on models that have them",
        send={"reference_images": [IMAGE, IMAGE]},
        model=FLUX_PRO,
        got={"reference_images": [IMAGE, IMAGE]},
    ),
    reject("image_loras", "no model on the list takes them any more", {"image_loras": [{"path": "x"}]}, **UNKNOWN),
    Row(
        field="width, height",
        outcome="PASS",
        what="as given",
        send={"width": 1536, "height": 1024},
        got={"width": 1536, "height": 1024},
    ),
)

HEAD = """# Conformance

How each field of the API reaches each vendor. Written by `make conformance` from the rows of
`tests/e2e/conformance_rows.py`; each row is a test that compares what the vendor's simulator received.

- **PASS**: handed on as it is. **MAP**: handed on in the vendor's own words. **EMUL**: done by the gateway.
- **DROP**: it asks for what happens anyway, or the vendor has no place for it; accepted without effect.
- **REJECT**: a 400 (404 for models) that names the field; nothing is sent to the vendor.

The vendors themselves could not be called: the simulators follow their documents and SDKs, see `docs/vendors.md`.
"""


def document() -> str:
    """The table as it is published."""
    sections = [HEAD]
    for title, function, rows in (("OpenAI", "test_openai", OPENAI), ("Together", "test_together", TOGETHER)):
        lines = [f"| `{row.field}` | {row.what} | {row.outcome} | `{function}[{row.id}]` |" for row in rows]
        table = "\n".join(["| Field | Case | Verdict | Test |", "|---|---|---|---|", *sorted(lines)])
        sections.append(f"\n## {title}\n\n{table}\n")
    return "".join(sections)
