/**
 * The spool: records kept on local disk until whoever shall have them is back.
 *
 * Promises. An `append` that succeeded is on disk (fdatasync) and is delivered at least once, in the order of appends,
 * with the same id, through crashes, power cuts and restarts; a record may be delivered twice after a crash, which its
 * id makes harmless, and never zero times. Nothing that was not appended is ever delivered. Where the disk is full,
 * sick or slow the answer is `unavailable`, never a false success.
 *
 * On disk, in one directory of mode 0700, files 0600, one process at a time (`lock`):
 *
 *     00000001.seg …   segments, append-only; bytes as in format.ts
 *     cursor           how far all is delivered: "1 <sequence> <crc>"; damaged or lost, all is delivered again
 *     *.seg.bad        a segment in which something is no longer what was written, whole, for the operator
 *     refused.ndjson   records refused for good, with the reason, one JSON object a line
 *
 * docs/spool.md says what an operator does with the last two.
 */
export type { SpoolFile, SpoolFiles } from "./files.ts";
export { openSpool } from "./spool.ts";
export type {
  Deliver,
  Forwarding,
  ForwardOptions,
  Outcome,
  Spool,
  SpoolOptions,
  SpoolRecord,
} from "./types.ts";
