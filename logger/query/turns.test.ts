import { expect, test } from "bun:test";
import { Deadline } from "#shared/resilience";
import { makeTurns } from "./turns.ts";

test("so many at once, the others in their order, and one too many is refused", async () => {
  const turns = makeTurns({ atOnce: 2, waiting: 2, message: "later" });
  const begun: number[] = [];
  const ends = Array.from({ length: 4 }, () => Promise.withResolvers<void>());
  const all = ends.map(({ promise }, index) =>
    turns.take(Deadline.after(5_000), async () => {
      begun.push(index);
      await promise;
    }),
  );
  const refused = turns.take(Deadline.after(5_000), async () => undefined);
  expect(await refused.catch((error: unknown) => error)).toMatchObject({ code: "exhausted", retryAfterS: 1 });
  expect(begun).toEqual([0, 1]);
  ends[1]?.resolve();
  await all[1];
  await Bun.sleep(0);
  expect(begun).toEqual([0, 1, 2]);
  for (const { resolve } of ends) resolve();
  await Promise.all(all);
  expect(begun).toEqual([0, 1, 2, 3]);
});

test("who waits no longer takes no turn, and one that failed gives its own back", async () => {
  const turns = makeTurns({ atOnce: 1 });
  const end = Promise.withResolvers<void>();
  const first = turns.take(Deadline.after(5_000), () => end.promise);
  const late = turns.take(Deadline.after(1), async () => "late");
  expect(await late.catch((error: unknown) => error)).toMatchObject({ code: "deadline" });
  end.reject(new Error("broken"));
  expect(await first.catch((error: unknown) => error)).toEqual(new Error("broken"));
  expect(await turns.take(Deadline.after(5_000), async () => "next")).toBe("next");
});
