/** Entries as NDJSON: a line each, made when it is wanted, and a last line that tells how it ended. */
import type { LogExportEnd, LogItem } from "#contracts/log-queries";
import { Failure } from "#shared/errors";

/** `left`: whoever read it has gone. */
export type ExportOutcome = "complete" | "left" | "failed";

const encoder = new TextEncoder();

/** What is told of an end before the end: never what lies behind it. */
function reasonOf(error: unknown): string {
  return error instanceof Failure ? error.message : "internal error";
}

/**
 * The body of an export. Entries are asked for as the reader takes them: some at a time are in memory.
 * @param entries some at a time; it is closed when the reader goes.
 * @param onEnd told once how it ended, and what went wrong.
 */
export function ndjsonOf(
  entries: AsyncGenerator<readonly LogItem[]>,
  onEnd: (how: ExportOutcome, error?: unknown) => void,
): ReadableStream<Uint8Array> {
  let count = 0;
  let isOver = false;
  const end = (how: ExportOutcome, error?: unknown): void => {
    if (isOver) return;
    isOver = true;
    onEnd(how, error);
  };
  const lastLine = (told: LogExportEnd["$export"]): Uint8Array =>
    encoder.encode(`${JSON.stringify({ $export: told })}\n`);
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await entries.next();
          if (isOver) return;
          if (done === true) {
            controller.enqueue(lastLine({ complete: true, entries: count }));
            controller.close();
            end("complete");
            return;
          }
          count += value.length;
          controller.enqueue(encoder.encode(value.map((item) => `${JSON.stringify(item)}\n`).join("")));
        } catch (error) {
          if (isOver) return;
          controller.enqueue(lastLine({ complete: false, entries: count, error: reasonOf(error) }));
          controller.close();
          end("failed", error);
        }
      },
      async cancel() {
        end("left");
        await entries.return(undefined);
      },
    },
    { highWaterMark: 1 },
  );
}
