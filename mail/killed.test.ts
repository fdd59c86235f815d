/** A mail service that is killed (-9) while it sends, on a real PostgreSQL: what it had in hand goes on, and is sent once. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { makeWorld, POSTGRES_URL, type World } from "./service.test-kit.ts";
import { LEASE_MS } from "./outbox/leases.ts";

setDefaultTimeout(60_000);

const mail = { from: "me@example.com", to: "you@there.example", subject: "Test email", message: "Hello world!" };

interface Victim extends AsyncDisposable {
  readonly url: string;
  kill(): Promise<void>;
}

/** A service as a process of its own, with the leases of real life. */
async function startVictim(world: World, env: Record<string, string> = {}): Promise<Victim> {
  // Below the range that outgoing connections take theirs from, and beside those of the platforms that tests start.
  const port = 27_000 + Math.floor(Math.random() * 5_000);
  const child = Bun.spawn([process.execPath, `${import.meta.dir}/main.ts`], {
    env: {
      ...process.env,
      PORT: String(port),
      DATABASE_URL: world.databaseUrl,
      SMTP_URL: world.double.url,
      RABBITMQ_URL: "amqp://127.0.0.1:1",
      SEND_WAIT_MS: "50",
      LOG_LEVEL: "silent",
      ...env,
    },
    stdout: "ignore",
  });
  const url = `http://127.0.0.1:${port}`;
  await world.eventually("up", async () => (await fetch(`${url}/ready`).catch(() => undefined))?.status === 200);
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await child.exited;
  };
  return { url, kill, [Symbol.asyncDispose]: kill };
}

