/**
 * A process that appends and forwards until it kills itself with SIGKILL at its n-th file operation, half of a write
 * done. It prints `+id` for each append that succeeded and `-id` for each record it was given to deliver.
 * Arguments: directory, n (0: never; the test kills it), id of the first record.
 */
import { writeSync } from "node:fs";
import { silentLog } from "#shared/log";
import { makeMetrics } from "#shared/telemetry";
import { realFiles, type SpoolFile, type SpoolFiles } from "./files.ts";
import { openSpool } from "./index.ts";
import { range, recordOf } from "./scene.fixture.ts";

const [dir = "", killAt = "0", from = "0"] = process.argv.slice(2);
let operations = 0;

/** Synchronous: what was printed has left the process. */
function say(line: string): void {
  writeSync(1, `${line}\n`);
}

function due(): boolean {
  operations += 1;
  return operations === Number(killAt);
}

function die(): never {
  process.kill(process.pid, "SIGKILL");
  throw new Error("dead");
}

function deadly(file: SpoolFile): SpoolFile {
  return {
    fd: file.fd,
    write: async (bytes, offset, length, position) => {
      if (!due()) return file.write(bytes, offset, length, position);
      await file.write(bytes, offset, Math.ceil(length / 2), position);
      return die();
    },
    read: (bytes, offset, length, position) => file.read(bytes, offset, length, position),
    datasync: () => (due() ? die() : file.datasync()),
    sync: () => (due() ? die() : file.sync()),
    truncate: (bytes) => (due() ? die() : file.truncate(bytes)),
    stat: () => file.stat(),
    close: () => (due() ? die() : file.close()),
  };
}

const files: SpoolFiles = {
  ...realFiles,
  open: async (path, flags, mode) => deadly(await realFiles.open(path, flags, mode)),
  rename: (a, b) => (due() ? die() : realFiles.rename(a, b)),
  unlink: (path) => (due() ? die() : realFiles.unlink(path)),
};

const spool = await openSpool({ dir, segmentBytes: 4_000, log: silentLog, metrics: makeMetrics("crash", "0"), files });
spool.forward(
  (batch) => {
    for (const { id } of batch) say(`-${id}`);
    return Promise.resolve(batch.map(() => "delivered"));
  },
  { batchRecords: 10 },
);
for (let at = Number(from); ; at += 5) {
  await Promise.all(
    range(at, at + 5).map(async (n) => {
      if ((await spool.append(recordOf(n))).ok) say(`+id-${n}`);
    }),
  );
}
