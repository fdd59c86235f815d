/** Server-sent events as a test follows them. */
import { makeEventReader, type ReceivedEvent } from "#shared/sse";

export interface Following {
  readonly answer: Response;
  /** Done when the stream has ended, was cut, or left. */
  readonly reading: Promise<void>;
  /** As `ReceivedEvents` has it. */
  readonly lastId: string;
  /** Hangs up. */
  readonly leave: () => Promise<void>;
}

/** Tells each event of a stream as it comes. @param ask gets the stream; its signal hangs up. */
export async function followEvents(
  ask: (signal: AbortSignal) => Promise<Response>,
  onEvent: (event: ReceivedEvent) => void,
): Promise<Following> {
  const leaving = new AbortController();
  const answer = await ask(leaving.signal);
  const reader = makeEventReader(onEvent);
  const read = async (): Promise<void> => {
    const decoder = new TextDecoder();
    try {
      for await (const chunk of answer.body ?? []) reader.push(decoder.decode(chunk, { stream: true }));
    } catch {
      // Left, or cut.
    }
  };
  const reading = read();
  return {
    answer,
    reading,
    get lastId() {
      return reader.lastId;
    },
    leave: async () => {
      leaving.abort();
      await reading;
    },
  };
}
