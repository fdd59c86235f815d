import { expect, test } from "bun:test";
import { fail, ok, type Result } from "#shared/errors";
import { silentLog } from "#shared/log";
import { keepLastUsed } from "./last-used.ts";

test("uses are written together, each key once; what could not be written is tried again", async () => {
  const written: string[][] = [];
  const answers: Result<void>[] = [fail("unavailable")];
  const isDone = Promise.withResolvers<void>();
  const store = {
    markUsed(used: ReadonlyMap<string, Date>) {
      written.push([...used.keys()]);
      const answer = answers.shift() ?? ok();
      if (answer.ok) isDone.resolve();
      return Promise.resolve(answer);
    },
  };
  const lastUsed = keepLastUsed({ store, log: silentLog, everyMs: 20 });
  for (const id of ["a", "b", "a"]) lastUsed.note(id);
  await isDone.promise;
  expect(written).toEqual([
    ["a", "b"],
    ["a", "b"],
  ]);
  lastUsed.note("c");
  await lastUsed[Symbol.asyncDispose]();
  expect(written.slice(2)).toEqual([["c"]]);
});

test("ten thousand keys are remembered between two writes, and no more", async () => {
  const sizes: number[] = [];
  const store = {
    markUsed(used: ReadonlyMap<string, Date>) {
      sizes.push(used.size);
      return Promise.resolve(ok());
    },
  };
  const lastUsed = keepLastUsed({ store, log: silentLog, everyMs: 60_000 });
  for (let index = 0; index < 10_500; index += 1) lastUsed.note(String(index));
  lastUsed.note("0");
  await lastUsed[Symbol.asyncDispose]();
  expect(sizes).toEqual([10_000]);
});
