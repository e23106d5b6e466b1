// The page's end of the line to worker.mjs: every call is a promise, answered in its order.

const waiting = [];
const worker = new Worker(new URL("./worker.mjs", import.meta.url), { type: "module" });

worker.onmessage = ({ data }) => {
  const { resolve, reject } = waiting.shift();
  if (data.error === undefined) resolve(data.value);
  else reject(Object.assign(new Error(data.error), { code: data.code }));
};

// Without a message of its own, a script of the worker is missing or cannot be read here.
worker.onerror = (event) => {
  event.preventDefault();
  const what = event.message || "worker.mjs or a file it imports cannot be loaded";
  const error = new Error(`${what}; copy all files of the project, and use a current browser`);
  for (const { reject } of waiting.splice(0)) reject(error);
};

/** Call a function of worker.mjs by its name. */
export function call(name, ...values) {
  return new Promise((resolve, reject) => {
    waiting.push({ resolve, reject });
    worker.postMessage({ name, values });
  });
}
