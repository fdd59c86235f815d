/** A file that only those may have who are signed in: fetched with the session, then given to the browser to keep. */
import { ask } from "./api.ts";

/** Longest that it may take (ms). */
const WITHIN_MS = 60_000;

/** Text of at most what fits in memory. @returns why not, in words. */
export async function download(path: string, name: string): Promise<string | undefined> {
  const reply = await ask("GET", path, { withinMs: WITHIN_MS });
  if (!reply.ok) return reply.trouble.message;
  const type = reply.headers.get("content-type") ?? "text/plain";
  const url = URL.createObjectURL(new Blob([reply.text], { type }));
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  URL.revokeObjectURL(url);
  return undefined;
}
