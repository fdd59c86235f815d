/**
 * Work on messages in batches, and patience when a neighbour is away: what could not be done stays in hand, in
 * order, and is tried again with backoff; nothing is given back and no attempt is spent while the neighbour is away.
 */
import { Failure, failureOf, type Result } from "#shared/errors";
import { type Backoff, reconnectBackoff, sleep } from "#shared/resilience";

/** Done with, in one way or the other; or to be tried again, because the system is not well. */
export type Fate = "done" | "dead" | { readonly hold: Failure };

export interface PipelineOptions<T> {
  /** Most messages, and bytes, in one batch; a message that is larger goes alone. */
  readonly batchItems: number;
  readonly batchBytes: number;
  readonly bytesOf: (item: T) => number;
  /** Batches under way at a time. */
  readonly concurrent: number;
  /** The fate of each item, in order. */
  readonly work: (items: readonly T[]) => Promise<readonly Fate[]>;
  /** Whether the neighbour is back, asked while there is nothing in hand to try. */
  readonly probe: () => Promise<Result<void>>;
  readonly onFate: (item: T, fate: "done" | "dead") => void;
  /** Work stops; what is in hand is kept. */
  readonly onHeld: (reason: Failure) => void;
  /** Work goes on. Also after the first probe: a pipeline begins held. */
  readonly onResumed: () => void;
  /** Held for so long (ms) that the messages had better be given back: RabbitMQ closes a channel that keeps one for 30 min. */
  readonly giveBackMs: number;
  readonly onGiveBack: () => void;
  readonly backoff?: Backoff;
}

export interface Pipeline<T> extends Disposable {
  /** Items that wait or are under way. */
  readonly inHand: number;
  readonly held: boolean;
  push(item: T): void;
  /** Forgets what is in hand: somebody else has it now. */
  clear(): void;
  /** @returns when nothing is in hand, when work is held, or after `ms`. */
  drain(ms: number): Promise<void>;
}

interface Numbered<T> {
  readonly number: number;
  readonly item: T;
}

const DRAIN_POLL_MS = 10;

export function makePipeline<T>(options: PipelineOptions<T>): Pipeline<T> {
  const { batchItems, batchBytes, bytesOf, concurrent, backoff = reconnectBackoff } = options;
  const stopping = new AbortController();
  let waiting: Numbered<T>[] = [];
  let underWay = 0;
  let batches = 0;
  let counter = 0;
  /** Grows with `clear`: what older batches come back with concerns nobody. */
  let epoch = 0;
  let held = true;
  let scheduled = false;

  void patience(undefined);

  function schedule(): void {
    if (scheduled) return;
    scheduled = true;
    // Deliveries of one read from the socket become one batch.
    setImmediate(() => {
      scheduled = false;
      pump();
    });
  }

  /** A second batch goes out only when it is a full one: small ones wait for the answer and become larger. */
  function mayStart(): boolean {
    return !held && batches < concurrent && waiting.length >= (batches === 0 ? 1 : batchItems);
  }

  function pump(): void {
    while (mayStart()) {
      void runBatch(takeBatch(batchItems)).then((failure) => {
        if (failure !== undefined) void patience(failure);
        else pump();
      });
    }
  }

  function takeBatch(most: number): Numbered<T>[] {
    let bytes = 0;
    let count = 0;
    for (const { item } of waiting) {
      bytes += bytesOf(item);
      if (count > 0 && (count >= most || bytes > batchBytes)) break;
      count += 1;
    }
    return waiting.splice(0, count);
  }

  /** @returns why a part of it has to wait; that part waits first in line then. */
  async function runBatch(batch: readonly Numbered<T>[]): Promise<Failure | undefined> {
    const startedIn = epoch;
    batches += 1;
    underWay += batch.length;
    const fates = await fatesOf(batch.map(({ item }) => item));
    batches -= 1;
    if (startedIn !== epoch) return undefined;
    underWay -= batch.length;
    let failure: Failure | undefined;
    const back: Numbered<T>[] = [];
    for (const [index, numbered] of batch.entries()) {
      const fate = fates[index] ?? { hold: new Failure("internal", "no fate for a message") };
      if (fate === "done" || fate === "dead") {
        options.onFate(numbered.item, fate);
      } else {
        failure ??= fate.hold;
        back.push(numbered);
      }
    }
    if (back.length > 0) waiting = [...back, ...waiting].sort((a, b) => a.number - b.number);
    return failure;
  }

  async function fatesOf(items: readonly T[]): Promise<readonly Fate[]> {
    try {
      return await options.work(items);
    } catch (error) {
      const hold = failureOf(error);
      return items.map(() => ({ hold }));
    }
  }

  /** Holds the work until one message could be worked on, or the neighbour says that it is back. */
  async function patience(reason: Failure | undefined): Promise<void> {
    if (held && reason !== undefined) return;
    held = true;
    if (reason !== undefined) options.onHeld(reason);
    let since = performance.now();
    try {
      for (let attempt = 0; ; attempt += 1) {
        if (attempt > 0 || reason !== undefined) await sleep(backoff(attempt), stopping.signal);
        stopping.signal.throwIfAborted();
        const startedIn = epoch;
        const failure = waiting.length > 0 ? await runBatch(takeBatch(1)) : await probeFailure();
        if (failure === undefined && startedIn === epoch) break;
        if (waiting.length > 0 && performance.now() - since > options.giveBackMs) {
          since = performance.now();
          options.onGiveBack();
        }
      }
    } catch (error) {
      if (stopping.signal.aborted) return;
      throw error;
    }
    held = false;
    options.onResumed();
    pump();
  }

  async function probeFailure(): Promise<Failure | undefined> {
    const result = await options.probe();
    return result.ok ? undefined : result.error;
  }

  return {
    get inHand() {
      return waiting.length + underWay;
    },
    get held() {
      return held;
    },
    push(item) {
      counter += 1;
      waiting.push({ number: counter, item });
      if (!held) schedule();
    },
    clear() {
      epoch += 1;
      waiting = [];
      underWay = 0;
    },
    async drain(ms) {
      const endsAt = performance.now() + ms;
      const done = (): boolean => waiting.length + underWay === 0 || held || performance.now() >= endsAt;
      while (!done()) await sleep(DRAIN_POLL_MS);
    },
    [Symbol.dispose]() {
      stopping.abort(new Error("stopped"));
      held = true;
    },
  };
}
