/** Where things are: the checkout, and the directory that holds everything a run leaves behind. */
import { dirname, join, resolve } from "node:path";

export const ROOT = dirname(import.meta.dir);

/** The data directory as asked for by `--data`, else `PLATFORM_DATA_DIR`, else `.data` in the checkout. */
export function dataDirectory(option?: string): string {
  const named = option ?? process.env["PLATFORM_DATA_DIR"];
  return named === undefined || named === "" ? join(ROOT, ".data") : resolve(named);
}

export const stateFile = (dataDir: string): string => join(dataDir, "run", "state.json");
export const lockFile = (dataDir: string): string => join(dataDir, "run", "up.lock");
export const logFile = (dataDir: string, part: string): string => join(dataDir, "logs", `${part}.log`);
