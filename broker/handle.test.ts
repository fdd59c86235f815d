/** What is done for each action, with each part well, refusing or away. */
import { expect, test } from "bun:test";
import { type FailureCode, fail, ok } from "#shared/errors";
import { newContext } from "#shared/telemetry";
import { makeOperations, type Ports } from "./handle.ts";

const USER = { id: 1, email: "ann@example.com", access_token: "t" };

/** Operations over ports that all work, but for those given; and what was asked of each port. */
function platform(broken: Partial<Ports> = {}) {
  const asked: string[] = [];
  const noted =
    <A extends unknown[], R>(name: string, answer: (...args: A) => R) =>
    (...args: A): R => {
      asked.push(name);
      return answer(...args);
    };
  let ids = 0;
  const ports: Ports = {
    authenticate: async () => ok(USER),
    storeEntry: async () => ok(),
    queueEntry: async () => ok(),
    spoolEntry: async () => ok(),
    sendMail: async (_letter, id) => ok({ id, state: "sent" as const }),
    queueMail: async () => ok(),
    announce: async () => ok(),
    newId: () => `id-${(ids += 1)}`,
    now: () => new Date(0),
    ...broken,
  };
  const entries = Object.entries(ports).map(([name, port]) => [
    name,
    noted(name, port as (...args: unknown[]) => unknown),
  ]);
  const operations = makeOperations(Object.fromEntries(entries));
  const handle = (body: unknown) => operations.handle(body, newContext());
  return { operations, handle, asked: () => asked.filter((name) => name !== "newId" && name !== "now") };
}

const failing = (code: FailureCode, message?: string) => async () => fail(code, message, { retryAfterS: 3 });
const LOG = { action: "log", log: { name: "n", data: { a: 1 } } };
const AUTH = { action: "auth", auth: { email: "ann@example.com", password: "secret" } };
const MAIL = { action: "mail", mail: { from: "a@example.com", to: "b@example.com", subject: "s", message: "m" } };

test.each([
  null,
  7,
  "log",
  {},
  { action: "" },
  { action: "LOG" },
  { action: ["log"] },
  { action: "constructor" },
  [[LOG]],
])("%j is an unknown action", async (body) => {
  expect(await platform().handle(body)).toMatchObject({
    ok: false,
    error: { status: 400, message: "Unknown action!!!" },
  });
});

test.each([
  [{ action: "log" }, "log is needed"],
  [{ action: "log", log: { name: "n" } }, "log.data is needed"],
  [{ action: "auth", auth: { email: "a" } }, "auth.password is needed"],
  [{ action: "mail", mail: { ...MAIL.mail, to: "a@x.io, b@x.io" } }, "mail.to must be one plain e-mail address"],
  [{ action: "mail", mail: { ...MAIL.mail, to: "a@x.io\r\nBcc: b@x.io" } }, "mail.to must be one plain e-mail address"],
  [
    { action: "mail", mail: { ...MAIL.mail, subject: "a\nb" } },
    "mail.subject must be text of at most 998 characters on one line",
  ],
])("%j is invalid, and nothing is asked of anybody", async (body, message) => {
  const { handle, asked } = platform();
  expect(await handle(body)).toMatchObject({ ok: false, error: { status: 422, message } });
  expect(asked()).toEqual([]);
});

test("a login is answered with the user, and told to everybody", async () => {
  const { handle, asked } = platform();
  expect(await handle(AUTH)).toEqual(ok({ message: "Authenticated!", data: USER }));
  expect(asked()).toEqual(["authenticate", "announce"]);
});

test.each([
  ["unauthenticated", 401, "Invalid credentials!!!"],
  ["unavailable", 503, "Error calling the Auth Service!!!"],
  ["deadline", 504, "Error calling the Auth Service!!!"],
  ["bad_gateway", 502, "Error calling the Auth Service!!!"],
  ["exhausted", 429, "slow down"],
] as const)("auth answers %s: %d %s, and nothing is announced", async (code, status, message) => {
  const { handle, asked } = platform({ authenticate: failing(code, "slow down") });
  expect(await handle(AUTH)).toMatchObject({ ok: false, error: { status, message } });
  expect(asked()).toEqual(["authenticate"]);
});

test("a login that cannot be announced is a login all the same", async () => {
  expect(await platform({ announce: failing("unavailable") }).handle(AUTH)).toMatchObject({ ok: true });
});

test("an entry goes to the logger with an id, a time and a severity", async () => {
  let seen: unknown;
  const { handle, asked } = platform({
    storeEntry: async (entry) => {
      seen = entry;
      return ok();
    },
  });
  expect(await handle(LOG)).toEqual(ok({ message: "Logged via RPC: Processing succeeded" }));
  expect(seen).toEqual({
    name: "n",
    data: { a: 1 },
    severity: "INFO",
    event_id: "id-1",
    created_at: "1970-01-01T00:00:00.000Z",
  });
  expect(asked()).toEqual(["storeEntry"]);
});

