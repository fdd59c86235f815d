/**
 * Work on messages in batches, and patience when a neighbour is away: what could not be done stays in hand and is
 * tried again with backoff; nothing is given back and no attempt is spent while the neighbour is away.
 */
import { Failure, failureOf, type Result } from "#shared/errors";
import { type Backoff, pause, reconnectBackoff, sleep } from "#shared/resilience";

/** Done with: handled, dead-lettered, or put off into a delay queue. */
export type Settled = "done" | "dead" | "retried";

/**
 * What became of a message. `hold`: the system is not well, it is to be tried again. `unsure`: it failed, and the
 * fault may be its own or the system's.
 */
export type Fate = Settled | { readonly hold: Failure } | { readonly unsure: Failure };

export interface PipelineOptions<T> {
  /** Most messages, and bytes, in one batch; a message that is larger goes alone. */
  readonly batchItems: number;
  readonly batchBytes: number;
  readonly bytesOf: (item: T) => number;
  /** Batches under way at a time. */
  readonly concurrent: number;
  /** The fate of each item, in order. `alone`: it is one suspect, and nothing else of this pipeline is under way. */
  readonly work: (items: readonly T[], alone: boolean) => Promise<readonly Fate[]>;
  /** An item that was unsure, or held while others were not, has failed by a fault of its own: spends an attempt. */
  readonly onOwnFault: (item: T, failure: Failure) => Promise<Fate>;
  /** Whether the neighbour is back, asked while there is nothing in hand to try. */
  readonly probe: () => Promise<Result<void>>;
  readonly onFate: (item: T, fate: Settled) => void;
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
  /** @param suspect it is worked on alone, after all that are not suspects. */
  push(item: T, suspect?: boolean): void;
  /** There is reason to believe that the neighbour is back: held work is tried now, and with short waits again. */
  wake(): void;
  /** Forgets what is in hand: somebody else has it now. */
  clear(): void;
  /** @returns when nothing is in hand, when work is held, or after `ms`. */
  drain(ms: number): Promise<void>;
}

interface Entry<T> {
  /** Its place in line. */
  readonly number: number;
  readonly item: T;
  readonly suspect: boolean;
  /** When it was tried last; 0 for never. */
  tried: number;
  /** Since it failed for the first time without a known culprit: how much was done by then, and tries since. */
  doubt?: { readonly doneThen: number; tries: number };
  /** How much was done when it was held last, and how often others were handled between two times that it was. */
  holds?: { doneThen: number; besides: number };
}

const DRAIN_POLL_MS = 10;
/**
 * Where nothing else comes that could be a witness: after so many tries, with no more than so many in doubt and a
 * neighbour that says it is well, the fault is the message's own.
 */
const LONE_TRIES = 5;
const LONE_ITEMS = 2;
/**
 * Where the neighbour is away for one message, and so often well for others in between, the fault is the message's
 * own: it would stand in the way of the others for ever.
 */
const HOLDS_BESIDES_OTHERS = 5;

