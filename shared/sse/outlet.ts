/**
 * What one subscriber of a stream of events is still to be sent: bounded, so that whoever reads slowly costs a known amount
 * of memory and slows nobody down. He loses entries, and is told how many.
 *
 * The runtime asks for more (`pull`) only once the socket has taken what it had, so a chunk is made when it is asked for
 * (measured on Bun 1.4.5: beyond what the kernel takes for a client that reads nothing, some 4 MB on the loopback, it is not
 * asked again). Closing the stream does not end a connection that takes nothing; `hurry` has to.
 */
import { EVENT_STREAM_HEADERS, eventBytes, HEARTBEAT } from "./format.ts";

export interface OutletOptions {
  /** Entries and bytes that may wait. */
  readonly maxEntries: number;
  readonly maxBytes: number;
  /** How long what waits may wait without anything being taken, before the subscriber is cut (ms). */
  readonly stallMs: number;
  /** Longest silence (ms): then a heartbeat is sent, as a comment or as `position` gives it. */
  readonly heartbeatMs: number;
  /** In place of the comment: what a client should remember about where it is. */
  readonly position?: () => Uint8Array;
  /** Has the connection ended soon, though nothing is taken from it. */
  readonly hurry: () => void;
  readonly onSent: (entries: number) => void;
  readonly onDropped: (entries: number) => void;
  /** The outlet is over and forgets what it held. Told once. */
  readonly onEnd: (reason: EndReason) => void;
}

/** `client`: it went away; `stalled`: it took nothing; the others are what `end` was given. */
export type EndReason = "client" | "stalled" | (string & {});

/** An entry, under the key that tells it from others. */
export interface OutletEntry {
  readonly key: string;
  readonly bytes: Uint8Array;
}

export interface Outlet {
  /** The answer's body. */
  readonly stream: ReadableStream<Uint8Array>;
  /** Gives an entry if there is room; else it is counted as dropped. */
  offer(key: string, bytes: Uint8Array): void;
  /** Gives what is no entry, and not dropped. */
  tell(bytes: Uint8Array): void;
  /**
   * Gives these first, as fast as they are taken, and what is offered meanwhile after them (bounded as always) unless it was
   * among them. What has no key is told. It returns early where the outlet ends.
   */
  precede(entries: AsyncIterable<OutletEntry | Uint8Array>): Promise<void>;
  /** Ends once all that waits has been taken. */
  finish(reason: string): void;
  /** Gives `farewell` in place of what waits, and ends. */
  end(reason: string, farewell?: Uint8Array): void;
  /** Aborted at the end. */
  readonly signal: AbortSignal;
}

interface Waiting {
  readonly bytes: Uint8Array;
  readonly isEntry: boolean;
}

/** Most that one chunk has (bytes), unless one frame has more. */
const CHUNK_BYTES = 65_536;
const SWEEP_MS = 1_000;

