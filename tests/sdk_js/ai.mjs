// Draws with Vercel's AI SDK, through its provider for OpenAI, for Together, or for what is compatible with OpenAI.
//
//     node ai.mjs < call.json        in the folder that has node_modules
//
// OPENAI_BASE_URL and OPENAI_API_KEY say where, for all of them. The call is one JSON object:
//
//     provider    "openai", "togetherai" or "compatible"
//     model       the model's id
//     images      paths of pictures; with them the call is an edit
//     mask        the path of a mask
//     options     what generateImage is given besides: prompt, n, size, seed, providerOptions, maxRetries, headers, ...
//
// One line of JSON comes out: "result" with each picture's media type, length and digest, what was used and what the
// SDK warns of; or "error". An error of the call is an answer as well, exit code 0; anything else that goes wrong is not.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { text } from "node:stream/consumers";

const require = createRequire(join(process.cwd(), "package.json"));
const { generateImage } = require("ai");
const { createOpenAI } = require("@ai-sdk/openai");
const { createOpenAICompatible } = require("@ai-sdk/openai-compatible");
const { createTogetherAI } = require("@ai-sdk/togetherai");
globalThis.AI_SDK_LOG_WARNINGS = false;

function print(what, facts) {
  process.stdout.write(`${JSON.stringify({ what, [what]: facts })}\n`);
}

function told(image) {
  const { base64, mediaType } = image;
  return { mediaType, length: base64.length, sha256: createHash("sha256").update(base64).digest("hex") };
}

// A RetryError wraps what the last try threw.
function failed(error) {
  const last = error.lastError ?? error;
  const { statusCode, message, isRetryable, data } = last;
  print("error", { class: last.name, tries: error.errors?.length ?? 1, status: statusCode, message, isRetryable, data });
}

const call = JSON.parse(await text(process.stdin));
const where = { name: "own", baseURL: process.env.OPENAI_BASE_URL, apiKey: process.env.OPENAI_API_KEY };
const providers = { openai: createOpenAI, togetherai: createTogetherAI, compatible: createOpenAICompatible };
const model = providers[call.provider](where).imageModel(call.model);
const { prompt, ...options } = call.options;
const images = await Promise.all((call.images ?? []).map((path) => readFile(path)));
const mask = call.mask ? { mask: await readFile(call.mask) } : {};
try {
  const asked = images.length ? { text: prompt, images, ...mask } : prompt;
  const drawn = await generateImage({ model, prompt: asked, ...options });
  const headers = drawn.responses.map((response) => response.headers);
  print("result", { images: drawn.images.map(told), usage: drawn.usage, warnings: drawn.warnings, headers });
} catch (error) {
  failed(error);
}
