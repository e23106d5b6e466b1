// onnxruntime-web: its start, its sessions, its tensors, and what it is called.

import { BundleError } from "./bundle.mjs";

const FOLDER = new URL("./node_modules/onnxruntime-web/dist/", import.meta.url);
const BROWSERS = { Firefox: /Firefox\/(\d+)/, Edge: /Edg\/(\d+)/, Chromium: /Chrome\/(\d+)/ };

let ort;

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

export function float32(data, shape) {
  return new ort.Tensor("float32", Float32Array.from(data), shape);
}

export function int64(data, shape) {
  return new ort.Tensor("int64", BigInt64Array.from(data, BigInt), shape);
}

/** One call as the replay wants it: tensors `{type, shape, data}` in and out. */
export function stepOf(model) {
  const tensor = ({ type, data, shape }) => new ort.Tensor(type, data, shape);
  return async (input, state) => {
    const feeds = state ? { input: tensor(input), state: tensor(state) } : { input: tensor(input) };
    const found = Object.entries(await model.run(feeds));
    return Object.fromEntries(
      found.map(([name, { type, data, dims }]) => [name, { type, data, shape: dims }]),
    );
  };
}

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
