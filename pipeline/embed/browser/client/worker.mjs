// The model, in a thread of its own: the page calls the functions of `calls` by their names.

import { bandsOf, normals } from "./bands.mjs";
import { BundleError, openBundle } from "./bundle.mjs";
import { replay, resultLine, timeStep } from "./golden.mjs";
import { float32, int64, openGraph, runtimeName, startRuntime, stepOf } from "./runtime.mjs";

let bundle;
let golden;
let model;
let loop;
let state; // null for a model of whole sequences, which reads `recent` anew at every step
let recent;

/** Open the bundle and the runtime; answers what the page shows of them. */
async function load() {
  if (!globalThis.crypto.subtle) {
    throw new BundleError("digests need a secure page; open it over https or from localhost", 7);
  }
  const sizes = {};
  let digest;
  bundle = await openBundle(async (file) => {
    const answer = await fetch(`model/${file}`);
    if (!answer.ok) throw new Error(`the server says ${answer.status} for model/${file}`);
    const bytes = new Uint8Array(await answer.arrayBuffer());
    sizes[file] = bytes.length;
    digest ??= new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)); // of the manifest
    return bytes;
  });
  const { manifest } = bundle;
  golden = await bundle.golden();
  await startRuntime();
  const open = async (file) => openGraph(file, await bundle.read(file));
  model = await open("onnx/model.onnx");
  if (manifest.loop) loop = await open(`onnx/${manifest.loop.name}.onnx`);
  const version = Array.from(digest.subarray(0, 8), (byte) => byte.toString(16)).join("-");
  return { manifest, unseen: golden.held_out, sizes, version };
}

/** Replay golden.json and time a step; answers the line of JSON. */
async function measure() {
  const step = stepOf(model);
  const result = await replay(golden, step);
  const { name } = bundle.manifest;
  return resultLine("browser", runtimeName(), name, result, await timeStep(golden, step));
}

/** Begin a new stream. */
function restart() {
  const spec = bundle.manifest.state;
  const shape = spec && [1, ...spec.shape.slice(1)];
  state = spec && float32(new Array(shape[1] * shape[2]).fill(0), shape);
  recent = [];
}

/** Read rows of a series; answers the forecast of the next step after every one of them. */
async function read(rows) {
  const { features, targets } = bundle.manifest.model;
  if (state) {
    const input = float32(rows.flat(), [1, rows.length, features]);
    const { output, next_state } = await model.run({ input, state });
    state = next_state;
    return inRows(output.data, targets);
  }
  const outputs = [];
  for (const row of rows) {
    recent = [...recent, row].slice(-bundle.manifest.window);
    const input = float32(recent.flat(), [1, recent.length, features]);
    const { output } = await model.run({ input });
    outputs.push(Array.from(output.data.slice(-targets)));
  }
  return outputs;
}

/** Forecast a series from where it is, with the quantiles of `samples` paths. */
async function forecast(steps, samples) {
  const { targets } = bundle.manifest.model;
  const answer = await loop.run({
    history: float32([], [1, 0, targets]),
    steps: int64([steps], []),
    noise: float32(normals(samples * steps), [1, samples, steps]),
    state,
  });
  const bands = samples > 0 ? bandsOf(answer.paths.data, samples, steps, targets) : null;
  return { forecast: inRows(answer.forecast.data, targets), bands };
}

/** Read code points and write as many as there are random numbers. */
async function generate(prompt, numbers, temperature, topK, topP) {
  const answer = await loop.run({
    prompt: int64(prompt, [1, prompt.length]),
    uniform: float32(numbers, [1, numbers.length]),
    temperature: float32([temperature], []),
    top_k: int64([topK], []),
    top_p: float32([topP], []),
    state,
  });
  state = answer.next_state;
  return Array.from(answer.text.data, Number);
}

function inRows(data, width) {
  return Array.from({ length: data.length / width }, (_, index) =>
    Array.from(data.slice(index * width, (index + 1) * width)),
  );
}

const calls = { load, measure, restart, read, forecast, generate };
let work = Promise.resolve(); // one call after the other, answered in their order

self.addEventListener("message", ({ data: { name, values } }) => {
  work = work
    .then(() => calls[name](...values))
    .then((value) => postMessage({ value }))
    .catch((error) => postMessage({ error: error.message, code: error.code }));
});
