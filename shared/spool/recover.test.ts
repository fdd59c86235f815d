/** What a spool makes of files that were cut, flipped, mixed up or removed: no false record, no silent loss. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { assert, asyncProperty, constantFrom, nat, uint8Array } from "fast-check";
import { silentLog } from "#shared/log";
import { openSpool, type SpoolRecord } from "#shared/spool";
import { makeMetrics } from "#shared/telemetry";
import { Disk } from "./disk.fixture.ts";
import { RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES } from "./format.ts";
import { drained, makeReceiver, makeScene, range, recordOf } from "./scene.fixture.ts";

const FIRST = "00000001.seg";
const SECOND = "00000002.seg";
const THIRD = "00000003.seg";

/** Three segments of four, five and four records, none delivered. */
let threeSegments: Disk;
/** Where each record of the last of them ends. */
const thirdEnds: number[] = [];
let lockDir: string;

beforeAll(async () => {
  lockDir = await mkdtemp(join(tmpdir(), "spool-lock-"));
  threeSegments = new Disk(lockDir);
  for (const [from, to] of [
    [0, 4],
    [4, 9],
    [9, 13],
  ] as const) {
    using metrics = makeMetrics("test", "0");
    await using spool = await openSpool({ dir: "/logs", log: silentLog, metrics, files: threeSegments.files });
    for (const n of range(from, to)) {
      expect(await spool.append(recordOf(n))).toMatchObject({ ok: true });
      if (from === 9) thirdEnds.push(threeSegments.bytes(THIRD).length);
    }
  }
});

afterAll(() => rm(lockDir, { recursive: true }));

/** What a spool on this disk delivers, and how many segments it reports as damaged. */
async function readBack(disk: Disk): Promise<{ got: SpoolRecord[]; corrupt: number }> {
  using metrics = makeMetrics("test", "0");
  await using spool = await openSpool({ dir: "/logs", log: silentLog, metrics, files: disk.files });
  const got = await drained(spool);
  const corrupt = Number(/spool_corrupt_total\{[^}]*\} (\d+)/.exec(await metrics.text())?.[1]);
  return { got, corrupt };
}

/** Every record is one that was appended, whole, and they are in order. */
function expectNoFalseRecord(got: readonly SpoolRecord[]): number[] {
  const numbers = got.map(({ id }) => Number(id.slice(3)));
  expect(got).toEqual(numbers.map((n) => recordOf(n)));
  expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
  expect(new Set(numbers).size).toBe(numbers.length);
  return numbers;
}

function flipped(bytes: Buffer, at: number, bit: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ (1 << bit);
  return copy;
}

test("the last segment cut at any byte: all whole records come back, the torn one goes without an alarm", async () => {
  const whole = threeSegments.bytes(THIRD);
  for (const length of range(0, whole.length)) {
    const disk = threeSegments.copy();
    disk.put(THIRD, whole.subarray(0, length));
    const { got, corrupt } = await readBack(disk);
    const left = thirdEnds.filter((end) => end <= length).length;
    expect(expectNoFalseRecord(got)).toEqual(range(0, 9 + left));
    expect({ length, corrupt }).toEqual({ length, corrupt: 0 });
  }
}, 20_000);

test("a cut tail is removed, and what is appended afterwards is kept", async () => {
  const disk = threeSegments.copy();
  disk.put(THIRD, disk.bytes(THIRD).subarray(0, -3));
  using metrics = makeMetrics("test", "0");
  {
    await using spool = await openSpool({ dir: "/logs", log: silentLog, metrics, files: disk.files });
    await spool.append(recordOf(100));
  }
  const { got, corrupt } = await readBack(disk);
  expect(expectNoFalseRecord(got)).toEqual([...range(0, 12), 100]);
  expect(corrupt).toBe(0);
});

