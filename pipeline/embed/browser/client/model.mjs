// The page's end of the line to worker.mjs: every call is a promise, found by its number.

const waiting = new Map();
let calls = 0;
const worker = new Worker(new URL("./worker.mjs", import.meta.url), { type: "module" });

worker.onmessage = ({ data }) => {
  const { resolve, reject } = waiting.get(data.id);
  waiting.delete(data.id);
  if (data.error === undefined) resolve(data.value);
  else reject(Object.assign(new Error(data.error), { code: data.code }));
};

// Without a message of its own, a script of the worker is missing or cannot be read here.
worker.onerror = (event) => {
  event.preventDefault();
  const what = event.message || "worker.mjs or a file it imports cannot be loaded";
  const error = new Error(`${what}; copy all files of the project, and use a current browser`);
  for (const { reject } of waiting.values()) reject(error);
  waiting.clear();
};

/** Call a function of worker.mjs by its name. */
export function call(name, ...values) {
  return new Promise((resolve, reject) => {
    const id = calls;
    calls += 1;
    waiting.set(id, { resolve, reject });
    worker.postMessage({ id, name, values });
  });
}
