/** How far the spool is delivered, in the file `cursor`: `1 <sequence> <crc>`. */
import { join } from "node:path";
import { readWhole, replaceFile, type SpoolFiles } from "./files.ts";

const NAME = "cursor";

function crcOf(text: string): string {
  return Bun.hash.crc32(text).toString(16).padStart(8, "0");
}

export async function saveCursor(files: SpoolFiles, dir: string, sequence: number): Promise<void> {
  const text = `1 ${sequence}`;
  await replaceFile(files, dir, NAME, Buffer.from(`${text} ${crcOf(text)}\n`));
}

/** @returns the sequence; 0 where nothing was delivered; undefined where the file is damaged. */
export async function loadCursor(files: SpoolFiles, dir: string): Promise<number | undefined> {
  const bytes = await readWhole(files, join(dir, NAME));
  if (bytes === undefined) return 0;
  const [, text, digits, crc] = /^(1 (\d{1,16})) ([0-9a-f]{8})\n$/.exec(bytes.toString("latin1")) ?? [];
  return text !== undefined && crc === crcOf(text) ? Number(digits) : undefined;
}
