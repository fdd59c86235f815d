/** When leases are renewed, and when one that ran out says that its holder is gone. */
import { expect, test } from "bun:test";
import { fail, ok } from "#shared/errors";
import { keepLeases, LEASE_MS } from "./leases.ts";

const mail = { id: "a", claim: "b" };
const nothing = { renew: async () => ok() };

test("what is on its way is renewed again and again, and nothing is asked while there is none", async () => {
  const renewed: string[][] = [];
  const held = [mail];
  const third = Promise.withResolvers<void>();
  const store = {
    renew: async (mails: readonly { id: string }[], leaseMs: number) => {
      expect(leaseMs).toBe(LEASE_MS);
      renewed.push(mails.map(({ id }) => id));
      if (renewed.length === 2) held.length = 0;
      if (renewed.length === 2) third.resolve();
      return ok();
    },
  };
  const leases = keepLeases({ store, held: () => held, renewEveryMs: 5 });
  await third.promise;
  await Bun.sleep(30);
  await leases[Symbol.asyncDispose]();
  expect(renewed).toEqual([["a"], ["a"]]);
});

test("after the database was away nobody's lease counts as over; before its first answer that is no matter", async () => {
  await using fresh = keepLeases({ store: nothing, held: () => [] });
  fresh.answered(false);
  expect(fresh.conclusive).toBe(true);
  fresh.answered(true);
  expect(fresh.conclusive).toBe(true);
  fresh.answered(false);
  expect(fresh.conclusive).toBe(false);
  fresh.answered(true);
  expect(fresh.conclusive).toBe(false);
});

test("a renewal that fails says so too", async () => {
  const failed = Promise.withResolvers<void>();
  const store = {
    renew: async () => {
      failed.resolve();
      return fail("unavailable");
    },
  };
  await using leases = keepLeases({ store, held: () => [mail], renewEveryMs: 5 });
  leases.answered(true);
  await failed.promise;
  await Bun.sleep(0);
  expect(leases.conclusive).toBe(false);
});
