// The page of a text model: a prompt goes in, and the text comes in pieces from the loop graph.

import { call } from "./model.mjs";
import { uniforms } from "./random.mjs";
import { byId } from "./tables.mjs";

const PIECE = 16; // characters a call
const points = (text) => Array.from(text, (character) => character.codePointAt(0));

/** Show the page of a text model; `fail` puts an error on the page. */
export function openText({ vocabulary, loop }, fail) {
  byId("text").hidden = false;
  if (loop === null) {
    byId("text-form").hidden = byId("written").hidden = true;
    byId("text-limit").hidden = false;
    byId("text-limit").textContent =
      "This model reads whole texts in both directions, so it cannot write one from left to right.";
    return;
  }
  const known = new Set(vocabulary);
  byId("prompt").addEventListener("input", () => {
    const strange = new Set(Array.from(byId("prompt").value).filter((one) => !known.has(one)));
    const words = [...strange].slice(0, 8).join(" ");
    byId("prompt-hint").textContent = words && `Not in the vocabulary, read as unknown: ${words}`;
  });

  let stop = null;
  byId("text-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (stop) {
      stop();
      return;
    }
    let stopped = false;
    stop = () => {
      stopped = true;
    };
    byId("write").textContent = "Stop";
    byId("written").setAttribute("aria-busy", "true"); // read aloud once it is whole
    try {
      await write(() => stopped);
    } catch (error) {
      fail(error);
    }
    byId("written").setAttribute("aria-busy", "false");
    byId("write").textContent = "Write";
    stop = null;
  });
}

/** Fill the box with text until it is long enough or `stopped()`. */
async function write(stopped) {
  const number = (id) => byId(id).valueAsNumber;
  const length = number("length");
  const options = [number("temperature"), number("top-k"), number("top-p")];
  const random = uniforms(number("seed"));
  const text = document.createTextNode("");
  const prompt = document.createElement("span");
  prompt.textContent = byId("prompt").value;
  byId("written").replaceChildren(prompt, text);

  await call("restart");
  let reads = points(prompt.textContent);
  const start = performance.now();
  for (let made = 0; made < length && !stopped(); reads = []) {
    const numbers = Array.from({ length: Math.min(PIECE, length - made) }, random);
    const piece = await call("generate", reads, numbers, ...options);
    made += piece.length;
    text.appendData(String.fromCodePoint(...piece));
    byId("written").scrollTop = byId("written").scrollHeight;
    const rate = (1000 * made) / (performance.now() - start);
    byId("text-rate").textContent =
      `${made.toLocaleString("en")} characters, ${Math.round(rate).toLocaleString("en")} a second`;
  }
}
