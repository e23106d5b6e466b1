// The page of a text model: a prompt goes in, and the text comes in pieces from the loop graph.

import { call } from "./model.mjs";
import { uniforms } from "./random.mjs";
import { byId } from "./tables.mjs";

const PIECE = 16; // characters a call
const OPENING = 40; // characters of the prompt that the page begins with, at most
const points = (text) => Array.from(text, (character) => character.codePointAt(0));

/** Show the page of a text model, which goes on from `unseen` text; `fail` puts up an error. */
export function openText({ vocabulary, loop }, unseen, fail) {
  byId("text").hidden = false;
  if (loop === null) {
    byId("text-form").hidden = byId("written").hidden = true;
    byId("text-limit").hidden = false;
    byId("text-limit").textContent =
      "This model reads whole texts in both directions, so it cannot write one from left to right.";
    return undefined;
  }
  const known = new Set(vocabulary);
  byId("prompt").addEventListener("input", () => {
    const strange = new Set(Array.from(byId("prompt").value).filter((one) => !known.has(one)));
    const words = [...strange].slice(0, 8).join(" ");
    byId("prompt-hint").textContent = words && `Not in the vocabulary, read as unknown: ${words}`;
  });

  let stop = null;
  async function begin() {
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
  }

  byId("text-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (stop) stop();
    else begin();
  });
  byId("prompt").value = opening(unseen);
  return begin();
}

/** The beginning of a sentence that training never saw, to its last whole word. */
function opening(unseen) {
  const starts = unseen.matchAll(/(?:^|[.!?]\s+|\n\s*)(\p{Lu}\p{Ll}*(?: \p{L}+,?)+ )/gu);
  const sentence = [...starts].map((found) => found[1]).find((one) => one.length >= OPENING);
  return (sentence ?? unseen).slice(0, OPENING).replace(/\S*$/, "");
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
