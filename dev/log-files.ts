/** Log files of a run below `<dataDir>/logs`: kept small while they are written to. */
import { copyFileSync, readdirSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";

/** A log that grows beyond this starts anew (bytes); its previous content stays beside it as `<name>.log.1`. */
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * Sets logs aside that have grown too large. They are copied and emptied, not renamed: their writers hold them open
 * for appending. A line written between the two is lost, which a development log may.
 */
export function boundLogs(dataDir: string, maxBytes = MAX_BYTES): void {
  const directory = join(dataDir, "logs");
  for (const file of logNames(directory)) {
    const path = join(directory, file);
    if (statSync(path).size <= maxBytes) continue;
    copyFileSync(path, `${path}.1`);
    truncateSync(path);
  }
}

/** The parts that have a log, by name. */
export function partsWithLogs(dataDir: string): string[] {
  return logNames(join(dataDir, "logs")).map((file) => file.slice(0, -".log".length));
}

function logNames(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((file) => file.endsWith(".log"))
      .sort();
  } catch {
    return [];
  }
}