export function makeOutlet(options: OutletOptions): Outlet {
  const { maxEntries, maxBytes, stallMs, heartbeatMs, position, hurry, onSent, onDropped, onEnd } = options;
  const over = new AbortController();
  let queue: Waiting[] = [];
  let queuedBytes = 0;
  let dropped = 0;
  /** Offered while something precedes; its bounds are its own. */
  let held: { entries: Map<string, Uint8Array>; bytes: number; dropped: number } | undefined;
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  /** The connection has taken all that it was given, and waits. */
  let isHungry = false;
  let isScheduled = false;
  let isEnded = false;
  let lastWords: Uint8Array | undefined;
  /** Why it ends once all that waits has been taken. */
  let finishing: string | undefined;
  let roomy: (() => void) | undefined;
  let spokenAt = performance.now();
  let waitingSince: number | undefined;

  function forget(reason: EndReason): void {
    if (isEnded) return;
    isEnded = true;
    clearInterval(sweeping);
    queue = [];
    queuedBytes = 0;
    held = undefined;
    over.abort(new Error(`the subscriber has ended: ${reason}`));
    roomy?.();
    onEnd(reason);
  }

  function push(bytes: Uint8Array, isEntry: boolean): void {
    queue.push({ bytes, isEntry });
    queuedBytes += bytes.byteLength;
    waitingSince ??= performance.now();
    // All that comes in one turn goes in one chunk.
    if (!isHungry || isScheduled) return;
    isScheduled = true;
    queueMicrotask(give);
  }

  function isFull(bytes: number): boolean {
    return queue.length >= maxEntries || (queue.length > 0 && queuedBytes + bytes > maxBytes);
  }

  function isRoomy(): boolean {
    return queue.length <= maxEntries / 2 && queuedBytes <= maxBytes / 2;
  }

  function tellDropped(): void {
    if (dropped === 0) return;
    push(eventBytes({ event: "dropped", data: JSON.stringify({ count: dropped }) }), false);
    dropped = 0;
  }

  function enter(bytes: Uint8Array): void {
    if (isFull(bytes.byteLength)) {
      dropped += 1;
      onDropped(1);
      return;
    }
    tellDropped();
    push(bytes, true);
  }

  function give(): void {
    isScheduled = false;
    if (!isHungry || isEnded || controller === undefined) return;
    if (queue.length === 0) {
      if (finishing !== undefined) {
        forget(finishing);
        leave(undefined);
      }
      return;
    }
    let bytes = 0;
    let count = 0;
    for (const waiting of queue) {
      if (count > 0 && bytes + waiting.bytes.byteLength > CHUNK_BYTES) break;
      bytes += waiting.bytes.byteLength;
      count += 1;
    }
    const taken = queue.splice(0, count);
    queuedBytes -= bytes;
    isHungry = false;
    spokenAt = performance.now();
    // There is room now, and what was dropped came after all that waits.
    tellDropped();
    waitingSince = queue.length === 0 ? undefined : spokenAt;
    onSent(taken.filter(({ isEntry }) => isEntry).length);
    controller.enqueue(Buffer.concat(taken.map((waiting) => waiting.bytes)));
    if (isRoomy()) roomy?.();
  }

  function leave(farewell: Uint8Array | undefined): void {
    lastWords = undefined;
    if (farewell !== undefined) controller?.enqueue(farewell);
    controller?.close();
  }

  /** Until there is room for what may wait as long as it likes. */
  async function room(): Promise<void> {
    if (isEnded || isRoomy()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    roomy = resolve;
    await promise;
  }

  const sweeping = setInterval(() => {
    const now = performance.now();
    if (waitingSince !== undefined && now - waitingSince > stallMs) {
      forget("stalled");
      hurry();
      controller?.close();
    } else if (isHungry && queue.length === 0 && now - spokenAt > heartbeatMs - SWEEP_MS) {
      // Whoever is still being given what was before is not where the position says.
      push(held === undefined ? (position?.() ?? HEARTBEAT) : HEARTBEAT, false);
    }
  }, SWEEP_MS);

  const stream = new ReadableStream<Uint8Array>(
    {
      start(given) {
        controller = given;
      },
      pull() {
        isHungry = true;
        if (lastWords !== undefined) leave(lastWords);
        give();
      },
      cancel() {
        lastWords = undefined;
        forget("client");
      },
    },
    { highWaterMark: 0 },
  );

  return {
    stream,
    signal: over.signal,
    offer(key, bytes) {
      if (isEnded) return;
      if (held === undefined) enter(bytes);
      else if (held.entries.size >= maxEntries || held.bytes + bytes.byteLength > maxBytes) {
        held.dropped += 1;
        onDropped(1);
      } else {
        held.entries.set(key, bytes);
        held.bytes += bytes.byteLength;
      }
    },
    tell(bytes) {
      if (!isEnded) push(bytes, false);
    },
    async precede(entries) {
      const meanwhile = { entries: new Map<string, Uint8Array>(), bytes: 0, dropped: 0 };
      held = meanwhile;
      const given = new Set<string>();
      try {
        for await (const entry of entries) {
          await room();
          if (isEnded) return;
          if (entry instanceof Uint8Array) push(entry, false);
          else {
            given.add(entry.key);
            push(entry.bytes, true);
          }
        }
      } finally {
        // More of them may come while these are taken.
        for (const [key, bytes] of meanwhile.entries) {
          await room();
          meanwhile.entries.delete(key);
          meanwhile.bytes -= bytes.byteLength;
          if (!isEnded && !given.has(key)) push(bytes, true);
        }
        held = undefined;
        dropped += meanwhile.dropped;
        if (!isEnded) tellDropped();
      }
    },
    finish(reason) {
      finishing = reason;
      give();
    },
    end(reason, farewell) {
      if (isEnded) return;
      forget(reason);
      if (isHungry || farewell === undefined) leave(farewell);
      else lastWords = farewell;
      // Whoever takes nothing now has no say in when it ends.
      hurry();
    },
  };
}

/** The answer: headers of the route are added by the application. */
export function eventStream({ stream }: Outlet): Response {
  return new Response(stream, { headers: EVENT_STREAM_HEADERS });
}
