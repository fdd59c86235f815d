/** Where that goes which cannot be delivered: damaged segments as `.bad`, refused records into `refused.ndjson`. */
import { basename, join } from "node:path";
import type { Log } from "#shared/log";
import {
  errnoOf,
  FILE_MODE,
  readAt,
  readWhole,
  replaceFile,
  type SpoolFile,
  type SpoolFiles,
  syncDirectory,
  writeAll,
} from "./files.ts";
import type { SpoolRecord } from "./types.ts";

export interface Quarantine {
  /**
   * Keeps a damaged segment, whole, under `<name>.bad`; the segment itself stays, for the records in it that are well.
   * False when it could not be kept.
   */
  keepSegment(path: string): Promise<boolean>;
  /** Keeps a refused record with the reason, durably; false when it could not be kept or there is no room. */
  keepRecord(record: SpoolRecord, reason: string): Promise<boolean>;
}

const REFUSED = "refused.ndjson";
const LINE_BREAK = 10;

/** @param limitBytes of `refused.ndjson`. */
export function makeQuarantine(files: SpoolFiles, dir: string, limitBytes: number, log: Log): Quarantine {
  async function appendLine(file: SpoolFile, line: Buffer): Promise<boolean> {
    const { size } = await file.stat();
    if (size + line.length > limitBytes) {
      log.error("no room for refused records; they are held", { file: REFUSED, limit_bytes: limitBytes });
      return false;
    }
    const last = await readAt(file, Math.max(0, size - 1), 1);
    const torn = last.length > 0 && last[0] !== LINE_BREAK;
    await writeAll(file, torn ? Buffer.concat([Buffer.of(LINE_BREAK), line]) : line, size);
    await file.sync();
    if (size === 0) await syncDirectory(files, dir);
    return true;
  }

  return {
    async keepSegment(path) {
      const kept = `${path}.bad`;
      try {
        await files.link(path, kept).catch(async (error: unknown) => {
          if (errnoOf(error) === "EEXIST") return; // kept by an earlier run
          const bytes = await readWhole(files, path); // a file system without hard links
          if (bytes !== undefined) await replaceFile(files, dir, basename(kept), bytes);
        });
        await syncDirectory(files, dir);
        return true;
      } catch (error) {
        log.error("a damaged segment could not be kept as .bad", { path, error });
        return false;
      }
    },

    async keepRecord({ id, kind, at, body }, reason) {
      const content = body instanceof Uint8Array ? { body_base64: Buffer.from(body).toString("base64") } : { body };
      const line = Buffer.from(`${JSON.stringify({ refused_at: new Date(), reason, id, kind, at, ...content })}\n`);
      try {
        const file = await files.open(join(dir, REFUSED), "a+", FILE_MODE);
        try {
          return await appendLine(file, line);
        } finally {
          await file.close();
        }
      } catch (error) {
        log.error("a refused record could not be kept; it is held", { id, error });
        return false;
      }
    },
  };
}
