/** Opens a spool: takes the directory, recovers it, and puts writer, reader and forwarder together. */
import { basename, dirname } from "node:path";
import { hashOf } from "./catalogue.ts";
import { DIRECTORY_MODE, realFiles, syncDirectory } from "./files.ts";
import { encodeRecord } from "./format.ts";
import { type Forwarder, startForwarder } from "./forwarder.ts";
import { type Instruments, makeInstruments, type SpoolState } from "./instruments.ts";
import { lockDirectory } from "./lock.ts";
import { makeQuarantine } from "./quarantine.ts";
import { makeReader } from "./reader.ts";
import { recover } from "./recover.ts";
import type { Spool, SpoolOptions } from "./types.ts";
import { makeWriter } from "./writer.ts";

const MIB = 1_048_576;

/**
 * Opens the spool in `dir` as it was left, whatever ended its last process.
 * @throws Failure `conflict` when a living process has it open or it is of a newer format; errors of the file system.
 */
export async function openSpool(options: SpoolOptions): Promise<Spool> {
  const { dir, limitBytes = 256 * MIB, segmentBytes = 8 * MIB, commitMs = 2_000, metrics, files = realFiles } = options;
  const name = basename(dir);
  const log = options.log.child({ spool: name });
  const created = await files.mkdir(dir, { recursive: true, mode: DIRECTORY_MODE });
  if (created !== undefined) await syncDirectory(files, dirname(dir));

  await using stack = new AsyncDisposableStack();
  stack.use(await lockDirectory(files, dir));
  const quarantine = makeQuarantine(files, dir, limitBytes, log);
  let corrupt = 0;
  const catalogue = await recover({ files, dir, log, quarantine, onCorrupt: () => (corrupt += 1) });
  const state: SpoolState = catalogue;
  const instruments: Instruments = stack.use(makeInstruments(metrics, name, state, limitBytes));
  for (; corrupt > 0; corrupt -= 1) instruments.corrupt();

  let forwarder: Forwarder | undefined;
  const reader = stack.use(
    makeReader(files, catalogue, async ({ path }) => {
      instruments.corrupt();
      log.error("a segment is damaged", { path });
      await quarantine.keepSegment(path);
    }),
  );
  const writer = stack.use(
    makeWriter({
      files,
      dir,
      catalogue,
      limitBytes,
      segmentBytes,
      commitMs,
      log,
      onFsync: (ms) => instruments.fsynced(ms),
      onCommit: () => forwarder?.appended(),
    }),
  );
  if (catalogue.records > 0)
    log.info("the spool holds records", { records: catalogue.records, bytes: catalogue.bytes });
  const resources = stack.move();
  let disposed: Promise<void> | undefined;

  async function dispose(): Promise<void> {
    await forwarder?.[Symbol.asyncDispose]();
    await resources.disposeAsync();
  }

  return {
    append: async (record) => {
      const encoded = encodeRecord(record);
      if (!encoded.ok) return encoded;
      return writer.append({ bytes: encoded.value, at: record.at, idHash: hashOf(record.id) });
    },
    forward: (deliver, forwardOptions) => {
      if (forwarder !== undefined) throw new Error(`the spool ${name} is being forwarded already`);
      const parts = { files, dir, catalogue, reader, writer, quarantine, instruments, log };
      const started = startForwarder(parts, deliver, forwardOptions);
      forwarder = started;
      return {
        wake: () => started.wake(),
        [Symbol.asyncDispose]: async () => {
          await started[Symbol.asyncDispose]();
          if (forwarder === started) forwarder = undefined;
        },
      };
    },
    acceptedAt: (id) => {
      const hash = hashOf(id);
      for (const { ids, times, first } of catalogue.segments) {
        const sequence = ids.get(hash) ?? 0;
        if (sequence > catalogue.delivered) return new Date(times[sequence - first] ?? Number.NaN);
      }
      return undefined;
    },
    get records() {
      return catalogue.records;
    },
    get bytes() {
      return catalogue.bytes;
    },
    get oldestAt() {
      return catalogue.oldestAt;
    },
    [Symbol.asyncDispose]: () => (disposed ??= dispose()),
  };
}
