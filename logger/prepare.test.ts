import { expect, test } from "bun:test";
import { makeLog } from "#shared/log";
import { MongoServerError } from "mongodb";
import type { Logs } from "./mongo.ts";
import { isPrepared, prepareQueries } from "./prepare.ts";

/** A server with the indexes that storing needs, which makes no other one for the collection. */
function full(made: string[]): Logs {
  const createIndexes = async ([{ name }]: [{ name: string }]) => {
    made.push(name);
    throw new MongoServerError({ code: 67, errmsg: "too many indexes" });
  };
  const names = ["_id_", "event_id_1", "producer_id_1_sequence_block_1_sequence_1", "stored_slot_1"];
  const listIndexes = () => ({ toArray: async () => names.map((name) => ({ name })) });
  return { createIndexes, listIndexes } as unknown as Logs;
}

test("a server that makes no index for queries is ready for storing, and it is told that asking may be slow", async () => {
  const made: string[] = [];
  const lines: string[] = [];
  const stopping = new AbortController();
  const logs = full(made);
  expect(await isPrepared(logs, false)).toBe(true);
  const log = makeLog({
    service: "test",
    write: (line: string) => {
      lines.push(line);
      stopping.abort();
    },
  });
  await prepareQueries(logs, { isFerretdb: false, log, signal: stopping.signal });
  expect(made).toEqual(["created_at_-1__id_-1"]);
  expect(lines.join()).toContain("indexes for queries could not be made");
});
