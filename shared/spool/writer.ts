/**
 * Group commit. Records that arrive while a group is being written form the next group; each is answered when its
 * group's fdatasync has returned.
 *
 * After a failed write or fsync the file is never touched again: the kernel may have dropped the dirty pages and
 * would report success the next time (PostgreSQL's "fsyncgate", 2018). After a failed fsync the group is written once
 * more into a new segment, whose header makes void what the old one may hold of it.
 */
import { fail, ok, type Result } from "#shared/errors";
import type { Log } from "#shared/log";
import { type Catalogue, type Segment, segmentPath } from "./catalogue.ts";
import { FILE_MODE, type SpoolFile, type SpoolFiles, syncDirectory, writeAll } from "./files.ts";
import { newMark, RECORD_MAX_BYTES, SEGMENT_HEADER_BYTES, segmentHeader, stamp } from "./format.ts";

export interface WriterOptions {
  files: SpoolFiles;
  dir: string;
  catalogue: Catalogue;
  limitBytes: number;
  segmentBytes: number;
  commitMs: number;
  log: Log;
  onFsync: (ms: number) => void;
  /** A group is durable. */
  onCommit: () => void;
}

/** A record on its way to the disk, as `encodeRecord` made it. */
export interface Draft {
  readonly bytes: Buffer;
  readonly at: string;
  readonly idHash: number;
}

export interface Writer extends AsyncDisposable {
  append(draft: Draft): Promise<Result<void>>;
  /** Closes the segment if it is the one being written and nothing is under way; false where it is still in use. */
  release(segment: Segment): Promise<boolean>;
}

interface Waiting extends Draft {
  readonly settle: (result: Result<void>) => void;
}

interface Target {
  readonly segment: Segment;
  readonly file: SpoolFile;
}

/** What may wait in memory for the disk, and what is written at once. */
const QUEUE_MAX_BYTES = 4 * RECORD_MAX_BYTES;
const GROUP_MAX_BYTES = RECORD_MAX_BYTES;
const FULL_RETRY_S = 5;
const SICK_RETRY_S = 2;