test.each([FIRST, SECOND, THIRD])(
  "a flipped bit in any byte of %s is seen, costs one record at most, and the segment is kept",
  async (name) => {
    const whole = threeSegments.bytes(name);
    const all = range(0, 13);
    for (const at of range(0, whole.length)) {
      const disk = threeSegments.copy();
      const bad = flipped(whole, at, at % 8);
      disk.put(name, bad);
      const { got, corrupt } = await readBack(disk);
      const numbers = expectNoFalseRecord(got);
      expect({ at, corrupt }).toEqual({ at, corrupt: 1 });
      expect(disk.bytes(`${name}.bad`).equals(bad)).toBe(true);
      expect(numbers.length).toBeGreaterThanOrEqual(at < SEGMENT_HEADER_BYTES ? 13 : 12);
      expect(numbers.every((n) => all.includes(n))).toBe(true);
    }
  },
  20_000,
);

test("any bytes in the place of any others: no false record, no crash, the other segments are whole", async () => {
  await assert(
    asyncProperty(
      constantFrom(FIRST, SECOND, THIRD),
      nat(),
      uint8Array({ minLength: 1, maxLength: 200 }),
      nat(200),
      async (name, seed, inserted, removed) => {
        const disk = threeSegments.copy();
        const whole = disk.bytes(name);
        const at = seed % whole.length;
        disk.put(name, Buffer.concat([whole.subarray(0, at), inserted, whole.subarray(at + removed)]));
        const { got } = await readBack(disk);
        const numbers = expectNoFalseRecord(got);
        const own = { [FIRST]: [0, 4], [SECOND]: [4, 9], [THIRD]: [9, 13] }[name] ?? [];
        const others = range(0, 13).filter((n) => n < (own[0] ?? 0) || n >= (own[1] ?? 0));
        expect(numbers).toEqual(expect.arrayContaining(others));
      },
    ),
    { numRuns: 300 },
  );
}, 20_000);

test("a record forged inside a body is not found, even behind damage", async () => {
  const other = new Disk(lockDir);
  const disk = new Disk(lockDir);
  using metrics = makeMetrics("test", "0");
  {
    await using spool = await openSpool({ dir: "/logs", log: silentLog, metrics, files: other.files });
    await spool.append(recordOf(1));
  }
  const forged = new Uint8Array(other.bytes(FIRST).subarray(SEGMENT_HEADER_BYTES)); // right but for the mark
  {
    await using spool = await openSpool({ dir: "/logs", log: silentLog, metrics, files: disk.files });
    await spool.append(recordOf(2, forged));
    await spool.append(recordOf(3));
  }
  disk.put(FIRST, flipped(disk.bytes(FIRST), SEGMENT_HEADER_BYTES + 17, 0)); // the length of the first record
  const { got, corrupt } = await readBack(disk);
  expect({ got, corrupt }).toEqual({ got: [recordOf(3)], corrupt: 1 });
});

test("a segment in the middle that is gone is reported, the others are delivered", async () => {
  const disk = threeSegments.copy();
  disk.remove(SECOND);
  const { got, corrupt } = await readBack(disk);
  expect(expectNoFalseRecord(got)).toEqual([...range(0, 4), ...range(9, 13)]);
  expect(corrupt).toBe(1);
});

test("records cut off from a segment in the middle are reported as lost, at a record's border too", async () => {
  const whole = threeSegments.bytes(SECOND);
  const size = (whole.length - SEGMENT_HEADER_BYTES) / 5;
  for (const length of [whole.length - size, whole.length - 1, SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES]) {
    const disk = threeSegments.copy();
    disk.put(SECOND, whole.subarray(0, length));
    const { got, corrupt } = await readBack(disk);
    const left = Math.floor((length - SEGMENT_HEADER_BYTES) / size);
    expect(expectNoFalseRecord(got)).toEqual([...range(0, 4 + left), ...range(9, 13)]);
    expect(corrupt).toBe(1);
  }
});

