/**
 * Hands records on, oldest first, one batch at a time, and remembers how far it came.
 *
 * It is idle while there is nothing to deliver (an append rouses it), delivering, or pausing after `later`. Appends do
 * not shorten a pause: what is away would be tried once an append. `wake` does.
 */
import type { Log } from "#shared/log";
import { Deadline, exponential } from "#shared/resilience";
import type { Catalogue } from "./catalogue.ts";
import { saveCursor } from "./cursor.ts";
import { isUnreadable, READ_TRIES, type SpoolFiles } from "./files.ts";
import type { Instruments } from "./instruments.ts";
import type { Quarantine } from "./quarantine.ts";
import type { Batch, Reader } from "./reader.ts";
import type { Deliver, Forwarding, ForwardOptions, Outcome } from "./types.ts";
import type { Writer } from "./writer.ts";

export interface ForwarderParts {
  files: SpoolFiles;
  dir: string;
  catalogue: Catalogue;
  reader: Reader;
  writer: Writer;
  quarantine: Quarantine;
  instruments: Instruments;
  log: Log;
}

export interface Forwarder extends Forwarding {
  /** There is something new to deliver. */
  appended(): void;
}

const STOP_MS = 2_000;

export function startForwarder(parts: ForwarderParts, deliver: Deliver, options: ForwardOptions = {}): Forwarder {
  const { files, dir, catalogue, reader, writer, quarantine, instruments, log } = parts;
  const { batchRecords = 200, deliverMs = 30_000, backoff = exponential({ firstMs: 100, maxMs: 2_000 }) } = options;
  /** No new delivery from `ending` on; the one in hand is aborted by `abort`. */
  const ending = new AbortController();
  const abort = new AbortController();
  let idle = false;
  let woken = false;
  let rouse: (() => void) | undefined;

  /** Ends after `ms`, by `wake`, or when stopping. */
  async function pause(ms?: number): Promise<void> {
    if (!woken && !ending.signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = ms === undefined ? undefined : setTimeout(resolve, ms);
      rouse = resolve;
      await promise;
      rouse = undefined;
      clearTimeout(timer);
    }
    woken = false;
  }

  function wake(): void {
    woken = true;
    rouse?.();
  }

  async function run(): Promise<void> {
    let fruitless = 0;
    let unread = 0;
    while (!ending.signal.aborted) {
      let batch: Batch | undefined;
      try {
        batch = await reader.next(batchRecords);
        unread = 0;
      } catch (error) {
        unread += 1;
        log.error("the spool cannot be read", { dir, tries: unread, error });
        if (unread >= READ_TRIES && isUnreadable(error)) await giveUpSegment();
        else await pause(backoff(unread - 1));
        continue;
      }
      if (batch === undefined) {
        await removeDelivered(); // what could not be removed while it was being written
        if (nothingLeft()) await waitForAppend();
        continue;
      }
      catalogue.oldestAt = batch.records[0] === undefined ? catalogue.oldestAt : new Date(batch.records[0].at);
      const passed = batch.records.length === 0 ? 0 : await handOn(batch);
      if (passed > 0 || batch.records.length === 0) await advance(batch, passed);
      if (passed < batch.records.length) {
        fruitless = passed > 0 ? 1 : fruitless + 1;
        await pause(backoff(fruitless - 1));
      } else fruitless = 0;
    }
  }

  function nothingLeft(): boolean {
    return catalogue.segments.every(({ last }) => last <= catalogue.delivered);
  }

  async function waitForAppend(): Promise<void> {
    catalogue.records = 0;
    catalogue.oldestAt = undefined;
    idle = true;
    await pause();
    idle = false;
  }

  /** @returns how many records, from the first on, are delivered or refused. */
  async function handOn({ records }: Batch): Promise<number> {
    const deadline = Deadline.after(deliverMs, abort.signal);
    let outcomes: readonly Outcome[];
    try {
      outcomes = await deadline.bound(deliver(records, deadline.signal), "delivery from the spool");
      if (outcomes.length !== records.length) throw new Error("a delivery must have one outcome a record");
    } catch (error) {
      if (!ending.signal.aborted) log.warn("a delivery from the spool failed", { dir, records: records.length, error });
      return 0;
    }
    let delivered = 0;
    let passed = 0;
    for (const [at, record] of records.entries()) {
      const outcome = outcomes[at];
      if (outcome === "later" || outcome === undefined) break;
      if (outcome === "delivered") delivered += 1;
      else {
        if (!(await quarantine.keepRecord(record, outcome.refused))) break;
        log.error("a record was refused for good", { id: record.id, kind: record.kind, reason: outcome.refused });
        instruments.refused();
      }
      passed += 1;
    }
    instruments.replayed(delivered);
    return passed;
  }

  async function advance(batch: Batch, passed: number): Promise<void> {
    const whole = passed === batch.records.length;
    catalogue.delivered = whole ? batch.upTo : (batch.sequences[passed - 1] ?? catalogue.delivered);
    catalogue.records = nothingLeft() ? 0 : catalogue.records - passed;
    const oldest = batch.records[passed];
    if (oldest !== undefined) catalogue.oldestAt = new Date(oldest.at);
    else if (nothingLeft()) catalogue.oldestAt = undefined;
    try {
      await saveCursor(files, dir, catalogue.delivered);
    } catch (error) {
      // Delivered is delivered: removing segments may be what gives the cursor its room. A restart repeats at worst.
      log.warn("the spool's cursor could not be written", { dir, error });
    }
    await removeDelivered();
  }

  async function removeDelivered(): Promise<void> {
    for (const segment of catalogue.segments.filter(({ last }) => last <= catalogue.delivered)) {
      if (!(await writer.release(segment))) continue;
      try {
        await reader.forget(segment);
        await files.unlink(segment.path);
      } catch (error) {
        log.warn("a delivered segment could not be removed; the next start does it", { path: segment.path, error });
      }
      catalogue.segments.splice(catalogue.segments.indexOf(segment), 1);
    }
  }

  async function giveUpSegment(): Promise<void> {
    const segment = catalogue.segments.find(({ last }) => last > catalogue.delivered);
    if (segment === undefined) return;
    instruments.corrupt();
    log.error("a segment cannot be read", { path: segment.path });
    if (await quarantine.keepSegment(segment.path)) {
      await advance({ records: [], sequences: [], upTo: segment.last }, 0);
    } else await pause(backoff(READ_TRIES));
  }

  const running = run();
  let stopped: Promise<void> | undefined;

  async function stop(): Promise<void> {
    ending.abort();
    rouse?.();
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timers = [setTimeout(() => abort.abort(), STOP_MS), setTimeout(resolve, 2 * STOP_MS)];
    await Promise.race([running, late]); // late: the disk hangs
    for (const timer of timers) clearTimeout(timer);
  }

  return {
    wake,
    appended: () => {
      if (idle) rouse?.();
    },
    [Symbol.asyncDispose]: () => (stopped ??= stop()),
  };
}
