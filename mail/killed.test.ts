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
  const port = 20_000 + Math.floor(Math.random() * 20_000);
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
    ["before the content", "sent", { data: "silent" }],
    ["after it", "ambiguous", { data: "354 go on", end: "silent" }],
  ] as const)("%s: %s in the end, and handed over once", async (_when, end, behaviour) => {
    world = await makeWorld({ SEND_WAIT_MS: "50" });
    await world.app[Symbol.asyncDispose]();
    await using victim = await startVictim(world);
    Object.assign(world.double.behaviour, behaviour);
    const id = (await world.send(mail, {}, victim.url)).data?.id ?? "";
    await world.double.until(() => asked() === 1 && (end === "sent" || world.double.arrived.length === 1));
    await victim.kill();
    expect((await world.row(id)).state).toBe("sending");
    Object.assign(world.double.behaviour, { data: "354 go on", end: "250 ok" });
    // The lease runs out sooner than it would.
    await world.sql`UPDATE mail_outbox SET lease_until = now() WHERE id = ${id}`;
    const heir = await world.replica();
    await world.until(id, end);
    expect(world.double.arrived).toHaveLength(1);
    // Whoever asks again under its id, as a job does whose HTTP call was cut, is told how it stands.
    const again = await world.send(mail, { "idempotency-key": id }, heir.url);
    expect(again.data).toEqual({ id, state: end });
    expect(world.double.arrived).toHaveLength(1);
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
