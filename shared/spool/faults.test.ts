/** The spool on disks that fill up, fail, hang and lose what was not synced, and in processes that die. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  array,
  assert,
  asyncProperty,
  constantFrom,
  double,
  infiniteStream,
  integer,
  oneof,
  record,
  type Stream,
} from "fast-check";
import { silentLog } from "#shared/log";
import { openSpool, type Spool, type SpoolOptions, type SpoolRecord } from "#shared/spool";
import { makeMetrics } from "#shared/telemetry";
import { Disk, type Fault, type Operation } from "./disk.fixture.ts";
import { drained, eventually, makeReceiver, range, recordOf } from "./scene.fixture.ts";

let lockDir: string;
beforeAll(async () => {
  lockDir = await mkdtemp(join(tmpdir(), "spool-lock-"));
});
afterAll(() => rm(lockDir, { recursive: true }));

function open(disk: Disk, options: Partial<SpoolOptions> = {}): Promise<Spool> {
  return openSpool({ dir: "/logs", log: silentLog, metrics: makeMetrics("test", "0"), files: disk.files, ...options });
}

/** What is delivered after the power was cut with everything lost that was not synced. */
async function afterPowerCut(disk: Disk): Promise<string[]> {
  disk.cutPower(() => 0.99);
  await using spool = await open(disk);
  return (await drained(spool)).map(({ id }) => id);
}

/** A fault for the first operation of a kind on segments. */
function once(operation: Operation, fault: Fault): Disk["fault"] {
  let done = false;
  return (it, name) => {
    if (done || it !== operation || !name.endsWith(".seg")) return undefined;
    done = true;
    return fault;
  };
}

const UNAVAILABLE = { ok: false, error: { code: "unavailable", retryAfterS: expect.any(Number) } };

test.each(["ENOSPC", "EIO"] as const)(
  "%s while writing: unavailable, nothing of the group is kept, the next append is well",
  async (fault) => {
    const disk = new Disk(lockDir);
    {
      await using spool = await open(disk);
      expect(await spool.append(recordOf(1))).toMatchObject({ ok: true });
      disk.fault = once("write", fault);
      expect(await spool.append(recordOf(2))).toMatchObject(UNAVAILABLE);
      expect(await spool.append(recordOf(3))).toMatchObject({ ok: true });
      expect(spool.records).toBe(2);
    }
    expect(await afterPowerCut(disk)).toEqual(["id-1", "id-3"]);
  },
);

test("a disk that is full half-way through a record: the part is taken back, and nothing false is read", async () => {
  const disk = new Disk(lockDir);
  let writes = 0;
  {
    await using spool = await open(disk);
    await spool.append(recordOf(1));
    disk.fault = (operation, name) => {
      if (operation !== "write" || !name.endsWith(".seg")) return undefined;
      writes += 1;
      return writes === 1 ? "short" : "ENOSPC";
    };
    expect(await spool.append(recordOf(2))).toMatchObject(UNAVAILABLE);
    expect(await spool.append(recordOf(3))).toMatchObject(UNAVAILABLE);
  }
  disk.fault = () => undefined;
  await using spool = await open(disk);
  expect((await drained(spool)).map(({ id }) => id)).toEqual(["id-1"]);
});

test("a write that takes less than it was given is finished", async () => {
  const disk = new Disk(lockDir);
  disk.fault = (operation) => (operation === "write" && Math.random() < 0.7 ? "short" : undefined);
  {
    await using spool = await open(disk);
    for (const n of range(0, 20)) expect(await spool.append(recordOf(n))).toMatchObject({ ok: true });
  }
  expect(await afterPowerCut(disk)).toEqual(range(0, 20).map((n) => `id-${n}`));
});

test("a failed fsync is never repeated on its file: the group is written again elsewhere, before the answer", async () => {
  const disk = new Disk(lockDir);
  const synced: string[] = [];
  {
    await using spool = await open(disk);
    await spool.append(recordOf(1));
    const fault = once("datasync", "EIO");
    disk.fault = (operation, name) => {
      if (operation === "datasync") synced.push(name);
      return fault(operation, name);
    };
    expect(await spool.append(recordOf(2))).toMatchObject({ ok: true });
    expect(await spool.append(recordOf(3))).toMatchObject({ ok: true });
    expect(spool.records).toBe(3);
  }
  expect(synced).toEqual(["00000001.seg", "00000002.seg", "00000002.seg"]);
  expect(await afterPowerCut(disk)).toEqual(["id-1", "id-2", "id-3"]);
});

