/** Who has to wait with his login, and who has not. */
import { describe, expect, test } from "bun:test";
import { fail, ok, type Result } from "#shared/errors";
import { makeDelays } from "#shared/limits";
import { Deadline } from "#shared/resilience";
import { makeMetrics } from "#shared/telemetry";
import { NEEDS, startAuth, until, withServer } from "../service.test-kit.ts";
import { makeThrottle } from "./throttle.ts";

function throttleOf(known: Record<string, string[]> = {}) {
  const clock = { now: 1_000 };
  const metrics = makeMetrics("auth", "0");
  metrics[Symbol.dispose]();
  const throttle = makeThrottle({
    delays: makeDelays({ name: "login", redis: undefined, now: () => clock.now }),
    nameOf: (account) => account.toLowerCase(),
    addressesOf: async (account) => ok(known[account.toLowerCase()] ?? []),
    metrics,
  });
  let tried = 0;
  async function login(account: string, address: string, outcome: Result<string> = fail("unauthenticated")) {
    const result = await throttle(account, address, { deadline: Deadline.after(1_000) }, async () => {
      tried += 1;
      return outcome;
    });
    return result.ok ? "ok" : result.error.code === "exhausted" ? (result.error.retryAfterS ?? 0) : result.error.code;
  }
  return { clock, login, tried: () => tried };
}

test("the eleventh wrong password waits, from wherever; then longer and longer, at most 15 minutes", async () => {
  const { clock, login, tried } = throttleOf();
  for (let asked = 0; asked < 10; asked += 1) expect(await login("a@b.c", `192.0.2.${asked}`)).toBe("unauthenticated");
  expect(await login("A@B.C", "192.0.2.99")).toBe(15);
  expect(tried()).toBe(10);
  const waits: number[] = [];
  for (let round = 0; round < 8; round += 1) {
    const waitS = Number(await login("a@b.c", `192.0.2.${round}`));
    waits.push(waitS);
    clock.now += waitS * 1_000;
    expect(await login("a@b.c", "192.0.2.1")).toBe("unauthenticated");
  }
  expect(waits).toEqual([15, 30, 60, 120, 240, 480, 900, 900]);
});

test("who was at an address before is not held up by strangers, and a stranger there is no better off", async () => {
  const { login } = throttleOf({ "a@b.c": ["198.51.100.7", "2001:db8::1"] });
  for (let asked = 0; asked < 10; asked += 1) await login("a@b.c", `192.0.2.${asked}`);
  expect(await login("a@b.c", "192.0.2.99", ok("in"))).toBe(15);
  expect(await login("a@b.c", "198.51.100.7", ok("in"))).toBe("ok");
  expect(await login("a@b.c", "2001:db8::ffff", ok("in"))).toBe("ok");
  // The familiar place has tries of its own, and no more than others.
  for (let asked = 0; asked < 10; asked += 1) expect(await login("a@b.c", "198.51.100.7")).toBe("unauthenticated");
  expect(await login("a@b.c", "198.51.100.7")).toBe(15);
  expect(await login("a@b.c", "2001:db8::1", ok("in"))).toBe("ok");
});

test("guessing at many accounts from one address is slowed down; logins that succeed there are not counted", async () => {
  const { login } = throttleOf();
  for (let asked = 0; asked < 200; asked += 1) expect(await login(`ok${asked}@b.c`, "192.0.2.1", ok("in"))).toBe("ok");
  for (let asked = 0; asked < 50; asked += 1) expect(await login(`${asked}@b.c`, "192.0.2.1")).toBe("unauthenticated");
  expect(await login("new@b.c", "192.0.2.1")).toBe(5);
  expect(await login("new@b.c", "192.0.2.2")).toBe("unauthenticated");
  // Where nobody knows the address it is nobody's.
  for (let asked = 0; asked < 100; asked += 1) expect(await login(`${asked}@x.y`, "unknown")).toBe("unauthenticated");
});

test("what says nothing of the password is no failure", async () => {
  const { login } = throttleOf();
  for (let asked = 0; asked < 30; asked += 1)
    expect(await login("a@b.c", "192.0.2.1", fail("unavailable"))).toBe("unavailable");
  expect(await login("a@b.c", "192.0.2.1", ok("in"))).toBe("ok");
});

