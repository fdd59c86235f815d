/**
 * The contract, row by row, through the whole platform on real backing services: once from source, once as the
 * compiled executables in a directory of their own.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "../../deploy/build.ts";
import { SERVICE_NAMES } from "../../dev/services.ts";
import { HAS_BACKING, type Platform, START_MS, startPlatform, until } from "../kit.ts";

const ADMIN = { email: "admin@example.com", password: "verysecret" };
const MAIL = { from: "me@example.com", to: "you@there.com", subject: "Hello", message: "Hi <b>you</b>\n\nBye" };

/** A name that no other test uses: what is stored under it is found again. */
let names = 0;
const uniqueName = (): string => `e2e-${process.pid}-${(names += 1)}`;

for (const form of ["sources", "executables"] as const) {
  describe.skipIf(!HAS_BACKING)(`the platform from ${form} (needs the backing services of \`bun run test\`)`, () => {
    let platform: Platform;
    let dist: string | undefined;

    beforeAll(async () => {
      if (form === "executables") {
        dist = await mkdtemp(join(tmpdir(), "platform-dist-"));
        await build(undefined, undefined, dist);
      }
      platform = await startPlatform(dist === undefined ? {} : { executables: dist });
    }, START_MS + 60_000);
    afterAll(async () => {
      await platform?.[Symbol.asyncDispose]();
      if (dist !== undefined) await rm(dist, { recursive: true, force: true });
    }, 60_000);

    test.each(SERVICE_NAMES)("%s: alive, ready, measured, and 404 and 405 in the envelope", async (service) => {
      const url = platform.url(service);
      expect(await (await fetch(`${url}/ping`)).text()).toBe("OK");
      expect(await (await fetch(`${url}/ready`)).json()).toMatchObject({ error: false, message: "ready" });
      expect(await (await fetch(`${url}/metrics`)).text()).toContain(`service="${service}"`);
      const missing = await fetch(`${url}/nowhere`, { headers: { origin: "http://any.example" } });
      expect(missing.status).toBe(404);
      expect(await missing.json()).toMatchObject({ error: true });
      expect(missing.headers.get("x-request-id")).toBeTruthy();
      expect(missing.headers.get("x-content-type-options")).toBe("nosniff");
      expect(missing.headers.get("access-control-allow-origin")).toBe("*");
      expect((await fetch(`${url}/ping`, { method: "DELETE" })).status).toBe(405);
    });

    test("POST / is a hit, whatever its body, and the event ends in the log", async () => {
      const before = await platform.entries.countDocuments({ name: "broker_hit" });
      for (const body of ["", "{bad", "{}"]) {
        const hit = await platform.post("broker", "/", body);
        expect(hit).toMatchObject({ status: 200, body: { error: false, message: "Hit the Broker" } });
      }
      await until(
        "three hits stored",
        async () => (await platform.entries.countDocuments({ name: "broker_hit" })) === before + 3,
      );
    });

    test("auth through the broker: the user and his tokens, and an event in the log", async () => {
      const before = await platform.entries.countDocuments({ name: "authentication" });
      const answer = await platform.handle({ action: "auth", auth: ADMIN });
      expect(answer).toMatchObject({ status: 202, body: { error: false, message: "Authenticated!" } });
      expect(answer.body.data).toMatchObject({ email: ADMIN.email, active: 1, expires_in: 600 });
      for (const field of [
        "id",
        "first_name",
        "last_name",
        "created_at",
        "updated_at",
        "access_token",
        "refresh_token",
      ]) {
        expect(answer.body.data).toHaveProperty(field);
      }
      expect(JSON.stringify(answer.body)).not.toContain("$2");
      await until(
        "the event stored",
        async () => (await platform.entries.countDocuments({ name: "authentication" })) === before + 1,
      );
    });

    test.each([
      ["a wrong password", { ...ADMIN, password: "wrong" }],
      ["an unknown address", { email: "nobody@example.com", password: "verysecret" }],
    ])("%s: 401, the same words for both", async (_what, auth) => {
      const through = await platform.handle({ action: "auth", auth });
      expect([through.status, through.body]).toEqual([401, { error: true, message: "Invalid credentials!!!" }]);
      const direct = await platform.post("auth", "/authenticate", auth);
      expect([direct.status, direct.body]).toEqual([401, { error: true, message: "Invalid Credentials" }]);
    });

    test("auth itself answers with its own words", async () => {
      const answer = await platform.post("auth", "/authenticate", ADMIN);
      expect(answer).toMatchObject({ status: 202, body: { message: `Logged in user ${ADMIN.email}` } });
    });

    test("a log entry is in MongoDB when the answer comes", async () => {
      const name = uniqueName();
      const data = { text: "ü", list: [1, 2.5, null, true], $where: 1, "a.b": { "": 0 } };
      const answer = await platform.handle({ action: "log", log: { name, data, severity: "WARNING" } });
      expect([answer.status, answer.body]).toEqual([
        202,
        { error: false, message: "Logged via RPC: Processing succeeded", data: { receipt_id: expect.any(String) } },
      ]);
      const { receipt_id } = answer.body.data as { receipt_id: string };
      expect(await platform.entries.findOne({ name })).toMatchObject({ severity: "WARNING", event_id: receipt_id });
      const receipt = await fetch(`${platform.url("broker")}${answer.headers.get("location") ?? ""}`);
      expect(await receipt.json()).toMatchObject({
        data: { id: receipt_id, state: "stored", final: true, unasked: [] },
      });
    });

    test.each(["/log", "/api/log"])("POST %s at the logger stores too", async (path) => {
      const name = uniqueName();
      const answer = await platform.post("logger", path, { name, data: "text" });
      expect([answer.status, answer.body]).toEqual([202, { error: false, message: "logged" }]);
      expect(await platform.entries.findOne({ name })).toMatchObject({ data: "text", severity: "INFO" });
    });

    test("a mail is in the inbox with its text and an HTML part made from it", async () => {
      const subject = uniqueName();
      const answer = await platform.handle({ action: "mail", mail: { ...MAIL, subject } });
      expect(answer).toMatchObject({ status: 202, body: { message: "Message sent to you@there.com" } });
      const listed = await until("the mail", async () =>
        (await platform.inbox()).find((mail) => mail.Subject === subject),
      );
      const mail = await platform.inboxMail(listed.ID);
      expect(mail["Text"]).toContain("Hi <b>you</b>");
      expect(mail["HTML"]).toContain("Hi &lt;b&gt;you&lt;/b&gt;");
      const direct = await platform.post("mail", "/send", { ...MAIL, subject: uniqueName() });
      expect(direct).toMatchObject({ status: 202, body: { message: "email sent to you@there.com" } });
    });

    test("a batch has each action's own outcome, in order", async () => {
      const answer = await platform.handle([
        { action: "log", log: { name: uniqueName(), data: 1 } },
        { action: "auth", auth: { ...ADMIN, password: "wrong" } },
        { action: "nonsense" },
        { action: "log", log: { name: "" } },
      ]);
      expect(answer.status).toBe(207);
      expect(answer.body.data).toMatchObject([{ status: 202 }, { status: 401 }, { status: 400 }, { status: 422 }]);
      expect((await platform.handle([])).status).toBe(422);
      const tooMany = Array.from({ length: 101 }, () => ({ action: "log", log: { name: "n", data: 1 } }));
      expect((await platform.handle(tooMany)).status).toBe(422);
    });

    const deep = `${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`;
    test.each([
      ["not JSON", "{bad", 400],
      ["two values", "{} {}", 400],
      ["nothing", "", 400],
      ["null", "null", 400],
      ["a list of wrong things", "[1]", 207],
      ["an unknown action", '{"action":"nope"}', 400],
      ["no action", "{}", 400],
      ["an action of a wrong type", '{"action":{"a":1}}', 400],
      ["a wrong type inside", '{"action":"log","log":{"name":7,"data":1}}', 422],
      ["__proto__ as a field", '{"action":"log","log":{"name":"n","data":1,"__proto__":{}}}', 422],
      ["nesting of 100,000", `{"action":"log","log":{"name":"n","data":${deep}}}`, 422],
      ["1 MiB and a byte", JSON.stringify({ action: "log", log: { name: "n", data: "a".repeat(1_048_576) } }), 413],
    ])("%s at the broker", async (_what, body, status) => {
      const before = await platform.entries.countDocuments({ name: "n" });
      const answer = await platform.handle(body);
      expect(answer.status).toBe(status);
      expect(JSON.stringify(answer.body)).not.toMatch(/at .*\.ts|node_modules/);
      expect(await platform.entries.countDocuments({ name: "n" })).toBe(before);
      expect((await platform.post("broker", "/handle", "{}", { "content-type": "text/plain" })).status).toBe(415);
    });

    test("keys that mean something elsewhere come back as data", async () => {
      const name = uniqueName();
      const text = `{"action":"log","log":{"name":"${name}","data":{"__proto__":{"a":1},"constructor":2,"nul":"\\u0000"}}}`;
      expect((await platform.handle(text)).status).toBe(202);
      expect(await platform.entries.countDocuments({ name })).toBe(1);
      expect((await platform.handle({ action: "log", log: { name: uniqueName(), data: 1 } })).status).toBe(202);
    });

    test.each([
      "a@example.com, b@example.com",
      "a@example.com\r\nBcc: b@example.com",
      "ok@example.com>\r\nRCPT TO:<evil@example.com",
      "Evil <a@example.com>",
      "Group: a@example.com, b@example.com;",
      "a@example.com(comment)",
      '"a b"@example.com',
      "a@[127.0.0.1]",
      "a@@example.com",
      "",
      " a@example.com",
    ])("mail to %j is 422 and nothing is sent", async (to) => {
      const subject = uniqueName();
      for (const answer of [
        await platform.handle({ action: "mail", mail: { ...MAIL, to, subject } }),
        await platform.post("mail", "/send", { ...MAIL, to, subject }),
      ]) {
        expect(answer.status).toBe(422);
      }
      expect((await platform.inbox()).filter((mail) => mail.Subject === subject)).toEqual([]);
    });

    test("rubbish on the RPC port closes that connection only", async () => {
      const { port } = new URL(platform.stack.rpcUrl);
      const fates = await Promise.all(
        [
          Buffer.from("GET / HTTP/1.1\r\n\r\n"),
          Buffer.from([0xff, 0xff, 0xff, 0xff]),
          Buffer.from([0, 0, 0, 2, 0xc1, 0xc1]),
          Buffer.from([0, 0, 0, 1, 0x07]),
        ].map(
          (bytes) =>
            new Promise<string>((resolve) => {
              const socket = connect(Number(port), "127.0.0.1", () => socket.write(bytes));
              socket.on("data", () => undefined);
              socket.on("close", () => resolve("closed"));
              socket.on("error", () => resolve("closed"));
              socket.setTimeout(5_000, () => socket.destroy());
            }),
        ),
      );
      expect(fates).toEqual(["closed", "closed", "closed", "closed"]);
      expect((await platform.handle({ action: "log", log: { name: uniqueName(), data: 1 } })).body.message).toStartWith(
        "Logged via RPC",
      );
    });

    test("3,000 events of a foreign client are stored once each, rubbish among them is dead-lettered", async () => {
      const name = uniqueName();
      const rabbit = await platform.rabbit();
      const channel = await rabbit.createConfirmChannel();
      const rubbish = ["{bad", "[]", "null", '{"name":7,"data":1}', '{"name":"x"}', Buffer.from([0xff, 0xfe])];
      const keys = ["log.INFO", "log.WARNING", "log.ERROR"];
      for (let n = 0; n < 3_000; n += 1) {
        const key = keys[n % 3] ?? "log.INFO";
        channel.publish("logs_topic", key, Buffer.from(JSON.stringify({ name, data: n })), {
          messageId: `${name}-${n}`,
        });
        // Every 500th is sent twice, as a producer does that did not get its confirm.
        if (n % 500 === 0)
          channel.publish("logs_topic", key, Buffer.from(JSON.stringify({ name, data: n })), {
            messageId: `${name}-${n}`,
          });
        if (n % 600 === 0) channel.publish("logs_topic", "log.INFO", Buffer.from(rubbish[n / 600] ?? "{bad"));
      }
      channel.publish("logs_topic", "log.INFO", Buffer.from(rubbish[5] ?? "{bad"));
      await channel.waitForConfirms();
      await until("all stored", async () => (await platform.entries.countDocuments({ name })) === 3_000, 30_000);
      await until(
        "rubbish dead-lettered",
        async () => (await channel.checkQueue("logs.dlq.v1")).messageCount === rubbish.length,
      );
      await until("the queue empty", async () => (await channel.checkQueue("logs.main.v1")).messageCount === 0);
      const stored = await platform.entries.find({ name }).toArray();
      expect(new Set(stored.map((entry) => entry.event_id)).size).toBe(3_000);
      expect(stored.length).toBe(3_000);
      const dead = await channel.get("logs.dlq.v1", { noAck: false });
      expect(dead === false ? undefined : dead.properties.headers?.["x-error"]).toBeTruthy();
      if (dead !== false) channel.nack(dead);
      await rabbit.close();
    }, 60_000);
  });
}
