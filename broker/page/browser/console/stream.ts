/** Server-sent events by `fetch`: unlike the browser's EventSource it can show a credential. */
import { createParser, type EventSourceMessage } from "eventsource-parser";
import { type Trouble, troubleOf } from "./api.ts";
import { accessToken, forgetAccess, isSignedIn } from "./session.ts";

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
/** A heartbeat comes every 5 s: after so long without anything the connection is dead, though nobody has said so (ms). */
const SILENT_MS = 20_000;
/** Most of one event (characters): more is no stream of ours. */
const EVENT_MAX = 4 * 1_048_576;

/** Follows `path` until the signal fires: connects again with backoff and jitter, going on after the last event that came. */
export async function follow(path: string, { signal, onEvent, onOpen, onTrouble }: StreamOptions): Promise<void> {
  let lastId: string | undefined;
  let attempt = 0;
  let isRenewed = false;
  while (!signal.aborted) {
    const trouble = await once();
    if (signal.aborted) return;
    if (trouble.kind === "signed-out" && isSignedIn() && !isRenewed) {
      // The token was over, not the session.
      isRenewed = true;
      forgetAccess();
      continue;
    }
    const isFinal = trouble.kind === "signed-out" || trouble.kind === "forbidden" || trouble.kind === "not-found";
    if (isFinal || trouble.status === 422) return onTrouble?.(trouble, undefined);
    const waitMs = trouble.retryAfterS === undefined ? backoff(attempt) : trouble.retryAfterS * 1_000;
    attempt += 1;
    onTrouble?.(trouble, waitMs);
    await waited(waitMs, signal);
  }

  async function once(): Promise<Trouble> {
    const over = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const heard = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => over.abort(new Error(`nothing came for ${SILENT_MS / 1_000} s`)), SILENT_MS);
    };
    try {
      heard();
      const bearer = await accessToken();
      const answer = await fetch(path, {
        headers: {
          accept: "text/event-stream",
          ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
          ...(lastId === undefined ? {} : { "last-event-id": lastId }),
        },
        signal: AbortSignal.any([signal, over.signal]),
      });
      if (!answer.ok || answer.body === null) {
        const body = (await answer.json().catch(() => ({}))) as { message?: string };
        return troubleOf(answer, body.message ?? `the broker answered ${answer.status}`);
      }
      attempt = 0;
      isRenewed = false;
      onOpen?.();
      const parser = createParser({
        onEvent,
        // Heartbeats have one, too, and nothing else.
        onId(id) {
          lastId = id;
        },
        maxBufferSize: EVENT_MAX,
      });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        heard();
        parser.feed(value);
      }
      return { kind: "offline", status: 0, message: "the stream has ended" };
    } catch (error) {
      const why = over.signal.aborted ? over.signal.reason : error;
      return { kind: "offline", status: 0, message: why instanceof Error ? why.message : String(why) };
    } finally {
      clearTimeout(timer);
      // What could not be read is not received any further.
      over.abort();
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