test("what a failed fsync left behind and could not be cut off is not delivered twice", async () => {
  const disk = new Disk(lockDir);
  {
    await using spool = await open(disk);
    await spool.append(recordOf(1));
    const fault = once("datasync", "EIO");
    disk.fault = (operation, name) => (operation === "truncate" ? "EIO" : fault(operation, name));
    expect(await spool.append(recordOf(2))).toMatchObject({ ok: true });
  }
  disk.fault = () => undefined;
  using metrics = makeMetrics("test", "0");
  await using spool = await open(disk, { metrics });
  expect((await drained(spool)).map(({ id }) => id)).toEqual(["id-1", "id-2"]);
  expect(await metrics.text()).toMatch(/spool_corrupt_total\{[^}]*\} 0/);
});

test("what a refused group left behind does not take the place of the records that came after it", async () => {
  const disk = new Disk(lockDir);
  let syncs = 0;
  {
    await using spool = await open(disk);
    await spool.append(recordOf(1));
    disk.fault = (operation) => {
      if (operation === "truncate") return "EIO";
      if (operation !== "datasync") return undefined;
      syncs += 1;
      return syncs <= 2 ? "EIO" : undefined;
    };
    expect(await spool.append(recordOf(2))).toMatchObject(UNAVAILABLE);
    expect(await spool.append(recordOf(3))).toMatchObject({ ok: true });
  }
  disk.fault = () => undefined;
  await using spool = await open(disk);
  expect((await drained(spool)).map(({ id }) => id)).toEqual(["id-1", "id-3"]);
});

test("a disk whose every fsync fails: unavailable, never a false success", async () => {
  const disk = new Disk(lockDir);
  {
    await using spool = await open(disk);
    disk.fault = (operation) => (operation === "datasync" || operation === "sync" ? "EIO" : undefined);
    for (const n of range(0, 5)) expect(await spool.append(recordOf(n))).toMatchObject(UNAVAILABLE);
    disk.fault = () => undefined;
    expect(await spool.append(recordOf(9))).toMatchObject({ ok: true });
  }
  expect(await afterPowerCut(disk)).toEqual(["id-9"]);
});

test("a disk that hangs: callers are answered in time, later ones at once, and it is used again when it is back", async () => {
  const disk = new Disk(lockDir);
  const hang = Promise.withResolvers<void>();
  await using spool = await open(disk, { commitMs: 30 });
  disk.fault = once("datasync", hang.promise);
  const waiting = [spool.append(recordOf(1))];
  await eventually(() => (disk.counts.datasync ?? 0) > 0);
  waiting.push(spool.append(recordOf(2)));
  expect(await Promise.all(waiting)).toMatchObject([UNAVAILABLE, UNAVAILABLE]);
  expect(await spool.append(recordOf(3))).toMatchObject(UNAVAILABLE);
  hang.resolve();
  await eventually(async () => (await spool.append(recordOf(4))).ok);
  const ids = (await drained(spool)).map(({ id }) => id);
  expect(ids).toEqual(["id-1", "id-4"]); // of the first it was not known; the second was never written
});

test("disposing does not wait for ever on a disk that hangs", async () => {
  const disk = new Disk(lockDir);
  const hang = Promise.withResolvers<void>();
  const spool = await open(disk, { commitMs: 20 });
  disk.fault = once("datasync", hang.promise);
  const pending = spool.append(recordOf(1));
  await eventually(() => (disk.counts.datasync ?? 0) > 0);
  await spool[Symbol.asyncDispose]();
  expect(await pending).toMatchObject(UNAVAILABLE);
  hang.resolve();
});

