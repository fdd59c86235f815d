/** Server-sent events by `fetch`: unlike the browser's EventSource it can show a credential. */
import { createParser, type EventSourceMessage } from "eventsource-parser";
import { type Trouble, troubleOf } from "./api.ts";
import { accessToken } from "./session.ts";

export interface StreamOptions {
  readonly signal: AbortSignal;
  readonly onEvent: (event: EventSourceMessage) => void;
  /** It is connected. */
  readonly onOpen?: () => void;
  /** It has ended or can't be had; asked again after `inMs`, or never where that is undefined. */
  readonly onTrouble?: (trouble: Trouble, inMs: number | undefined) => void;
}

const FIRST_MS = 500;
const MOST_MS = 15_000;

/** Follows `path` until the signal fires: connects again with backoff and jitter, going on after the last event that came. */
export async function follow(path: string, { signal, onEvent, onOpen, onTrouble }: StreamOptions): Promise<void> {
  let lastId: string | undefined;
  let attempt = 0;
  while (!signal.aborted) {
    const trouble = await once();
    if (signal.aborted) return;
    const isFinal = trouble.kind === "signed-out" || trouble.kind === "forbidden" || trouble.kind === "not-found";
    if (isFinal || trouble.status === 422) return onTrouble?.(trouble, undefined);
    const waitMs = trouble.retryAfterS === undefined ? backoff(attempt) : trouble.retryAfterS * 1_000;
    attempt += 1;
    onTrouble?.(trouble, waitMs);
    await waited(waitMs, signal);
  }

  async function once(): Promise<Trouble> {
    try {
      const bearer = await accessToken();
      const answer = await fetch(path, {
        headers: {
          accept: "text/event-stream",
          ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
          ...(lastId === undefined ? {} : { "last-event-id": lastId }),
        },
        signal,
      });
      if (!answer.ok || answer.body === null) {
        const body = (await answer.json().catch(() => ({}))) as { message?: string };
        return troubleOf(answer, body.message ?? `the broker answered ${answer.status}`);
      }
      attempt = 0;
      onOpen?.();
      const parser = createParser({
        onEvent(event) {
          lastId = event.id ?? lastId;
          onEvent(event);
        },
      });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        parser.feed(value);
      }
      return { kind: "offline", status: 0, message: "the stream has ended" };
    } catch (error) {
      return { kind: "offline", status: 0, message: error instanceof Error ? error.message : String(error) };
    }
  }
}

const backoff = (attempt: number): number => Math.random() * Math.min(MOST_MS, FIRST_MS * 2 ** attempt) + 100;

function waited(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
