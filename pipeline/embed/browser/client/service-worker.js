// Keeps the page, the runtime and the model, so that they open without a network after the first
// time. Its address carries the digest of the manifest, and so does the name of its cache.

const FOLDER = new URL("./", location.href).pathname; // other models may share the origin
const CACHE = `${FOLDER} ${new URL(location.href).searchParams.get("model")}`;
const RUNTIME = ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"];
const PAGE = [
  "./",
  "app.mjs",
  "bands.mjs",
  "bundle.mjs",
  "chart.mjs",
  "contract.mjs",
  "csv.mjs",
  "facts.mjs",
  "favicon.svg",
  "feed.mjs",
  "golden.mjs",
  "libraries.mjs",
  "model.mjs",
  "panel.mjs",
  "parity.mjs",
  "random.mjs",
  "runtime.mjs",
  "series.mjs",
  "stream.mjs",
  "style.css",
  "tables.mjs",
  "tensors.mjs",
  "text.mjs",
  "times.mjs",
  "worker.mjs",
  "node_modules/papaparse/papaparse.min.js",
  "node_modules/uplot/dist/uPlot.iife.min.js",
  "node_modules/uplot/dist/uPlot.min.css",
  ...RUNTIME.map((file) => `node_modules/onnxruntime-web/dist/${file}`),
];

async function keep() {
  const cache = await caches.open(CACHE);
  const manifest = await (await fetch("model/manifest.json")).json();
  const model = ["manifest.json", "golden.json", "onnx/model.onnx"];
  if (Object.hasOwn(manifest.files, "initial.json")) model.push("initial.json");
  const loop = manifest.loop?.name;
  if (loop === "generate" || loop === "forecast") model.push(`onnx/${loop}.onnx`);
  await cache.addAll([...PAGE, ...model.map((file) => `model/${file}`)]);
  await self.skipWaiting();
}

async function forgetOthers() {
  const names = await caches.keys();
  const others = names.filter((name) => name.startsWith(`${FOLDER} `) && name !== CACHE);
  await Promise.all(others.map((name) => caches.delete(name)));
  await self.clients.claim();
}

/** The network first, so that nothing is ever older than the server's; then what was kept. */
async function answer(request) {
  try {
    return await fetch(request);
  } catch (error) {
    const cache = await caches.open(CACHE);
    const kept = await cache.match(request.mode === "navigate" ? "./" : request);
    if (kept) return kept;
    throw error;
  }
}

self.addEventListener("install", (event) => event.waitUntil(keep()));
self.addEventListener("activate", (event) => event.waitUntil(forgetOthers()));
self.addEventListener("fetch", (event) => {
  const ours = new URL(event.request.url).origin === location.origin;
  if (ours && event.request.method === "GET") event.respondWith(answer(event.request));
});