describe.skipIf(POSTGRES_URL === undefined)("a mail service that is killed (needs TEST_POSTGRES_URL)", () => {
  let world: World;
  afterEach(() => world[Symbol.asyncDispose]());

  const asked = (): number => world.double.commands.filter((line) => line === "DATA").length;

  test.each([
    ["after the mail was claimed", "sent", { mail: "silent" }, "MAIL"],
    ["after the recipient was named", "sent", { rcpt: "silent" }, "RCPT"],
    ["before the content", "sent", { data: "silent" }, "DATA"],
    ["after the content", "ambiguous", { end: "silent" }, "content"],
    ["after the server took it, before that is written down", "ambiguous", { end: "silent" }, "settle"],
  ] as const)("%s: %s in the end, and handed over once", async (_when, end, behaviour, step) => {
    world = await makeWorld({ SEND_WAIT_MS: "50" });
    await world.app[Symbol.asyncDispose]();
    await using victim = await startVictim(world);
    Object.assign(world.double.behaviour, behaviour);
    const { double } = world;
    const id = (await world.send(mail, {}, victim.url)).data?.id ?? "";
    const isAtContent = step === "content" || step === "settle";
    const isThere = (): boolean =>
      isAtContent ? double.arrived.length === 1 : double.commands.some((line) => line.startsWith(step));
    await double.until(isThere);
    if (step === "settle") {
      await world.sql.begin(async (sql) => {
        await sql`SELECT FROM mail_outbox WHERE id = ${id} FOR UPDATE`;
        double.say("250 taken");
        await world.eventually("an outcome that waits to be written", async () => {
          const waits =
            await sql`SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
          return waits.length > 0;
        });
        await victim.kill();
        // PostgreSQL would not notice, and write it down for the dead.
        await sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'mail'`;
      });
    }
    await victim.kill();
    await world.eventually("its connections closed", async () => {
      const left =
        await world.sql`SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'mail'`;
      return left.length === 0;
    });
    expect((await world.row(id)).state).toBe("sending");
    Object.assign(world.double.behaviour, { mail: "250 ok", rcpt: "250 ok", data: "354 go on", end: "250 ok" });
    // The lease runs out sooner than it would.
    await world.sql`UPDATE mail_outbox SET lease_until = now() WHERE id = ${id}`;
    const heir = await world.replica();
    await world.until(id, end);
    expect(world.double.arrived).toHaveLength(1);
    const history = await world.sql<{ outcome: string }[]>`
      SELECT outcome FROM mail_attempts WHERE outbox_id = ${id} ORDER BY id`;
    expect(history.map(({ outcome }) => outcome)).toEqual(end === "sent" ? ["interrupted", "sent"] : ["ambiguous"]);
    // Whoever asks again under its id, as a job does whose HTTP call was cut, is told how it stands.
    const again = await world.send(mail, { "idempotency-key": id }, heir.url);
    expect(again.data).toEqual({ id, state: end });
    expect(world.double.arrived).toHaveLength(1);
  });

  test("after a mail was accepted that nobody has begun: sent once", async () => {
    world = await makeWorld({ SEND_WAIT_MS: "50" });
    await world.app[Symbol.asyncDispose]();
    world.double.stop();
    await using victim = await startVictim(world);
    const id = (await world.send(mail, {}, victim.url)).data?.id ?? "";
    await victim.kill();
    expect((await world.row(id)).state).toBe("queued");
    world.double.start();
    await world.replica();
    await world.until(id, "sent");
    expect(world.double.arrived).toHaveLength(1);
  });

  test("with several recipients at different steps: each ends as its step has it, none is lost or gets it twice", async () => {
    world = await makeWorld({ SEND_WAIT_MS: "50" });
    await world.app[Symbol.asyncDispose]();
    await using victim = await startVictim(world, { SMTP_CONNECTIONS: "3" });
    const names = ["early", "late", "taken", "one", "two", "three"];
    const of = (recipient: string): string => recipient.split("@")[0] ?? "";
    world.double.behaviour.rcpt = (to) => (["early", "one", "two", "three"].includes(of(to)) ? "silent" : "250 ok");
    world.double.behaviour.end = (to) => (of(to) === "late" ? "silent" : "250 ok");
    const id =
      (await world.send({ ...mail, to: names.map((name) => `${name}@x.example`) }, {}, victim.url)).data?.id ?? "";
    // Three places: who was taken has made room for one, which is silent like the others before their content.
    await world.double.until(() => world.double.arrived.length === 2 && world.double.rcptLines.length === 4);
    const states = async (): Promise<string[]> =>
      (await world.sql<{ state: string }[]>`SELECT state FROM mail_outbox WHERE mail_id = ${id} ORDER BY ordinal`).map(
        (row) => row.state,
      );
    const inHand = ["sending", "sending", "sent", "sending", "queued", "queued"];
    await world.eventually("all steps", async () => (await states()).join() === inHand.join());
    await victim.kill();
    Object.assign(world.double.behaviour, { rcpt: "250 ok", end: "250 ok" });
    await world.sql`UPDATE mail_outbox SET lease_until = now() WHERE lease_until IS NOT NULL`;
    await world.replica();
    const end = ["sent", "ambiguous", "sent", "sent", "sent", "sent"];
    await world.eventually("all ends", async () => (await states()).join() === end.join());
    expect(world.double.arrived.map(({ to }) => of(to[0] ?? "")).toSorted()).toEqual(names.toSorted());
  });

  test("goes on by itself within seconds; a mail that another replica takes long to send stays with it meanwhile", async () => {
    world = await makeWorld({ SEND_WAIT_MS: "50", SMTP_ATTEMPT_TIMEOUT_MS: "60000" });
    await using victim = await startVictim(world);
    world.double.behaviour.data = "silent";
    const key = Bun.randomUUIDv7();
    expect((await world.send(mail, { "idempotency-key": key }, victim.url)).data?.state).toBe("queued");
    await world.double.until(() => asked() === 1);
    const slow = (await world.send(mail)).data?.id ?? "";
    await world.double.until(() => asked() === 2);
    world.double.behaviour.data = "354 go on";
    const killedAt = performance.now();
    await victim.kill();
    // The caller never heard of it, and asks again the other way, more than once.
    const repeats = [1, 2, 3].map(() => world.send(mail, { "idempotency-key": key }));
    for (const repeat of await Promise.all(repeats)) expect(repeat.data).toEqual({ id: key, state: "queued" });
    await world.until(key, "sent", LEASE_MS + 3_000);
    expect(performance.now() - killedAt).toBeLessThan(LEASE_MS + 3_000);
    expect(world.double.taken).toHaveLength(1);
    await Bun.sleep(Math.max(0, killedAt + LEASE_MS + 2_000 - performance.now()));
    expect((await world.row(slow)).state).toBe("sending");
    world.double.say("354 at last");
    await world.until(slow, "sent");
    expect(world.double.arrived).toHaveLength(2);
    expect((await world.send(mail, { "idempotency-key": key })).data).toEqual({ id: key, state: "sent" });
  });
});
