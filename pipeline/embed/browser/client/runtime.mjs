// onnxruntime-web: its start, its sessions, its tensors, and what it is called.

import { BundleError } from "./bundle.mjs";

const FOLDER = new URL("./node_modules/onnxruntime-web/dist/", import.meta.url);
const BROWSERS = { Firefox: /Firefox\/(\d+)/, Edge: /Edg\/(\d+)/, Chromium: /Chrome\/(\d+)/ };

let ort;
let turn = Promise.resolve(); // the runtime makes one call after the other

/** Load the runtime, before anything else here is called. */
export async function startRuntime() {
  if (globalThis.WebAssembly === undefined) {
    throw new BundleError("this browser has no WebAssembly; use one that has", 7);
  }
  try {
    ort = await import(new URL("ort.wasm.min.mjs", FOLDER));
  } catch {
    const what = "onnxruntime-web cannot be loaded";
    throw new BundleError(`${what}; 'npm install --ignore-scripts' gets it`, 7);
  }
  ort.env.logLevel = "error";
  ort.env.wasm.wasmPaths = FOLDER.href;
  ort.env.wasm.numThreads = 1; // more only wait for each other on models this small
}

/** A session of the graph in `bytes`. */
export async function openGraph(file, bytes) {
  try {
    return await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  } catch (error) {
    throw new BundleError(`onnxruntime-web cannot load ${file}: ${error.message}`, 7);
  }
}

/** One call of a graph: tensors `{type, shape, data}` by name, in and out. */
export function run(graph, given) {
  const answer = turn.then(() => runNow(graph, given));
  turn = answer.catch(() => {});
  return answer;
}

async function runNow(graph, given) {
  const feeds = mapped(given, ({ type, data, shape }) => new ort.Tensor(type, data, shape));
  const found = await graph.run(feeds);
  return mapped(found, ({ type, data, dims }) => ({ type, data, shape: dims }));
}

const mapped = (tensors, change) =>
  Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, change(tensor)]));

/** The runtime and the browser with their versions. */
export function runtimeName() {
  const browsers = Object.entries(BROWSERS).map(([name, pattern]) => {
    const version = pattern.exec(navigator.userAgent)?.[1];
    return version && `${name} ${version}`;
  });
  return [`onnxruntime-web ${ort.env.versions.web}`, browsers.find(Boolean)]
    .filter(Boolean)
    .join(", ");
}
