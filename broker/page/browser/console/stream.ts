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
    const silent = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const heard = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(new Error("nothing came any more")), SILENT_MS);
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
        signal: AbortSignal.any([signal, silent.signal]),
      });
      if (!answer.ok || answer.body === null) {
        const body = (await answer.json().catch(() => ({}))) as { message?: string };
        return troubleOf(answer, body.message ?? `the broker answered ${answer.status}`);
      }
      attempt = 0;
      isRenewed = false;
      onOpen?.();
      const parser = createParser({ onEvent });
      const ids = placesIn((id) => {
        lastId = id;
      });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        heard();
        parser.feed(value);
        ids(value);
      }
      return { kind: "offline", status: 0, message: "the stream has ended" };
    } catch (error) {
      const why = silent.signal.aborted ? silent.signal.reason : error;
      return { kind: "offline", status: 0, message: why instanceof Error ? why.message : String(why) };
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Reads ids also of heartbeats, which are events without data, as the browser's own EventSource does: parsers tell none of these. */
function placesIn(onPlace: (id: string) => void): (chunk: string) => void {
  let rest = "";
  let place: string | undefined;
  return (chunk) => {
    const lines = `${rest}${chunk}`.split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line.startsWith("id:")) place = line.slice(3).trim();
      if (line.trim() !== "" || place === undefined) continue;
      onPlace(place);
      place = undefined;
    }
  };
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
