/** Loggers that are killed while they store audit entries: no false alarm, and nothing that was answered is unprotected. */
import { describe, expect, test } from "bun:test";
import { RPC_LOG_INFO } from "#contracts/logs";
import { makeLog } from "#shared/log";
import { makeRpcClient } from "#shared/rpc";
import { makeMetrics, newContext } from "#shared/telemetry";
import { makeDatabase, mongoUrl, NEEDS_MONGODB, startLogger, TEST_MONGODB_URL, until } from "../testing.ts";
import { trailOf, verifyDatabase, verifyTrail } from "./audit.test-kit.ts";

const LIVES = 4;
const CALLERS = 8;

/** A logger in a process of its own. */
async function spawnLogger(url: string) {
  const child = Bun.spawn(["bun", "logger/main.ts"], {
    env: { ...process.env, MONGODB_URL: url, PORT: "0", RPC_PORT: "0" },
    stdout: "pipe",
    stderr: "inherit",
  });
  const decoder = new TextDecoder();
  let text = "";
  let port: number | undefined;
  const reading = (async () => {
    for await (const chunk of child.stdout) {
      text += decoder.decode(chunk, { stream: true });
      for (const line of text.split("\n").slice(0, -1)) {
        const told = JSON.parse(line) as { msg?: string; message?: string; port?: number };
        if ([told.msg, told.message].includes("RPC listening")) ({ port } = told);
      }
      text = text.slice(text.lastIndexOf("\n") + 1);
    }
  })();
  await until(() => port !== undefined, "the RPC listens", 40_000);
  return {
    rpcUrl: `tcp://127.0.0.1:${port}`,
    async kill() {
      child.kill("SIGKILL");
      await Promise.all([child.exited, reading]);
    },
  };
}

describe.skipIf(TEST_MONGODB_URL === undefined)(`loggers that are killed ${NEEDS_MONGODB}`, () => {
  test("what was answered is sealed, and what was not raises no alarm", async () => {
    await using database = await makeDatabase();
    const answered = new Set<string>();
    const unanswered: string[] = [];
    let count = 0;
    for (let life = 0; life < LIVES; life += 1) {
      const logger = await spawnLogger(mongoUrl(database.name));
      const metrics = makeMetrics("test", "0");
      const client = makeRpcClient({
        url: logger.rpcUrl,
        client: "test",
        log: makeLog({ service: "test", level: "silent" }),
        metrics,
      });
      const state = { going: true };
      const store = async (eventId: string): Promise<void> => {
        const entry = { name: "audit", data: { eventId }, event_id: eventId };
        const result = await client.call(RPC_LOG_INFO, [entry], newContext(2_000));
        if (result.ok) answered.add(eventId);
        else {
          unanswered.push(eventId);
          // A failure that comes at once would leave this process no time to see that the other one has ended.
          await Bun.sleep(5);
        }
      };
      await until(() => client.connected, "connected", 40_000);
      const before = answered.size;
      const calling = Array.from({ length: CALLERS }, async () => {
        while (state.going) await store(unanswered.shift() ?? `killed-${(count += 1)}`);
      });
      await until(() => answered.size > before + 20 + 7 * life, "entries are answered", 40_000);
      await logger.kill();
      state.going = false;
      await Promise.all(calling);
      await client[Symbol.asyncDispose]();
      metrics[Symbol.dispose]();
      expect(await verifyDatabase(database)).toMatchObject({ intact: true, items: [] });
    }

    const trail = await trailOf(database);
    const stored = new Set(trail.entries.map((entry) => String(entry.event_id)));
    expect([...answered].filter((id) => !stored.has(id))).toEqual([]);
    const missed: string[] = [];
    for (const id of answered) {
      const entries = trail.entries.filter((entry) => entry.event_id !== id);
      if ((await verifyTrail({ ...trail, entries })).intact !== false) missed.push(id);
    }
    expect(missed).toEqual([]);

    // The next logger goes on as if nothing had been.
    await using next = await startLogger(mongoUrl(database.name));
    await next.ready();
    expect((await next.post({ name: "audit", data: "after all that" })).status).toBe(202);
    expect(await verifyDatabase(database)).toMatchObject({ intact: true });
  }, 240_000);
});
