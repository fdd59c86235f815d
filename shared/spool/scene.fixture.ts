/** What the spool's tests share: a directory that goes away, records, and a receiver that remembers. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeLog } from "#shared/log";
import { type Deliver, openSpool, type Outcome, type Spool, type SpoolOptions, type SpoolRecord } from "#shared/spool";
import { makeMetrics } from "#shared/telemetry";

export function recordOf(number: number, body: unknown = { text: `entry ${number}` }): SpoolRecord {
  return { id: `id-${number}`, kind: "log", at: new Date(1_700_000_000_000 + number).toISOString(), body };
}

export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, at) => from + at);
}

export async function makeScene() {
  const dir = await mkdtemp(join(tmpdir(), "spool-test-"));
  const metrics = makeMetrics("test", "0");
  const lines: string[] = [];
  const log = makeLog({ service: "test", level: "debug", write: (line) => lines.push(line) });
  return {
    dir,
    /** What was logged. */
    lines,
    open: (options: Partial<SpoolOptions> = {}) => openSpool({ dir: join(dir, "logs"), log, metrics, ...options }),
    /** The value of a metric of the spool `logs`. */
    metric: async (name: string): Promise<number> => {
      const text = await metrics.text();
      const line = text.split("\n").find((it) => it.startsWith(`${name}{`) && it.includes('spool="logs"'));
      return line === undefined ? Number.NaN : Number(line.slice(line.lastIndexOf(" ")));
    },
    [Symbol.asyncDispose]: async () => {
      metrics[Symbol.dispose]();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** A receiver that takes all, or what `decide` says; `until` ends when it has had so many. */
export function makeReceiver(decide: (record: SpoolRecord) => Outcome = () => "delivered") {
  const got: SpoolRecord[] = [];
  const waits: { count: number; resolve: () => void }[] = [];
  const deliver: Deliver = (batch) => {
    const outcomes = batch.map(decide);
    const end = outcomes.indexOf("later");
    got.push(...batch.filter((_, at) => (end === -1 || at < end) && outcomes[at] === "delivered"));
    for (const { count, resolve } of waits) if (got.length >= count) resolve();
    return Promise.resolve(outcomes);
  };
  return {
    got,
    deliver,
    ids: () => got.map(({ id }) => id),
    until: (count: number): Promise<void> => {
      const { promise, resolve } = Promise.withResolvers<void>();
      if (got.length >= count) resolve();
      else waits.push({ count, resolve });
      return promise;
    },
  };
}

/** Waits until something is so; fails loudly when it is not within 5 s. */
export async function eventually(what: () => boolean | Promise<boolean>): Promise<void> {
  const startedAt = performance.now();
  for (let tries = 0; performance.now() - startedAt < 5_000; tries += 1) {
    if (await what()) return;
    await (tries < 100 ? new Promise((resolve) => void setImmediate(resolve)) : Bun.sleep(2));
  }
  throw new Error(`not so within 5 s: ${what.toString()}`);
}

/** Delivers all that is in the spool. */
export async function drained(spool: Spool): Promise<SpoolRecord[]> {
  const receiver = makeReceiver();
  await using forwarding = spool.forward(receiver.deliver);
  forwarding.wake();
  await eventually(() => spool.records === 0);
  return receiver.got;
}