export function makeWriter(options: WriterOptions): Writer {
  const { files, dir, catalogue, limitBytes, segmentBytes, commitMs, log, onFsync, onCommit } = options;
  let target: Target | undefined;
  let queue: Waiting[] = [];
  let pendingBytes = 0;
  let running: Promise<void> | undefined;
  let stalled = false;
  let closed = false;

  function refusal(size: number): Result<never> | undefined {
    if (closed) return fail("unavailable", "the spool is closed", { retryAfterS: SICK_RETRY_S });
    if (stalled) return fail("unavailable", "the spool's disk does not answer", { retryAfterS: SICK_RETRY_S });
    if (catalogue.bytes + pendingBytes + size > limitBytes) {
      return fail("unavailable", "the spool is full", { retryAfterS: FULL_RETRY_S });
    }
    if (pendingBytes + size > QUEUE_MAX_BYTES) {
      return fail("unavailable", "too much is waiting for the spool's disk", { retryAfterS: SICK_RETRY_S });
    }
    return undefined;
  }

  function append(draft: Draft): Promise<Result<void>> {
    const refused = refusal(draft.bytes.length);
    if (refused !== undefined) return Promise.resolve(refused);
    const { promise, resolve } = Promise.withResolvers<Result<void>>();
    queue.push({ ...draft, settle: resolve });
    pendingBytes += draft.bytes.length;
    running ??= run();
    return promise;
  }

  function takeGroup(): Waiting[] {
    const group: Waiting[] = [];
    let size = 0;
    for (const waiting of queue) {
      size += waiting.bytes.length;
      if (size > GROUP_MAX_BYTES && group.length > 0) break;
      group.push(waiting);
    }
    queue = queue.slice(group.length);
    return group;
  }

  async function run(): Promise<void> {
    await Promise.resolve(); // what is appended in one go is one group
    while (queue.length > 0) {
      const group = takeGroup();
      const watch = setTimeout(() => stall(group), commitMs);
      const result = await commit(group);
      clearTimeout(watch);
      stalled = false;
      for (const { bytes, settle } of group) {
        pendingBytes -= bytes.length;
        settle(result);
      }
      if (result.ok) onCommit();
    }
    running = undefined;
  }

  /** The disk hangs: nobody is left waiting. What is durable in the end is delivered, as after any unknown outcome. */
  function stall(group: readonly Waiting[]): void {
    stalled = true;
    log.error("the spool's disk does not answer", { dir, ms: commitMs });
    const result = fail("unavailable", "the spool's disk does not answer", { retryAfterS: SICK_RETRY_S });
    for (const { settle } of group) settle(result);
    for (const { bytes, settle } of queue) {
      pendingBytes -= bytes.length;
      settle(result);
    }
    queue = [];
  }

  async function commit(group: readonly Waiting[]): Promise<Result<void>> {
    for (let again = true; ; again = false) {
      let written = false;
      try {
        await write(group, () => {
          written = true;
        });
        return ok();
      } catch (error) {
        log.error("the spool cannot write", { dir, after_write: written, error });
        await setAside();
        if (!written || !again) {
          return fail("unavailable", "the spool cannot write", { cause: error, retryAfterS: SICK_RETRY_S });
        }
      }
    }
  }

  async function write(group: readonly Waiting[], onWritten: () => void): Promise<void> {
    const size = group.reduce((sum, { bytes }) => sum + bytes.length, 0);
    if (target !== undefined && target.segment.bytes + size > segmentBytes) await closeTarget();
    target ??= await create();
    const { segment, file } = target;
    const fresh = segment.bytes === 0;
    const { next } = catalogue;
    for (const [at, { bytes }] of group.entries()) stamp(bytes, segment.mark, next + at);
    const header = fresh ? [segmentHeader(segment.first, segment.mark)] : [];
    await writeAll(file, Buffer.concat([...header, ...group.map(({ bytes }) => bytes)]), segment.bytes);
    onWritten();
    const startedAt = performance.now();
    await file.datasync();
    onFsync(performance.now() - startedAt);
    if (fresh) await syncDirectory(files, dir);

    // Durable from here on; no await until the catalogue says so.
    if (fresh) catalogue.segments.push(segment);
    segment.bytes += size + (fresh ? SEGMENT_HEADER_BYTES : 0);
    for (const [index, { idHash, at }] of group.entries()) {
      segment.ids.set(idHash, next + index);
      segment.times[next + index - segment.first] = Date.parse(at);
    }
    segment.last = next + group.length - 1;
    catalogue.next = segment.last + 1;
    catalogue.records += group.length;
    if (catalogue.oldestAt === undefined && group[0] !== undefined) catalogue.oldestAt = new Date(group[0].at);
  }

  async function create(): Promise<Target> {
    const number = catalogue.nextNumber;
    catalogue.nextNumber += 1;
    const path = segmentPath(dir, number);
    const file = await files.open(path, "wx", FILE_MODE);
    const first = catalogue.next;
    const segment: Segment = {
      number,
      path,
      mark: newMark(),
      first,
      last: first - 1,
      bytes: 0,
      damaged: false,
      ids: new Map(),
      times: [],
    };
    return { segment, file };
  }

  async function closeTarget(): Promise<void> {
    const closing = target;
    target = undefined;
    // What it holds is durable already.
    await closing?.file.close().catch((error: unknown) => log.warn("a segment did not close", { error }));
  }

  /** Leaves the segment as far as it is durable; what cannot be cut off is void once the next segment exists. */
  async function setAside(): Promise<void> {
    const failed = target;
    if (failed === undefined) return;
    const { segment, file } = failed;
    try {
      if (segment.bytes === 0) await files.unlink(segment.path);
      else await file.truncate(segment.bytes);
    } catch (error) {
      log.warn("an unfinished write could not be taken back", { path: segment.path, error });
    }
    await closeTarget();
  }

  async function release(segment: Segment): Promise<boolean> {
    if (target?.segment !== segment) return true;
    if (running !== undefined) return false;
    await closeTarget();
    return true;
  }

  async function dispose(): Promise<void> {
    closed = true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(false), 2 * commitMs);
    const done = await Promise.race([promise, running?.then(() => true) ?? true]);
    clearTimeout(timer);
    // While a write hangs its file must stay open: another could be given the same descriptor.
    if (done) await closeTarget();
  }

  return { append, release, [Symbol.asyncDispose]: dispose };
}
