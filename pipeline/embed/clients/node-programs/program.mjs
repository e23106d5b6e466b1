// What the two programs share: their options, the lines that they read, and how they end.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { BundleError, openBundle } from "./bundle.mjs";

const HERE = fileURLToPath(new URL("model", import.meta.url));

/** The bundle in a folder. */
export function openFolder(folder) {
  return openBundle(async (name) => new Uint8Array(await readFile(join(folder, name))));
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

/** A number of the command line: finite, from 0, `over` one and up to another if they are given. */
export function parseNumber(name, text, { over = -1, to = Infinity, whole = false }) {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  const fits = value >= 0 && value > over && value <= to;
  if (!fits || !Number.isFinite(value) || (whole && !Number.isSafeInteger(value))) {
    throw new BundleError(`--${name} ${text}: it cannot be that; give a number in its range`, 2);
  }
  return value;
}

/** The numbers of a line of standard input. */
export function parseRow(line, number, features) {
  const parts = line.split(",").map((part) => (part.trim() === "" ? Number.NaN : Number(part)));
  if (parts.length !== features || !parts.every((part) => Number.isFinite(Math.fround(part)))) {
    const what = `line ${number} of standard input is not ${features} numbers`;
    throw new BundleError(`${what}; separate them by commas`);
  }
  return Float32Array.from(parts);
}

/** Run a program that resolves to its exit code; what goes wrong is one line. */
export async function main(program) {
  process.stdout.on("error", () => process.exit(0)); // the reader has gone
  try {
    process.exitCode = await program();
  } catch (error) {
    const isOurs = error instanceof BundleError;
    const what = isOurs ? error.message : `manifest.json is malformed (${error}); export it anew`;
    console.error(`error: ${what.replace(/\s+/g, " ")}`);
    process.exitCode = isOurs ? error.code : 3;
  }
}
