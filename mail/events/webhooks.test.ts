/** What receivers of webhooks get, on a real PostgreSQL and receivers of all kinds. RabbitMQ is away: neither needs the other. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { isGenuine } from "../../docs/examples/verify-webhook.ts";
import {
  makeReceiver,
  makeScene,
  NEXT_SECRET,
  NOWHERE,
  POSTGRES_URL,
  type Scene,
  SECRET,
  until,
} from "./events.test-kit.ts";

setDefaultTimeout(60_000);
const AWAY = { rabbitmq: NOWHERE };

let closing = new AsyncDisposableStack();
afterEach(async () => {
  await closing.disposeAsync();
  closing = new AsyncDisposableStack();
});

async function scene(): Promise<Scene> {
  return closing.use(await makeScene());
}
function receiver(...args: Parameters<typeof makeReceiver>) {
  return closing.use(makeReceiver(...args));
}
const empty = (status: number, headers: Record<string, string> = {}) => new Response(null, { status, headers });

async function tellOf(here: Scene, count = 1): Promise<string[]> {
  const ids = await Promise.all(Array.from({ length: count }, () => here.mails.add()));
  await Promise.all(ids.map((id) => here.mails.become(id, "sent", { code: 250, text: "ok", command: "DATA" })));
  return ids;
}

describe.skipIf(POSTGRES_URL === undefined)("webhooks (need TEST_POSTGRES_URL)", () => {
  test("each receiver gets a final event once, signed; a deferral is not told unless asked for", async () => {
    const here = await scene();
    const at = receiver(() => empty(204));
    await using replica = await here.run({ ...AWAY, webhooks: `${at.url}/a?key=canary, ${at.url}/b` });
    const id = await here.mails.add();
    await here.mails.become(id, "deferred");
    await here.mails.become(id, "sending");
    await here.mails.become(id, "sent", { code: 250, text: "ok", command: "DATA" });
    await until("both", async () => (await here.hooks()).filter((hook) => hook.delivered_at !== null).length === 2);
    expect(at.calls.map(({ path, query }) => path + query).toSorted()).toEqual(["/a?key=canary", "/b"]);
    for (const { headers, body, event } of at.calls) {
      expect(event).toMatchObject({ type: "mail.sent", mail_id: id, state: "sent", attempts: 3, reply: { code: 250 } });
      expect(headers.get("webhook-id")).toBe(event.id);
      expect(headers.get("content-type")).toBe("application/json");
      expect(isGenuine(headers, body, SECRET)).toBe(true);
      expect(isGenuine(headers, body, NEXT_SECRET)).toBe(false);
      expect(isGenuine(headers, new Uint8Array([...body, 32]), SECRET)).toBe(false);
    }
    const host = new URL(at.url).host;
    const metrics = await replica.metrics.text();
    expect(metrics).toContain(`mail_webhook_attempts_total{host="${host}",result="delivered",service="test"} 1`);
    expect(metrics).toContain(`mail_webhook_attempts_total{host="${host} (2)",result="delivered",service="test"} 1`);
    // What is kept and shown of a receiver has nothing secret in it.
    const shown = JSON.stringify([await here.hooks(), replica.health.report(), metrics]);
    expect(shown).not.toContain("canary");
  });

  test("a receiver that fails three times, in three ways, has it at the fourth try, under the same id", async () => {
    const here = await scene();
    const at = receiver(async (_call, nth) => {
      if (nth === 3) await Bun.sleep(2_000);
      return empty([500, 404, 200, 200][nth - 1] ?? 200);
    });
    await here.run({ ...AWAY, webhooks: at.url, scheduleMs: [20, 20, 20, 20], timeoutMs: 300 });
    await tellOf(here);
    await until("delivered", async () => (await here.hooks())[0]?.delivered_at instanceof Date);
    expect(await here.hooks()).toMatchObject([{ attempt: 4, status: 200, error: null, lease_until: null }]);
    expect(at.calls).toHaveLength(4);
    expect(new Set(at.calls.map(({ headers }) => headers.get("webhook-id"))).size).toBe(1);
  });

  test("nobody there, and then given up when the schedule is over: counted and in the log", async () => {
    const here = await scene();
    const replica = await here.run({ ...AWAY, webhooks: "http://127.0.0.1:1/x", scheduleMs: [10, 10] });
    await tellOf(here);
    await until("given up", async () => (await here.hooks())[0]?.gave_up_at instanceof Date);
    const [hook] = await here.hooks();
    expect(hook).toMatchObject({ attempt: 3, status: null, error: "no connection (ECONNREFUSED)", delivered_at: null });
    const metrics = await replica.metrics.text();
    expect(metrics).toContain('mail_webhooks_given_up_total{host="127.0.0.1:1",service="test"} 1');
    expect(metrics).toContain('result="unanswered",service="test"} 3');
    expect(replica.stateOf("webhook 127.0.0.1:1")).toBe("down");
    expect(replica.health.ready).toBe(true);
  });

  test("410 is given up at once; a redirect is not followed; Retry-After is waited for", async () => {
    const here = await scene();
    const elsewhere = receiver(() => empty(204));
    const at = receiver(({ path }) => {
      if (path === "/gone") return empty(410);
      if (path === "/moved") return empty(307, { location: elsewhere.url });
      return empty(503, { "retry-after": "3600" });
    });
    await here.run({ ...AWAY, webhooks: `${at.url}/gone,${at.url}/moved,${at.url}/later`, scheduleMs: [60_000] });
    await tellOf(here);
    await until("all", async () => {
      const hooks = await here.hooks();
      return hooks.length === 3 && hooks.every((hook) => hook.status !== null);
    });
    const [gone, later, moved] = await here.hooks();
    expect(gone).toMatchObject({ status: 410, attempt: 1, gave_up_at: expect.any(Date) });
    expect(moved).toMatchObject({ status: 307, attempt: 1, gave_up_at: null, delivered_at: null });
    expect(moved?.wait_s).toBeLessThan(70);
    expect(later).toMatchObject({ status: 503, gave_up_at: null });
    expect(later?.wait_s).toBeGreaterThan(3_500);
    expect(elsewhere.calls).toHaveLength(0);
  });

  test("one that never answers, and one that answers without end, hold up no other", async () => {
    const here = await scene();
    let cancelled = 0;
    const slow = receiver(() => new Promise<Response>(() => undefined));
    const endless = receiver(() => {
      const pull = async (controller: ReadableStreamDefaultController): Promise<void> => {
        await Bun.sleep(1);
        controller.enqueue(new Uint8Array(65_536));
      };
      return new Response(new ReadableStream({ pull, cancel: () => void (cancelled += 1) }));
    });
    const quick = receiver(() => empty(204));
    await here.run({ ...AWAY, webhooks: [slow, endless, quick].map(({ url }) => url).join(","), timeoutMs: 1_000 });
    await tellOf(here, 100);
    const startedAt = performance.now();
    const delivered = async (url: string): Promise<number> =>
      (await here.hooks()).filter((hook) => hook.url.startsWith(url) && hook.delivered_at !== null).length;
    await until("quick", async () => (await delivered(quick.url)) === 100, 5_000);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    await until("endless", async () => (await delivered(endless.url)) === 100);
    await until("cancelled", () => cancelled > 0);
    expect(await delivered(slow.url)).toBe(0);
  });

  test("what waits for a dead one by the thousand is no burden to another", async () => {
    const here = await scene();
    const quick = receiver(() => empty(204));
    const dead = "http://127.0.0.1:1/dead";
    const first = await here.run({ ...AWAY, webhooks: quick.url });
    const [id] = await tellOf(here);
    await until("delivered", async () => (await here.hooks())[0]?.delivered_at instanceof Date);
    await first[Symbol.asyncDispose]();
    await here.sql`
      WITH old AS (
        INSERT INTO mail_events (outbox_id, mail_id, type, payload, hooked_at)
        SELECT outbox_id, mail_id, type, payload, now() FROM mail_events, generate_series(1, 20000)
        WHERE mail_id = ${id ?? ""} RETURNING id)
      INSERT INTO mail_webhooks (event_id, url, next_at) SELECT id, ${dead}, now() - interval '1 hour' FROM old`;
    await here.sql`ANALYZE mail_webhooks`;
    await here.run({ ...AWAY, webhooks: `${dead},${quick.url}` });
    const startedAt = performance.now();
    await tellOf(here, 20);
    await until("quick", () => quick.calls.length === 21, 5_000);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });

  test("during a rotation both secrets verify, and afterwards the new one only", async () => {
    const here = await scene();
    const at = receiver(() => empty(204));
    const genuine = () => {
      const call = at.calls.at(-1);
      return [SECRET, NEXT_SECRET].map((secret) => call !== undefined && isGenuine(call.headers, call.body, secret));
    };
    for (const [secret, expected] of [
      [SECRET, [true, false]],
      [`${NEXT_SECRET},${SECRET}`, [true, true]],
      [NEXT_SECRET, [false, true]],
    ] as const) {
      const before = at.calls.length;
      await using _ = await here.run({ ...AWAY, webhooks: at.url, secret });
      await tellOf(here);
      await until("called", () => at.calls.length > before);
      expect(genuine()).toEqual([...expected]);
    }
  });

  test("user and password of a URL go along as Authorization, and are kept nowhere", async () => {
    const here = await scene();
    const at = receiver(() => empty(204));
    await here.run({ ...AWAY, webhooks: at.url.replace("//", "//me:p%40ss@") });
    await tellOf(here);
    await until("called", () => at.calls.length === 1);
    expect(at.calls[0]?.headers.get("authorization")).toBe(`Basic ${btoa("me:p@ss")}`);
    expect((await here.hooks())[0]?.url).toBe(`${at.url}/`);
  });

  test("replicas share the work: each event is told once where nothing fails", async () => {
    const here = await scene();
    const at = receiver(() => empty(204));
    await here.run({ ...AWAY, webhooks: at.url });
    await here.run({ ...AWAY, webhooks: at.url });
    const ids = await tellOf(here, 150);
    await until("all", async () => (await here.hooks()).filter((hook) => hook.delivered_at !== null).length === 150);
    expect(at.calls).toHaveLength(150);
    expect(new Set(at.calls.map(({ event }) => event.mail_id))).toEqual(new Set(ids));
  });

  test("a drain gives back what hangs, without spending a try; whoever comes next delivers it", async () => {
    const here = await scene();
    let hangs = true;
    const at = receiver(() => (hangs ? new Promise<Response>(() => undefined) : empty(204)));
    const first = await here.run({ ...AWAY, webhooks: at.url });
    await tellOf(here);
    await until("called", () => at.calls.length === 1);
    const stoppedAt = performance.now();
    await first[Symbol.asyncDispose]();
    expect(performance.now() - stoppedAt).toBeLessThan(4_000);
    expect(await here.hooks()).toMatchObject([{ attempt: 0, lease_until: null, delivered_at: null, gave_up_at: null }]);
    hangs = false;
    await here.run({ ...AWAY, webhooks: at.url });
    await until("delivered", async () => (await here.hooks())[0]?.delivered_at instanceof Date);
  });

  test("who died with one in hand: it goes on when the lease is over; a receiver that is configured no more is given up", async () => {
    const here = await scene();
    const at = receiver(() => empty(204));
    const first = await here.run({ ...AWAY, webhooks: "http://127.0.0.1:1/old", scheduleMs: [0] });
    await tellOf(here);
    await until("tried", async () => (await here.hooks())[0]?.status === null && (await here.hooks()).length === 1);
    await first[Symbol.asyncDispose]();
    await here.sql`
      UPDATE mail_webhooks SET gave_up_at = NULL, attempt = 1, next_at = now() - interval '2 days'`;
    await here.sql`
      INSERT INTO mail_webhooks (event_id, url, lease_until)
      SELECT event_id, ${`${at.url}/`}, now() + interval '1 second' FROM mail_webhooks`;
    const startedAt = performance.now();
    await here.run({ ...AWAY, webhooks: at.url });
    await until("delivered", () => at.calls.length === 1);
    expect(performance.now() - startedAt).toBeGreaterThan(500);
    await until("given up", async () =>
      (await here.hooks()).some((hook) => hook.url.endsWith("/old") && hook.error === "no longer configured"),
    );
  });

  test("what happened while no webhook was configured, and was told to RabbitMQ, is not told later", async () => {
    const here = await scene();
    const at = receiver(() => empty(204));
    const first = await here.run(AWAY);
    await tellOf(here);
    await first[Symbol.asyncDispose]();
    // As the relay writes it where no webhook is configured.
    await here.sql`UPDATE mail_events SET published_at = now(), hooked_at = now()`;
    await here.run({ ...AWAY, webhooks: at.url });
    const [id] = await tellOf(here);
    await until("called", () => at.calls.length > 0);
    expect(at.calls.map(({ event }) => event.mail_id)).toEqual([id ?? ""]);
  });
});
