// Calls a gateway with OpenAI's own SDK for JavaScript.
//
//     node run.mjs < call.json        in the folder that has node_modules
//
// OPENAI_BASE_URL and OPENAI_API_KEY say where, as they do for everybody who uses the SDK. The call is one JSON object:
//
//     operation   "generate", "edit" or "files", which brings a file three times, lists all and deletes them on the way
//     params      what the SDK is given; `stream: true` among it makes the answer a stream
//     files       pictures of an edit by parameter, or lists of them: a path, whose file the SDK reads as it sends it,
//                 or {"path", "type"}, which is read before and says of what type it is
//     client      options of the client, such as timeout (in ms) and maxRetries
//     request     options of this call alone, such as headers
//     seconds     how long all of it may take
//
// One line of JSON comes out for each thing that the SDK handed over: "headers" (the answer's x-*), "result", "event"
// for each event of a stream and "end" after the last, or "error" with what the SDK threw. Base64 is told by its length
// and digest. An error of the call is an answer as well, exit code 0; anything else that goes wrong is not.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { text } from "node:stream/consumers";

const OpenAI = createRequire(join(process.cwd(), "package.json"))("openai");
const SECONDS = 60;

function print(what, facts) {
  process.stdout.write(`${JSON.stringify({ what, ...facts })}\n`);
}

function told(key, value) {
  if (key !== "b64_json" || typeof value !== "string") return value;
  return { length: value.length, sha256: createHash("sha256").update(value).digest("hex") };
}

function small(document) {
  return JSON.parse(JSON.stringify(document, told));
}

function picture(file) {
  if (Array.isArray(file)) return Promise.all(file.map(picture));
  if (typeof file === "string") return createReadStream(file);
  return OpenAI.toFile(createReadStream(file.path), undefined, { type: file.type });
}

async function pictures(files) {
  const opened = Object.entries(files).map(async ([name, file]) => [name, await picture(file)]);
  return Object.fromEntries(await Promise.all(opened));
}

function ours(headers) {
  return Object.fromEntries([...(headers ?? [])].filter(([name]) => name.startsWith("x-")));
}

async function files(client, { params, files: { file } }) {
  const made = [];
  for (let turn = 0; turn < 3; turn++) {
    made.push(await client.files.create({ ...params, file: createReadStream(file) }));
  }
  const listed = [];
  for await (const each of client.files.list({ limit: 1 })) {
    listed.push(each.id);
    if (made.some(({ id }) => id === each.id)) await client.files.delete(each.id);
  }
  const { data, has_more } = await client.files.list();
  print("result", { result: { made, listed, left: data.map(({ id }) => id), has_more } });
}

async function perform(client, call, params) {
  if (call.operation === "files") return files(client, call);
  const asked = client.images[call.operation](params, call.request);
  const { data, response } = await asked.withResponse();
  print("headers", { headers: ours(response.headers) });
  if (!params.stream) return print("result", { result: small(data) });
  for await (const event of data) print("event", { event: small(event) });
  print("end");
}

// Not all that the SDK throws is of its own: a body that breaks off is fetch's TypeError, bad JSON a SyntaxError.
function failed(error) {
  const { status, code, param, type, message, requestID: request_id } = error;
  if (status) print("headers", { headers: ours(error.headers) });
  print("error", { error: { class: error.constructor.name, status, code, param, type, message, request_id } });
}

const call = JSON.parse(await text(process.stdin));
const patience = setTimeout(() => {
  process.stderr.write("the call took too long\n");
  process.exit(1);
}, (call.seconds ?? SECONDS) * 1000);
const params = { ...call.params, ...(await pictures(call.files ?? {})) };
await perform(new OpenAI(call.client), call, params).catch(failed);
clearTimeout(patience);
