// What replay and example share: the model beside them, the bundle's files, and how they end.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { BundleError, openBundle } from "./bundle.mjs";
import { loadModel } from "./model.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));

/** The values of the options in the command line. */
export function options(known) {
  try {
    return parseArgs({ options: known }).values;
  } catch (error) {
    throw new BundleError(error.message, 2);
  }
}

/** The bundle in a folder, by default in `model` beside the programs. */
export function openFolder(folder = join(here, "model")) {
  return openBundle((name) => readFile(join(folder, name)));
}

/** The model in model.wasm. */
export async function openModel() {
  const path = join(here, "model.wasm");
  const bytes = await readFile(path).catch(() => {
    throw new BundleError(`${path} is not there; 'make' builds it`, 7);
  });
  return loadModel(bytes);
}

/** Runs a program; an error ends it with one line. */
export async function run(main) {
  try {
    process.exitCode = await main();
  } catch (error) {
    console.error(`error: ${error.message.replaceAll("\n", " ")}`);
    process.exitCode = error.code ?? 7;
  }
}