test.each(["unavailable", "deadline", "exhausted", "bad_gateway"] as const)(
  "the logger answers %s: the entry is queued, under the same id",
  async (code) => {
    const ids: string[] = [];
    const { handle } = platform({
      storeEntry: async (entry) => (ids.push(entry.event_id), fail(code)),
      queueEntry: async (entry) => (ids.push(entry.event_id), ok()),
    });
    expect(await handle(LOG)).toEqual(ok({ message: "Log entry queued", degraded: { logger: "queued" } }));
    expect(new Set(ids).size).toBe(1);
  },
);

test("logger and RabbitMQ away: the entry is spooled; the spool full too: 503 and when to try again", async () => {
  const away = { storeEntry: failing("unavailable"), queueEntry: failing("unavailable") };
  expect(await platform(away).handle(LOG)).toEqual(
    ok({ message: "Log entry queued", degraded: { logger: "spooled" } }),
  );
  expect(await platform({ ...away, spoolEntry: failing("unavailable") }).handle(LOG)).toMatchObject({
    ok: false,
    error: { status: 503, message: "Error calling the Logger Service!!!", retryAfterS: 3 },
  });
});

test("what the logger finds invalid is the caller's to know, not to be queued", async () => {
  const { handle, asked } = platform({ storeEntry: failing("invalid", "data is too deep") });
  expect(await handle(LOG)).toMatchObject({ ok: false, error: { status: 422, message: "data is too deep" } });
  expect(asked()).toEqual(["storeEntry"]);
});

test("a mail is sent, or queued by the mail service, or queued for it, under one id; or refused", async () => {
  expect(await platform().handle(MAIL)).toEqual(ok({ message: "Message sent to b@example.com", data: { id: "id-1" } }));
  const queued = ok({
    message: "Message queued for b@example.com",
    data: { id: "id-1" },
    degraded: { mail: "queued" },
  });
  expect(
    await platform({ sendMail: async (_letter, id) => ok({ id, state: "queued" as const }) }).handle(MAIL),
  ).toEqual(queued);
  let jobId = "";
  const away = platform({ sendMail: failing("unavailable"), queueMail: async (_letter, id) => ((jobId = id), ok()) });
  expect(await away.handle(MAIL)).toEqual(queued);
  expect(jobId).toBe("id-1");
  expect(
    await platform({ sendMail: failing("unavailable"), queueMail: failing("unavailable") }).handle(MAIL),
  ).toMatchObject({
    ok: false,
    error: { status: 503, message: "Error calling mail service" },
  });
});

test("of a mail only the known fields go on", async () => {
  let seen: unknown;
  const { handle } = platform({
    sendMail: async (letter, id) => ((seen = letter), ok({ id, state: "sent" as const })),
  });
  await handle({ ...MAIL, mail: { ...MAIL.mail, attachments: [{ path: "/etc/passwd" }] } });
  expect(seen).toEqual(MAIL.mail);
});

test("in a batch each action has its own outcome, in order", async () => {
  const { operations } = platform({ authenticate: failing("unauthenticated"), storeEntry: failing("unavailable") });
  const batch = await operations.handleBatch([AUTH, LOG, { action: "x" }, MAIL], newContext());
  expect(batch).toEqual(
    ok({
      items: [
        { status: 401, error: true, message: "Invalid credentials!!!" },
        { status: 202, error: false, message: "Log entry queued", data: { degraded: { logger: "queued" } } },
        { status: 400, error: true, message: "Unknown action!!!" },
        { status: 202, error: false, message: "Message sent to b@example.com", data: { id: "id-2" } },
      ],
      degraded: { logger: "queued" },
    }),
  );
});

test("where a batch took several ways around one part, the worst is told", async () => {
  const full = ["spool", "queue", "spool", "queue"];
  const { operations } = platform({
    storeEntry: failing("unavailable"),
    queueEntry: async () => (full.shift() === "queue" ? ok() : fail("unavailable")),
  });
  expect(await operations.handleBatch([LOG, LOG, LOG, LOG], newContext())).toMatchObject({
    value: { degraded: { logger: "spooled" } },
  });
});

test("a batch of none is invalid, so is one of 101", async () => {
  const { operations } = platform();
  for (const bodies of [[], Array.from({ length: 101 }, () => LOG)]) {
    expect(await operations.handleBatch(bodies, newContext())).toMatchObject({ ok: false, error: { status: 422 } });
  }
  expect(
    await operations.handleBatch(
      Array.from({ length: 100 }, () => LOG),
      newContext(),
    ),
  ).toMatchObject({ ok: true });
});

test("POST / is a hit when it could be told to anybody, now or later", async () => {
  expect(await platform().operations.hit(newContext())).toEqual(ok({ message: "Hit the Broker" }));
  expect(await platform({ announce: failing("unavailable") }).operations.hit(newContext())).toMatchObject({
    ok: false,
    error: { status: 503 },
  });
});