describe("the service", () => {
  withServer(
    `429 is the same for an account that nobody has, also for the right password; other accounts go on ${NEEDS}`,
    async () => {
      await using auth = await startAuth({ LOGIN_THROTTLE: "on" });
      const hash = await Bun.password.hash("s3cret", { algorithm: "bcrypt", cost: 4 });
      await auth.sql`insert into users (email, password, user_active) values ('a@b.test', ${hash}, 1), ('b@b.test', ${hash}, 1)`;
      const login = (email: string, password: string) => auth.post("/authenticate", { email, password });
      const replies = [];
      for (const email of ["a@b.test", "nobody@b.test"]) {
        const statuses = [];
        for (let asked = 0; asked < 10; asked += 1) statuses.push((await login(email, "wrong")).status);
        expect(statuses).toEqual(Array<number>(10).fill(401));
        const { status, text, headers } = await login(email, "s3cret");
        expect(Number(headers.get("retry-after"))).toBeWithin(1, 16);
        expect(headers.get("ratelimit")).toBe(`"limit";r=0;t=${headers.get("retry-after")}`);
        replies.push({ status, text });
      }
      expect(replies[0]).toEqual({
        status: 429,
        text: '{"error":true,"message":"Too many attempts: try again later"}',
      });
      expect(replies[1]).toEqual(replies[0] ?? { status: 0, text: "" });
      expect((await login("b@b.test", "s3cret")).status).toBe(202);
    },
  );

  withServer(`somebody who has a session from his address is let in while strangers guess ${NEEDS}`, async () => {
    await using auth = await startAuth({ LOGIN_THROTTLE: "on" });
    const hash = await Bun.password.hash("s3cret", { algorithm: "bcrypt", cost: 4 });
    await auth.sql`insert into users (id, email, password, user_active) values (77, 'a@b.test', ${hash}, 1)`;
    await auth.sql`insert into sessions (id, user_id, expires_at, address) values (${Bun.randomUUIDv7()}, 77, now() + interval '1 day', '198.51.100.7')`;
    const login = (address: string, password: string) =>
      auth.post("/authenticate", { email: "A@b.test", password }, { "x-client-address": address });
    for (let asked = 0; asked < 10; asked += 1) await login(`192.0.2.${asked}`, "wrong");
    expect((await login("192.0.2.50", "s3cret")).status).toBe(429);
    expect((await login("198.51.100.7", "s3cret")).status).toBe(202);
  });

  withServer(`an address that only the database takes for the account's is nobody's ${NEEDS}`, async () => {
    await using auth = await startAuth({ LOGIN_THROTTLE: "on" });
    const { email } = await auth.addUser();
    await auth.sql`update users set email = 'iris@example.com' where email = ${email}`;
    const statusOf = async (typed: string) =>
      (await auth.post("/authenticate", { email: typed, password: "s3cret" })).status;
    // Most locales of PostgreSQL make an i of it.
    expect([await statusOf("İris@example.com"), await statusOf("IRIS@example.com")]).toEqual([401, 202]);
  });

  withServer(`whoever has read the account's mail is not held up by strangers, wherever he is ${NEEDS}`, async () => {
    await using auth = await startAuth({ LOGIN_THROTTLE: "on" });
    const { email } = await auth.addUser();
    const post = (path: string, address: string, body: unknown) =>
      auth.post(path, body, { "x-client-address": address });
    const login = (address: string, password: string) => post("/authenticate", address, { email, password });
    for (let asked = 0; asked < 10; asked += 1) await login(`192.0.2.${asked}`, "wrong");
    await post("/password-resets", "198.51.100.7", { email });
    const token = await until(
      "the mail",
      async () => /#token=([\w-]+)/.exec(JSON.stringify((await auth.waiting()).filter(({ to }) => to === "mail")))?.[1],
    );
    const reset = { token, new_password: "another one" };
    expect((await post("/password-resets/confirm", "198.51.100.7", reset)).status).toBe(200);
    expect((await login("198.51.100.8", "another one")).status).toBe(429);
    expect((await login("198.51.100.7", "another one")).status).toBe(202);
  });

  withServer(`development has no throttle unless told ${NEEDS}`, async () => {
    await using auth = await startAuth();
    for (let asked = 0; asked < 15; asked += 1)
      expect((await auth.post("/authenticate", { email: "a@b.test", password: "wrong" })).status).toBe(401);
  });
});