test("what was delivered is not delivered again after a power cut", async () => {
  const disk = new Disk(lockDir);
  {
    await using spool = await open(disk);
    for (const n of range(0, 10)) await spool.append(recordOf(n));
    const receiver = makeReceiver(({ id }) => (id === "id-5" ? "later" : "delivered"));
    spool.forward(receiver.deliver);
    await receiver.until(5);
  }
  expect(await afterPowerCut(disk)).toEqual(range(5, 10).map((n) => `id-${n}`));
});

test("a disk too full for the cursor still has its delivered segments removed", async () => {
  const disk = new Disk(lockDir);
  await using spool = await open(disk, { segmentBytes: 500 });
  for (const n of range(0, 20)) await spool.append(recordOf(n));
  disk.fault = (operation, name) => (operation === "write" && name.startsWith("cursor") ? "ENOSPC" : undefined);
  await drained(spool);
  await eventually(() => spool.bytes === 0);
  expect([...disk.names.keys()].filter((name) => name.endsWith(".seg"))).toEqual([]);
});

/** One life of a process: some records, some failing operations, an end. */
const life = record({
  bursts: array(integer({ min: 1, max: 6 }), { maxLength: 6 }),
  deliver: integer({ min: 0, max: 12 }),
  faults: array(
    record({
      at: integer({ min: 1, max: 60 }),
      fault: constantFrom("ENOSPC" as const, "EIO" as const, "short" as const, "crash" as const),
    }),
    { maxLength: 3 },
  ),
  end: oneof(constantFrom("close" as const, "kill" as const, "power" as const)),
});

interface History {
  readonly appended: Map<string, SpoolRecord>;
  readonly acknowledged: Set<string>;
  readonly delivered: SpoolRecord[];
}

async function live(
  disk: Disk,
  history: History,
  {
    bursts,
    deliver,
    faults,
    end,
  }: {
    bursts: readonly number[];
    deliver: number;
    faults: readonly { at: number; fault: Fault }[];
    end: "close" | "kill" | "power";
  },
  chance: Stream<number>,
): Promise<void> {
  let operations = 0;
  disk.fault = () => {
    operations += 1;
    return faults.find(({ at }) => at === operations)?.fault;
  };
  // Opening may meet a fault: as when a service fails to start, the next start tries again.
  const spool = await open(disk, { segmentBytes: 600 }).catch(() => undefined);
  if (spool !== undefined) {
    let taken = 0;
    spool.forward(
      (batch) => {
        const outcomes = batch.map(() => ((taken += 1) <= deliver ? "delivered" : "later"));
        history.delivered.push(...batch.filter((_, at) => outcomes[at] === "delivered"));
        return Promise.resolve(outcomes);
      },
      { batchRecords: 5, backoff: () => 1 },
    );
    for (const burst of bursts) {
      await Promise.all(
        range(0, burst).map(async () => {
          const one = recordOf(history.appended.size);
          history.appended.set(one.id, one);
          if ((await spool.append(one)).ok) history.acknowledged.add(one.id);
        }),
      );
    }
  }
  const ended = spool?.[Symbol.asyncDispose]();
  if (end === "close") await ended;
  if (end === "power") disk.cutPower(() => chance.next().value);
  else disk.kill();
  await ended;
}

test("whatever fails and whenever the power goes: all that was acknowledged is delivered, in order, and nothing else", async () => {
  await assert(
    asyncProperty(
      array(life, { minLength: 1, maxLength: 4 }),
      infiniteStream(double({ min: 0, max: 1, maxExcluded: true, noNaN: true })),
      async (lives, chance) => {
        const disk = new Disk(lockDir);
        const history: History = { appended: new Map(), acknowledged: new Set(), delivered: [] };
        for (const one of lives) await live(disk, history, one, chance);
        disk.kill();
        await using spool = await open(disk);
        const rest = await drained(spool);
        const all = [...history.delivered, ...rest];
        for (const one of all) expect(one).toEqual(history.appended.get(one.id) as SpoolRecord);
        const ids = new Set(all.map(({ id }) => id));
        expect([...history.acknowledged].filter((id) => !ids.has(id))).toEqual([]);
        const numbers = rest.map(({ id }) => Number(id.slice(3)));
        expect(numbers).toEqual([...new Set(numbers)].toSorted((a, b) => a - b));
      },
    ),
    { numRuns: 200 },
  );
}, 60_000);
