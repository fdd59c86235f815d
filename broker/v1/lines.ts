/** An export on its way through: whole lines, for as long as its reader takes them and may. */
import type { LogExportEnd } from "#contracts/log-queries";

/** Most that is given at once (bytes), unless one line has more: what a slow reader has to take within `stallMs`. */
const PIECE_BYTES = 16_384;
const LINE_END = 10;

export interface LinesOptions {
  /** Whether whoever reads still may. Asked every `lookMs`, one look after the other. */
  readonly may: () => Promise<boolean>;
  readonly lookMs: number;
  /** How long what was given may wait without being taken (ms). */
  readonly stallMs: number;
  /** Has the connection end soon, though nothing is taken from it. */
  readonly hurry: () => void;
}

function lineEndsOf(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(LINE_END); at !== -1; at = bytes.indexOf(LINE_END, at + 1)) count += 1;
  return count;
}

/**
 * The lines of `body`, at the pace of whoever reads. Where he may no more, or takes nothing for too long, `body` is let go and
 * a last line says so, as that of an export; where `body` breaks off, so does this.
 */
export function linesThrough(
  body: ReadableStream<Uint8Array>,
  { may, lookMs, stallMs, hurry }: LinesOptions,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  /** Read and not given yet. */
  let rest = Buffer.alloc(0);
  let isAll = false;
  let entries = 0;
  let isOver = false;
  let isLooking = false;
  /** Since when what was given waits; undefined while the reader waits. */
  let givenAt: number | undefined;
  let lastLine: Uint8Array | undefined;
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;

  function forget(reason: string): void {
    isOver = true;
    rest = Buffer.alloc(0);
    clearInterval(watching);
    // What broke off has nobody left to be told.
    void reader.cancel(new Error(reason)).catch(() => undefined);
  }

  function leave(): void {
    if (lastLine !== undefined) controller?.enqueue(lastLine);
    lastLine = undefined;
    controller?.close();
  }

  function endEarly(error: string): void {
    if (isOver) return;
    const end: LogExportEnd = { $export: { complete: false, entries, error } };
    lastLine = Buffer.from(`${JSON.stringify(end)}\n`);
    forget(error);
    if (givenAt === undefined) leave();
    // Whoever takes nothing now has no say in when it ends.
    hurry();
  }

  async function look(): Promise<void> {
    if (givenAt !== undefined && performance.now() - givenAt > stallMs) {
      endEarly(`nothing was taken for ${stallMs / 1_000} s`);
    } else if (!(await may())) endEarly("the credential no longer counts");
  }

  const watching = setInterval(() => {
    if (isLooking) return;
    isLooking = true;
    void look().finally(() => {
      isLooking = false;
    });
  }, lookMs);

  /** Where the next piece ends; -1 where more has to be read for it. */
  function endOfPiece(): number {
    const within = rest.lastIndexOf(LINE_END, PIECE_BYTES - 1);
    const end = within === -1 ? rest.indexOf(LINE_END) : within;
    return end === -1 && isAll ? rest.length : end + 1;
  }

  return new ReadableStream<Uint8Array>(
    {
      start(given) {
        controller = given;
      },
      async pull(given) {
        givenAt = undefined;
        if (isOver) return leave();
        try {
          while (endOfPiece() < 1 && !isAll) {
            const { done, value } = await reader.read();
            // Ended meanwhile, and said so.
            if (isOver) return;
            if (done) isAll = true;
            else rest = Buffer.concat([rest, value]);
          }
        } catch (error) {
          if (isOver) return;
          forget("it broke off");
          given.error(error);
          return;
        }
        const end = endOfPiece();
        if (end < 1) {
          forget("that was all");
          given.close();
          return;
        }
        const piece = rest.subarray(0, end);
        rest = rest.subarray(end);
        entries += lineEndsOf(piece);
        givenAt = performance.now();
        given.enqueue(piece);
      },
      cancel() {
        lastLine = undefined;
        forget("the reader has gone");
      },
    },
    { highWaterMark: 0 },
  );
}
