// What the two programs share: their options, the lines that they read, and how they end.

import { webcrypto } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { BundleError, changed, openBundle } from "./bundle.mjs";
import { holds, numbersOf, sizeOf, tensor } from "./tensors.mjs";

globalThis.crypto ??= webcrypto; // Node.js 18 has it here only

const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const HERE = fileURLToPath(new URL("model", import.meta.url));

/** The bundle in a folder, of which only regular files are read. */
export function openFolder(folder) {
  return openBundle(async (name, most) => {
    const path = join(folder, name);
    const found = await stat(path);
    if (!found.isFile()) throw new Error(`${path} is no file`);
    if (found.size > most) throw changed(path);
    return new Uint8Array(await readFile(path));
  });
}

/** The options of a command line; `--model` is one of every program. */
export function parseOptions(options = {}) {
  try {
    const all = { model: { type: "string", default: HERE }, ...options };
    return parseArgs({ options: all }).values;
  } catch (error) {
    throw new BundleError(error.message, 2);
  }
}

/** A number in decimal notation; NaN for any other text, of which `Number` takes some. */
function parseDecimal(text) {
  return DECIMAL.test(text.trim()) ? Number(text) : Number.NaN;
}

/** A number of the command line, in its range and whole if it has to be. */
export function parseNumber(name, text, { from = 0, over = -Infinity, to = 1e38, whole = false }) {
  const value = parseDecimal(text);
  const fits = value >= from && value > over && value <= to;
  if (!fits || (whole && !Number.isSafeInteger(value))) {
    throw new BundleError(`--${name} ${text}: it cannot be that; give a number in its range`, 2);
  }
  return value;
}

/** The numbers of a line of standard input, as a tensor. */
export function parseRow(line, number, type, shape) {
  const row = line.split(",").map(parseDecimal);
  const parsed = holds(type, row) ? tensor(type, shape, row) : null;
  if (row.length !== sizeOf(shape) || !parsed || !numbersOf(parsed).every(Number.isFinite)) {
    const what = `line ${number} of standard input is not ${sizeOf(shape)} numbers of ${type}`;
    throw new BundleError(`${what}; separate them by commas`);
  }
  return parsed;
}

/** A message of which a terminal takes nothing for a command. */
function plain(message) {
  return message.replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, (one) => {
    return `\\u${one.codePointAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** Run a program that resolves to its exit code; what goes wrong is one line. */
export async function main(program) {
  process.stdout.on("error", ({ code, message }) => {
    if (code === "EPIPE") process.exit(0); // who read it has gone
    console.error(`error: cannot write to standard output (${message}); make room for it`);
    process.exit(3);
  });
  try {
    process.exitCode = await program();
  } catch (error) {
    const isOurs = error instanceof BundleError;
    const what = isOurs ? error.message : `manifest.json is malformed (${error}); export it anew`;
    console.error(`error: ${plain(what.replace(/\s+/g, " "))}`);
    process.exitCode = isOurs ? error.code : 3;
  }
}