export function makePipeline<T>(options: PipelineOptions<T>): Pipeline<T> {
  const { batchItems, batchBytes, bytesOf, concurrent, backoff = reconnectBackoff } = options;
  const stopping = new AbortController();
  /** Ends the wait between two tries of held work. */
  let waking = new AbortController();
  let waiting: Entry<T>[] = [];
  let suspects: Entry<T>[] = [];
  let underWay = 0;
  let batches = 0;
  let counter = 0;
  let tries = 0;
  /** Items that were handled: each is a witness that the neighbour was well. */
  let done = 0;
  /** Grows with `clear`: what older batches come back with concerns nobody. */
  let epoch = 0;
  let held = true;
  /** Items of the next batch: one after work was held, twice as many after each that went well, so that whoever spoils a batch is found. */
  let most = batchItems;
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

  /**
   * A second batch goes out only when it is a full one: small ones wait for the answer and become larger. A suspect
   * goes when nothing else is in hand that it could take down with it.
   */
  function mayStart(): boolean {
    if (held) return false;
    if (waiting.length === 0) return batches === 0 && suspects.length > 0;
    return batches < concurrent && waiting.length >= (batches === 0 ? 1 : batchItems);
  }

  function pump(): void {
    while (mayStart()) {
      void runBatch(takeBatch()).then((failure) => {
        if (failure !== undefined) {
          void patience(failure);
          return;
        }
        most = Math.min(most * 2, batchItems);
        pump();
      });
    }
  }

  function takeBatch(): Entry<T>[] {
    if (waiting.length === 0) return suspects.splice(0, 1);
    let bytes = 0;
    let count = 0;
    for (const { item } of waiting) {
      bytes += bytesOf(item);
      if (count > 0 && (count >= most || bytes > batchBytes)) break;
      count += 1;
    }
    return waiting.splice(0, count);
  }

  /** The one that was not tried for the longest: each has its turn, and one of them may be a witness. */
  function takeOne(): Entry<T>[] {
    if (waiting.length === 0) return suspects.splice(0, 1);
    const next = waiting.reduce((longest, entry) => (entry.tried < longest.tried ? entry : longest));
    return waiting.splice(waiting.indexOf(next), 1);
  }

  /** @returns why a part of it has to wait. */
  async function runBatch(batch: readonly Entry<T>[]): Promise<Failure | undefined> {
    const startedIn = epoch;
    const doneBefore = done;
    batches += 1;
    underWay += batch.length;
    tries += 1;
    for (const entry of batch) entry.tried = tries;
    const fates = await fatesOf(batch);
    const handled = fates.filter((fate) => fate === "done").length;
    done += handled;
    // What a whole batch is held for may be the fault of one in it.
    const isTold = batch.length === 1 || handled > 0;
    const settled = await Promise.all(
      batch.map(async (entry, index) => {
        const fate = fates[index] ?? { hold: new Failure("internal", "no fate for a message") };
        if (typeof fate === "string") return fate;
        if ("unsure" in fate) return judge(entry, fate.unsure, doneBefore);
        return isTold && standsInTheWay(entry) ? options.onOwnFault(entry.item, fate.hold) : fate;
      }),
    );
    batches -= 1;
    if (startedIn !== epoch) return undefined;
    underWay -= batch.length;
    let failure: Failure | undefined;
    const back: Entry<T>[] = [];
    for (const [index, entry] of batch.entries()) {
      const fate = settled[index];
      if (typeof fate === "string") {
        options.onFate(entry.item, fate);
      } else if (fate !== undefined) {
        failure ??= "hold" in fate ? fate.hold : fate.unsure;
        back.push(entry);
      }
    }
    giveIn(back);
    return failure;
  }

  function giveIn(entries: readonly Entry<T>[]): void {
    if (entries.length === 0) return;
    const inLine = (a: Entry<T>, b: Entry<T>): number => a.number - b.number;
    waiting = [...entries.filter(({ suspect }) => !suspect), ...waiting].sort(inLine);
    suspects = [...entries.filter(({ suspect }) => suspect), ...suspects].sort(inLine);
  }

  /** Whose fault it is: the item's own, if the neighbour could handle another one since this one failed first. */
  async function judge(entry: Entry<T>, failure: Failure, doneBefore: number): Promise<Fate> {
    entry.doubt ??= { doneThen: doneBefore, tries: 0 };
    entry.doubt.tries += 1;
    const isLone = waiting.length + suspects.length + underWay <= LONE_ITEMS && entry.doubt.tries >= LONE_TRIES;
    const isOwn = done > entry.doubt.doneThen || (isLone && (await options.probe()).ok);
    return isOwn ? options.onOwnFault(entry.item, failure) : { unsure: failure };
  }

  /** Whether it is held for ever while others are not. While the neighbour is away nothing is handled, and nothing counts. */
  function standsInTheWay(entry: Entry<T>): boolean {
    entry.holds ??= { doneThen: done, besides: 0 };
    if (done > entry.holds.doneThen) entry.holds.besides += 1;
    entry.holds.doneThen = done;
    return entry.holds.besides >= HOLDS_BESIDES_OTHERS;
  }

  async function fatesOf(batch: readonly Entry<T>[]): Promise<readonly Fate[]> {
    try {
      const alone = batch.some(({ suspect }) => suspect);
      return await options.work(
        batch.map(({ item }) => item),
        alone,
      );
    } catch (error) {
      const unsure = failureOf(error);
      return batch.map(() => ({ unsure }));
    }
  }

  /** Holds the work until one message could be worked on, or the neighbour says that it is back. */
  async function patience(reason: Failure | undefined): Promise<void> {
    if (held && reason !== undefined) return;
    held = true;
    waking = new AbortController();
    if (reason !== undefined) {
      most = 1;
      options.onHeld(reason);
    }
    let since = performance.now();
    try {
      for (let attempt = 0; ; attempt += 1) {
        if (attempt > 0 || reason !== undefined) {
          await pause(backoff(attempt), AbortSignal.any([stopping.signal, waking.signal]));
          if (waking.signal.aborted) {
            waking = new AbortController();
            attempt = 0;
          }
        }
        stopping.signal.throwIfAborted();
        const startedIn = epoch;
        const failure = isIdle() ? await probeFailure() : await runBatch(takeOne());
        if (failure === undefined && startedIn === epoch) break;
        if (!isIdle() && performance.now() - since > options.giveBackMs) {
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

  function isIdle(): boolean {
    return waiting.length + suspects.length === 0;
  }

  async function probeFailure(): Promise<Failure | undefined> {
    const result = await options.probe();
    return result.ok ? undefined : result.error;
  }

  return {
    get inHand() {
      return waiting.length + suspects.length + underWay;
    },
    get held() {
      return held;
    },
    push(item, suspect = false) {
      counter += 1;
      (suspect ? suspects : waiting).push({ number: counter, item, suspect, tried: 0 });
      if (!held) schedule();
    },
    wake() {
      if (held) waking.abort();
    },
    clear() {
      epoch += 1;
      waiting = [];
      suspects = [];
      underWay = 0;
    },
    async drain(ms) {
      const endsAt = performance.now() + ms;
      const isDrained = (): boolean => (isIdle() && underWay === 0) || held || performance.now() >= endsAt;
      while (!isDrained()) await sleep(DRAIN_POLL_MS);
    },
    [Symbol.dispose]() {
      stopping.abort(new Error("stopped"));
      held = true;
    },
  };
}
