/** What is done for each action, with each part well, refusing or away. */
import { expect, test } from "bun:test";
import type { MailMessage, MailReply, MailState } from "#contracts/mail";
import { type FailureCode, fail, ok } from "#shared/errors";
import { makeMetrics, newContext } from "#shared/telemetry";
import { type AcceptedEntry, type Call, makeOperations, type Ports } from "./handle.ts";
import { makeFirstAnswers } from "./idempotency.ts";
import { makeNumbers } from "./producer.ts";

const USER = { id: 1, email: "ann@example.com", access_token: "t" };

/** Operations over ports that all work, but for those given; and what was asked of each port. */
function platform(broken: Partial<Ports> = {}) {
  const asked: string[] = [];
  const done: string[] = [];
  const noted =
    <A extends unknown[], R>(name: string, answer: (...args: A) => R) =>
    (...args: A): R => {
      asked.push(name);
      return answer(...args);
    };
  let ids = 0;
  const metrics = makeMetrics("broker", "0");
  metrics[Symbol.dispose]();
  const ports: Ports = {
    authenticate: async () => ok(USER),
    storeEntry: async () => ok({ outcome: "stored", tries: 1 }),
    queueEntry: async () => ok(),
    spoolEntry: async () => ok(),
    sendMail: async (_letter, id) => ok({ id, state: "sent" as const }),
    queueMail: async () => ok(),
    announce: async () => ok(),
    ids: {
      mint: () => `id-${(ids += 1)}`,
      derive: (kind, { caller, route, key }, index) => [kind, caller, route, key, index].join(" "),
    },
    numbers: makeNumbers(metrics, "p"),
    answers: makeFirstAnswers({ ids: { fingerprint: (text) => text }, metrics }),
    now: () => new Date(0),
    onDone: (action, outcome) => void done.push(`${action} ${outcome}`),
    ...broken,
  };
  const entries = Object.entries(ports).map(([name, port]: [string, unknown]) => [
    name,
    typeof port === "function" ? noted(name, port as (...args: unknown[]) => unknown) : port,
  ]);
  const operations = makeOperations(Object.fromEntries(entries));
  const call: Call = { context: newContext(), may };
  const handle = async (body: unknown, key?: string) =>
    (await operations.handle(body, key === undefined ? call : keyed(key))).result;
  const batch = async (bodies: unknown[]) => (await operations.handleBatch(bodies, call)).result;
  const send = async (letter: MailMessage) => (await operations.send(letter, call)).result;
  const hit = async () => (await operations.hit(call)).result;
  const others = ["now", "onDone"];
  return { operations, handle, send, batch, hit, done, asked: () => asked.filter((name) => !others.includes(name)) };
}

const may = () => ok();
const keyed = (key: string): Call => ({
  context: newContext(),
  may,
  scope: { caller: "anonymous", route: "/handle", key },
});
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
  expect(await handle(AUTH)).toEqual(ok({ message: "Authenticated!", data: USER, receiptId: "id-1" }));
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
  // No receipt is given for what is kept nowhere.
  expect(await platform({ announce: failing("unavailable") }).handle(AUTH)).toEqual(
    ok({ message: "Authenticated!", data: USER }),
  );
});

test("an entry goes to the logger with an id, a number, a time and a severity", async () => {
  let seen: unknown;
  const { handle, asked } = platform({
    storeEntry: async (entry) => {
      seen = entry;
      return ok({ outcome: "stored", tries: 1 });
    },
  });
  expect(await handle(LOG)).toEqual(ok({ message: "Logged via RPC: Processing succeeded", receiptId: "id-1" }));
  expect(seen).toEqual({
    name: "n",
    data: { a: 1 },
    severity: "INFO",
    event_id: "id-1",
    created_at: "1970-01-01T00:00:00.000Z",
    producer: { id: "p", sequence: 1 },
  });
  expect(asked()).toEqual(["storeEntry"]);
});

