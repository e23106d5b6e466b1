// The model, in a thread of its own: the page calls the functions of `calls` by their names.

import { bandsOf, normals } from "./bands.mjs";
import { BundleError, openBundle } from "./bundle.mjs";
import { split, streamOf } from "./contract.mjs";
import { replay, resultLine, timeStep } from "./golden.mjs";
import { openGraph, run, runtimeName, startRuntime } from "./runtime.mjs";
import { holds, numbersOf, tensor } from "./tensors.mjs";

let bundle;
let golden;
let model;
let loop;
let states; // none for a model of whole sequences, which reads `recent` anew at every step
let recent;

let runtime; // a promise
const sizes = {}; // bytes of the files that were read

/** Open the bundle, and begin to load the runtime; answers what the page shows at once. */
async function open() {
  if (!globalThis.crypto.subtle) {
    throw new BundleError("digests need a secure page; open it over https or from localhost", 7);
  }
  let digest;
  runtime = startRuntime();
  runtime.catch(() => {}); // start() says it, once the bundle is known to be whole
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
  const version = Array.from(digest.subarray(0, 8), (byte) => byte.toString(16)).join("-");
  const { held_out, tolerance } = golden;
  return { manifest, tolerance, unseen: rowsOf(held_out), version };
}

/** Load the graphs; answers the sizes of all files that were read. */
async function start() {
  const { manifest, read } = bundle;
  const files = ["onnx/model.onnx", manifest.loop && `onnx/${manifest.loop.name}.onnx`];
  const [, ...graphs] = await Promise.all([runtime, ...files.filter(Boolean).map(read)]);
  model = await openGraph(files[0], graphs[0]);
  if (manifest.loop) loop = await openGraph(files[1], graphs[1]);
  return sizes;
}

/** The held-out rows of a series, or the text; in format 1 they stand there by themselves. */
function rowsOf(held) {
  if (Array.isArray(held) || typeof held === "string") return held;
  const [data] = Object.values(held);
  if (typeof data === "string") return data;
  return data?.shape ? inRows(data.data, data.shape[1]) : [];
}

/** One call of the model, with inputs and states by name. */
async function call(inputs, carried) {
  return split(bundle.contract, await run(model, { ...inputs, ...carried }));
}

/** Replay golden.json and time a step, between other calls; answers the line of JSON. */
async function measure() {
  const result = await replay(golden, async (...given) => {
    await message();
    return call(...given);
  });
  const { name } = bundle.manifest;
  return resultLine("browser", runtimeName(), name, result, await timeStep(golden, call));
}

/** Let the messages in that have come. */
function message() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

/** Begin a new stream. */
async function restart() {
  states = await bundle.initialStates();
  recent = [];
}

/** Read rows of a series; answers the forecast of the next step after every one of them. */
async function read(rows) {
  const { features, targets } = bundle.manifest.model;
  const [input] = bundle.contract.inputs;
  const [output] = bundle.contract.outputs;
  const reads = async (some) => {
    const given = tensor("float32", [1, some.length, features], some.flat());
    const found = await call({ [input]: given }, states);
    states = found.states;
    return inRows(numbersOf(found.outputs[output]), targets);
  };
  if (Object.keys(states).length > 0) return reads(rows);
  const outputs = [];
  for (const row of rows) {
    recent = [...recent, row].slice(-bundle.manifest.window);
    outputs.push((await reads(recent)).at(-1));
  }
  return outputs;
}

/** Feed steps of a stream, each a row of numbers; answers the outputs of each. */
async function feed(rows) {
  const { name, type, shape } = streamOf(bundle.contract);
  const wrong = rows.find((row) => !holds(type, row));
  if (wrong) throw new Error(`${name} is ${type}, which cannot hold ${wrong}`);
  const outputs = [];
  for (const row of rows) {
    const found = await call({ [name]: tensor(type, shape, row) }, states);
    states = found.states;
    outputs.push(Object.values(found.outputs).flatMap(numbersOf));
  }
  return outputs;
}

/** Forecast a series from where it is, with the quantiles of `samples` paths. */
async function forecast(steps, samples) {
  const { targets } = bundle.manifest.model;
  const answer = await run(loop, {
    history: tensor("float32", [1, 0, targets], []),
    steps: tensor("int64", [], [steps]),
    noise: tensor("float32", [1, samples, steps], normals(samples * steps)),
    ...states,
  });
  const bands = samples > 0 ? bandsOf(answer.paths.data, samples, steps, targets) : null;
  return { forecast: inRows(answer.forecast.data, targets), bands };
}

/** Read code points and write as many as there are random numbers. */
async function generate(prompt, numbers, temperature, topK, topP) {
  const answer = await run(loop, {
    prompt: tensor("int64", [1, prompt.length], prompt),
    uniform: tensor("float32", [1, numbers.length], numbers),
    temperature: tensor("float32", [], [temperature]),
    top_k: tensor("int64", [], [topK]),
    top_p: tensor("float32", [], [topP]),
    ...states,
  });
  ({ states } = split(bundle.contract, answer));
  return numbersOf(answer.text);
}

function inRows(data, width) {
  return Array.from({ length: data.length / width }, (_, index) =>
    Array.from(data.slice(index * width, (index + 1) * width)),
  );
}

const calls = { open, start, restart, read, feed, forecast, generate };
let work = Promise.resolve(); // one call after the other
let broken = null; // what went wrong with the model, which no later call can do without

self.addEventListener("message", ({ data: { id, name, values } }) => {
  const made = name === "measure" ? measure() : work.then(() => act(name, values));
  work = Promise.allSettled([name === "measure" ? work : made]);
  made
    .then((value) => postMessage({ id, value }))
    .catch((error) => postMessage({ id, error: error.message, code: error.code }));
});

async function act(name, values) {
  if (broken) throw broken;
  try {
    return await calls[name](...values);
  } catch (error) {
    if (name === "start") broken = error;
    throw error;
  }
}