test("a segment of zeros, or one that cannot be read, is reported and kept; a power cut's empty last one is not", async () => {
  const zeros = threeSegments.copy();
  zeros.put(FIRST, Buffer.alloc(500));
  expect(await readBack(zeros)).toMatchObject({ corrupt: 1, got: range(4, 13).map((n) => recordOf(n)) });
  expect(zeros.bytes(`${FIRST}.bad`)).toHaveLength(500);

  const unreadable = threeSegments.copy();
  unreadable.fault = (operation, name) => (operation === "read" && name === SECOND ? "EIO" : undefined);
  const { got, corrupt } = await readBack(unreadable);
  expect(expectNoFalseRecord(got)).toEqual([...range(0, 4), ...range(9, 13)]);
  expect(corrupt).toBeGreaterThanOrEqual(1);
  expect([...unreadable.names.keys()]).toContain(`${SECOND}.bad`);

  const cut = threeSegments.copy();
  cut.put("00000004.seg", Buffer.alloc(500));
  expect(await readBack(cut)).toMatchObject({ corrupt: 0, got: range(0, 13).map((n) => recordOf(n)) });
});

test("damage that appears while the spool is open is found before anything of it is delivered", async () => {
  const disk = threeSegments.copy();
  using metrics = makeMetrics("test", "0");
  await using spool = await openSpool({ dir: "/logs", log: silentLog, metrics, files: disk.files });
  const inode = disk.names.get(SECOND);
  if (inode === undefined) throw new Error("no second segment");
  inode.data = flipped(inode.data, SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES + 60, 3);
  const numbers = expectNoFalseRecord(await drained(spool));
  expect(numbers).toEqual(range(0, 13).filter((n) => n !== 4));
  expect(await metrics.text()).toMatch(/spool_corrupt_total\{[^}]*\} 1/);
  expect([...disk.names.keys()]).toContain(`${SECOND}.bad`);
});

test("a segment that becomes unreadable while the spool is open does not hold up those behind it", async () => {
  const disk = threeSegments.copy();
  using metrics = makeMetrics("test", "0");
  await using spool = await openSpool({ dir: "/logs", log: silentLog, metrics, files: disk.files });
  disk.fault = (operation, name) => (operation === "read" && name === FIRST ? "EIO" : undefined);
  const receiver = makeReceiver();
  await using _ = spool.forward(receiver.deliver, { backoff: () => 1 });
  await receiver.until(9);
  expect(expectNoFalseRecord(receiver.got)).toEqual(range(4, 13));
  expect([...disk.names.keys()]).toContain(`${FIRST}.bad`);
});

test("a damaged or lost cursor has all that is on disk delivered again, never less", async () => {
  await using scene = await makeScene();
  const path = join(scene.dir, "logs", "cursor");
  {
    await using spool = await scene.open();
    for (const n of range(0, 10)) await spool.append(recordOf(n));
    const receiver = makeReceiver(({ id }) => (id === "id-5" ? "later" : "delivered"));
    spool.forward(receiver.deliver);
    await receiver.until(5);
  }
  const text = await Bun.file(path).text();
  for (const at of range(0, text.length)) {
    await Bun.write(path, flipped(Buffer.from(text), at, at % 8));
    await using spool = await scene.open();
    expect(spool.records).toBe(10);
  }
  await unlink(path);
  await using spool = await scene.open();
  expect(await drained(spool)).toHaveLength(10);
});

test("a spool of another format is not touched: opening it fails and says so", async () => {
  const disk = threeSegments.copy();
  const bytes = Buffer.from(disk.bytes(FIRST));
  bytes.writeUInt8(2, 5);
  bytes.writeUInt32BE(Bun.hash.crc32(bytes.subarray(0, 28)), 28);
  disk.put(FIRST, bytes);
  using metrics = makeMetrics("test", "0");
  const opened = await openSpool({ dir: "/logs", log: silentLog, metrics, files: disk.files }).catch(
    (error: unknown) => error,
  );
  expect(opened).toMatchObject({ code: "conflict", message: expect.stringContaining("of format 2") });
  expect(disk.bytes(FIRST).equals(bytes)).toBe(true);
});