test.each(["unavailable", "deadline", "exhausted", "bad_gateway"] as const)(
  "the logger answers %s: the entry is queued, under the same id and number",
  async (code) => {
    const entries: AcceptedEntry[] = [];
    const { handle } = platform({
      storeEntry: async (entry) => (entries.push(entry), fail(code)),
      queueEntry: async (entry) => (entries.push(entry), ok()),
    });
    expect(await handle(LOG)).toEqual(
      ok({ message: "Log entry queued", receiptId: "id-1", degraded: { logger: "queued" } }),
    );
    expect(entries[1]).toEqual(entries[0] as AcceptedEntry);
  },
);

test("logger and RabbitMQ away: the entry is spooled; the spool full too: 503 and when to try again", async () => {
  const away = { storeEntry: failing("unavailable"), queueEntry: failing("unavailable") };
  expect(await platform(away).handle(LOG)).toEqual(
    ok({ message: "Log entry queued", receiptId: "id-1", degraded: { logger: "spooled" } }),
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
  expect(await platform().handle(MAIL)).toEqual(
    ok({ message: "Message sent to b@example.com", data: { id: "id-1" }, receiptId: "id-1" }),
  );
  const queued = ok({
    message: "Message queued for b@example.com",
    data: { id: "id-1" },
    receiptId: "id-1",
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

const LETTER: MailMessage = MAIL.mail;
const recipients = (...states: MailState[]) => states.map((state, at) => ({ address: `r${at}@example.com`, state }));

test.each<[string, Partial<MailMessage>, Partial<MailReply>, string, boolean]>([
  ["sent", {}, { state: "sent" }, "Message sent to b@example.com", false],
  ["sent to a list of one", { to: ["c@example.com"] }, { state: "sent" }, "Message sent to c@example.com", false],
  [
    "sent to several",
    { to: ["c@example.com"], cc: ["d@example.com"], bcc: ["e@example.com"] },
    { state: "sent", recipients: recipients("sent", "sent", "sent") },
    "Message sent to 3 recipients",
    false,
  ],
  [
    "refused for some",
    { to: ["c@example.com", "d@example.com", "e@example.com"] },
    { state: "partial", recipients: recipients("sent", "failed", "sent") },
    "Message sent to 2 of 3 recipients",
    false,
  ],
  ["queued", { cc: ["d@example.com"] }, { state: "queued" }, "Message queued for 2 recipients", true],
  ["of unknown end", {}, { state: "ambiguous" }, "Message queued for b@example.com", true],
  [
    "to be sent later",
    { send_at: "1970-01-01T01:00:00Z" },
    { state: "queued" },
    "Message queued for b@example.com",
    false,
  ],
  // It is the outbox that keeps it from going, and not its sender.
  [
    "that should be gone",
    { send_at: "1970-01-01T00:00:00Z" },
    { state: "queued" },
    "Message queued for b@example.com",
    true,
  ],
])("a mail %s: said so, with what the mail service tells", async (_what, of, told, message, isDegraded) => {
  let seen: unknown;
  const { send } = platform({
    sendMail: async (letter, id) => ((seen = letter), ok({ state: "sent", ...told, id: `theirs of ${id}` })),
  });
  const letter = { ...LETTER, ...of };
  expect(await send(letter)).toEqual(
    ok({
      message,
      data: { ...told, id: "id-1" },
      receiptId: "id-1",
      ...(isDegraded ? { degraded: { mail: "queued" } } : {}),
    }),
  );
  expect(seen).toEqual(letter);
});

test("a mail whose service is away is a job under its id, whole; its time to be sent makes that no less another way", async () => {
  const jobs: unknown[] = [];
  const letter = { ...LETTER, send_at: "1970-01-01T01:00:00Z", cc: ["c@example.com"], headers: { "X-A": "b" } };
  const { send, asked } = platform({
    sendMail: failing("unavailable"),
    queueMail: async (queued, id) => (jobs.push([queued, id]), ok()),
  });
  expect(await send(letter)).toEqual(
    ok({
      message: "Message queued for 2 recipients",
      data: { id: "id-1", state: "queued" },
      receiptId: "id-1",
      degraded: { mail: "queued" },
    }),
  );
  expect(jobs).toEqual([[letter, "id-1"]]);
  expect(asked()).toEqual(["sendMail", "queueMail"]);
  expect(
    await platform({ sendMail: failing("deadline"), queueMail: failing("unavailable") }).send(letter),
  ).toMatchObject({
    ok: false,
    error: { status: 504, message: "Error calling mail service", retryAfterS: 3 },
  });
});

test.each(["invalid", "forbidden", "too_large", "exhausted"] as const)(
  "what the mail service says of the mail (%s) is the caller's to know, and no job",
  async (code) => {
    const { send, handle, asked } = platform({ sendMail: failing(code, "in its own words") });
    const refused = { ok: false, error: { code, message: "in its own words", retryAfterS: 3 } };
    expect([await send(LETTER), await handle(MAIL)]).toMatchObject([refused, refused]);
    expect(asked()).toEqual(["sendMail", "sendMail"]);
  },
);

test("a mail under a key is done once; its id is made from the key and the route", async () => {
  const ids: string[] = [];
  const { operations } = platform({ sendMail: async (_letter, id) => (ids.push(id), ok({ id, state: "sent" })) });
  const call: Call = { context: newContext(), may, scope: { caller: "anonymous", route: "/v1/mails", key: "k" } };
  expect([await operations.send(LETTER, call), await operations.send({ ...LETTER }, call)]).toMatchObject([
    { replayed: false, result: { value: { receiptId: "mail anonymous /v1/mails k 0" } } },
    { replayed: true, result: { value: { receiptId: "mail anonymous /v1/mails k 0" } } },
  ]);
  expect(await operations.send({ ...LETTER, subject: "other" }, call)).toMatchObject({
    result: { error: { status: 422 } },
  });
  expect(ids).toHaveLength(1);
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
  const { batch } = platform({ authenticate: failing("unauthenticated"), storeEntry: failing("unavailable") });
  expect(await batch([AUTH, LOG, { action: "x" }, MAIL])).toEqual(
    ok({
      items: [
        { status: 401, error: true, message: "Invalid credentials!!!" },
        {
          status: 202,
          error: false,
          message: "Log entry queued",
          data: { receipt_id: "id-1", degraded: { logger: "queued" } },
        },
        { status: 400, error: true, message: "Unknown action!!!" },
        {
          status: 202,
          error: false,
          message: "Message sent to b@example.com",
          data: { id: "id-2", receipt_id: "id-2" },
        },
      ],
      degraded: { logger: "queued" },
    }),
  );
});

test("where a batch took several ways around one part, the worst is told", async () => {
  const full = ["spool", "queue", "spool", "queue"];
  const { batch } = platform({
    storeEntry: failing("unavailable"),
    queueEntry: async () => (full.shift() === "queue" ? ok() : fail("unavailable")),
  });
  expect(await batch([LOG, LOG, LOG, LOG])).toMatchObject({
    value: { degraded: { logger: "spooled" } },
  });
});

test("a batch of none is invalid, so is one of 101", async () => {
  const { batch } = platform();
  for (const bodies of [[], Array.from({ length: 101 }, () => LOG)]) {
    expect(await batch(bodies)).toMatchObject({ ok: false, error: { status: 422 } });
  }
  expect(await batch(Array.from({ length: 100 }, () => LOG))).toMatchObject({ ok: true });
});

test("POST / is a hit when it could be told to anybody, now or later", async () => {
  expect(await platform().hit()).toEqual(ok({ message: "Hit the Broker", receiptId: "id-1" }));
  expect(await platform({ announce: failing("unavailable") }).hit()).toMatchObject({
    ok: false,
    error: { status: 503 },
  });
});

test("under a key the ids are made from it, by kind and place in the batch, and the logger is asked what it had", async () => {
  const seen: [string, boolean][] = [];
  const { handle, operations } = platform({
    storeEntry: async (entry, isKeyed) => (seen.push([entry.event_id, isKeyed]), ok({ outcome: "stored", tries: 1 })),
  });
  await handle(LOG, "k");
  await operations.handleBatch([AUTH, MAIL, LOG], keyed("k2"));
  await handle(LOG);
  expect(seen).toEqual([
    ["log anonymous /handle k 0", true],
    ["log anonymous /handle k2 2", true],
    ["id-1", false],
  ]);
});

test("what the logger had under the key is the first request's: said so, and its number is voided", async () => {
  const entries: AcceptedEntry[] = [];
  const outcomes = [
    { outcome: "duplicate", tries: 1 },
    // Maybe our own first try: not said, and voided all the same.
    { outcome: "duplicate", tries: 2 },
    { outcome: "conflict", tries: 1 },
    { outcome: "stored", tries: 1 },
  ] as const;
  const { operations } = platform({
    storeEntry: async (entry) => (entries.push(entry), ok(outcomes[entries.length - 1] ?? outcomes[3])),
  });
  const replies = [];
  for (const key of ["a", "b", "c", "d"]) replies.push(await operations.handle(LOG, keyed(key)));
  expect(replies).toMatchObject([
    { replayed: true, result: { ok: true } },
    { replayed: false, result: { ok: true } },
    { replayed: false, result: { ok: false, error: { status: 422 } } },
    { replayed: false, result: { ok: true } },
  ]);
  expect(entries.map(({ producer }) => producer)).toEqual([
    { id: "p", sequence: 1 },
    { id: "p", sequence: 2, voided: [1] },
    { id: "p", sequence: 3, voided: [1, 2] },
    { id: "p", sequence: 4, voided: [1, 2, 3] },
  ]);
});

test("numbers of what came to nothing are voided by what comes next, event or entry", async () => {
  const numbers: unknown[] = [];
  const away = { storeEntry: failing("unavailable"), queueEntry: failing("unavailable") };
  let isFull = true;
  const { handle, hit } = platform({
    ...away,
    spoolEntry: async () => fail("unavailable"),
    announce: async ({ producer }) => (numbers.push(producer), isFull ? fail("unavailable") : ok()),
  });
  await handle(LOG);
  await hit();
  isFull = false;
  await hit();
  expect(numbers).toEqual([
    { id: "p", sequence: 2, voided: [1] },
    { id: "p", sequence: 3, voided: [1, 2] },
  ]);
});

test("a batch under a key is given again when it said nothing but yes or no", async () => {
  const outcomes = (last: FailureCode | undefined) => {
    const { operations } = platform({
      authenticate: failing("unauthenticated"),
      ...(last === undefined ? {} : { sendMail: failing(last), queueMail: failing(last) }),
    });
    return async () => (await operations.handleBatch([AUTH, LOG, { action: "x" }, MAIL], keyed("k"))).replayed;
  };
  for (const [last, again] of [
    [undefined, true],
    ["invalid", true],
    ["unavailable", false],
    ["exhausted", false],
  ] as const) {
    const send = outcomes(last);
    expect([last, await send(), await send()]).toEqual([last, false, again]);
  }
});

test("what came of each action is told once, by its kind", async () => {
  const well = platform();
  await well.batch([LOG, AUTH, MAIL, { action: "none" }, { action: "log", log: {} }]);
  await well.hit();
  expect(well.done.toSorted()).toEqual(["auth done", "event done", "log done", "mail done"]);
  const away = failing("unavailable");
  const alone = platform({
    storeEntry: away,
    queueEntry: away,
    authenticate: failing("unauthenticated"),
    sendMail: away,
  });
  await alone.batch([LOG, AUTH, MAIL]);
  expect(alone.done.toSorted()).toEqual(["auth refused", "log spooled", "mail queued"]);
  const broken = platform({ authenticate: away, announce: away });
  await broken.batch([AUTH]);
  await broken.hit();
  expect(broken.done).toEqual(["auth failed", "event failed"]);
});
