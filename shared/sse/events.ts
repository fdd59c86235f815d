/** A stream of events as it is received, watched for silence. */
import { makeEventReader, type ReceivedEvent } from "./format.ts";

/** What came in one piece. */
export interface ReceivedEvents {
  readonly events: readonly ReceivedEvent[];
  /** The last id that was told, also by what was no event; empty before the first. */
  readonly lastId: string;
}

/**
 * The events of a stream, as pieces of it come; a piece may have none. The stream is ended with whoever reads them.
 * @param silenceMs longest time without anything, heartbeats included.
 * @throws Error where nothing came for that long, where the stream breaks off, or where it is none of ours.
 */
export async function* eventsOf(
  stream: ReadableStream<Uint8Array>,
  silenceMs: number,
): AsyncGenerator<ReceivedEvents, void, void> {
  const decoder = new TextDecoder();
  const received: ReceivedEvent[] = [];
  const told = makeEventReader((event) => received.push(event));
  const reader = stream.getReader();
  let why = "the reader has gone";
  try {
    for (;;) {
      const { promise: silence, reject } = Promise.withResolvers<never>();
      const timer = setTimeout(() => reject(new Error(`nothing came for ${silenceMs} ms`)), silenceMs);
      const { done, value } = await Promise.race([reader.read(), silence]).finally(() => clearTimeout(timer));
      if (done) return;
      told.push(decoder.decode(value, { stream: true }));
      yield { events: received.splice(0), lastId: told.lastId };
    }
  } catch (error) {
    why = String(error);
    throw error;
  } finally {
    // What broke off has nobody left to be told.
    void reader.cancel(why).catch(() => undefined);
  }
}
