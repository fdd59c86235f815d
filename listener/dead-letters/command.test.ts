import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { start } from "../app.ts";
import { runDlq } from "./command.ts";
import type { Terminal } from "#shared/terminal";
import { type Kit, LACKS, NEEDS, RABBITMQ, setUp, startLogger, until } from "./dead-letters.test-kit.ts";
import { loadConfig } from "#shared/config";
import { fields } from "../config.ts";

/** What the command answers to a command line. */
async function dlq(kit: Pick<Kit, "config" | "prefix">, line: string, terminal: Partial<Terminal> = {}) {
  const said = { out: "", err: "", asked: "", code: 0 };
  said.code = await runDlq(kit.config, line.split(" "), {
    topology: { prefix: kit.prefix },
    signal: new AbortController().signal,
    terminal: {
      out: (text) => void (said.out += text),
      err: (text) => void (said.err += text),
      columns: undefined,
      colour: false,
      interactive: false,
      ask: async (question) => {
        said.asked = question;
        return false;
      },
      ...terminal,
    },
  });
  return said;
}

test.each([
  ["--json", "what?"],
  ["steal", 'no "steal"'],
  ["list --loud", "--loud"],
  ["list two", "two"],
  ["list --parked nowhere", "--parked is logs, jobs, unrouted"],
  ["list --older-than 10", "--older-than"],
  ["list --older-than tenm", "--older-than"],
  ["list --limit 0", "--limit"],
  ["list --rate 5", "list takes no --rate"],
  ["queues --id x", "queues takes no --id"],
  ["replay --rate fast", "--rate"],
  ["replay --rate 0", "rate"],
  ["replay --rate 99999", "rate"],
  ["drop --all", "--yes"],
])("dlq %s is refused in one line, before anything is asked", async (line, said) => {
  const config = loadConfig("listener", fields, { RABBITMQ_URL: "amqp://127.0.0.1:1" });
  const { err, code } = await dlq({ config, prefix: "" }, line);
  expect(code).toBe(2);
  expect(err).toContain(said);
  expect(err.trim()).not.toContain("\n");
});

test("without RabbitMQ it fails with a reason", async () => {
  const config = loadConfig("listener", fields, { RABBITMQ_URL: "amqp://127.0.0.1:1" });
  expect(await dlq({ config, prefix: "" }, "list")).toMatchObject({
    code: 1,
    err: expect.stringContaining("RabbitMQ"),
  });
  const help = await dlq({ config, prefix: "" }, "--help");
  expect(help.code).toBe(0);
  expect(help.out).toContain("--older-than");
});

const event = (index: number) => ({ name: `n${index}`, data: { index } });

describe.skipIf(LACKS)(`dlq ${NEEDS}`, () => {
  test("lists, shows, counts and drops, for people and for programs, while no listener runs", async () => {
    await using logger = await startLogger();
    await using kit = await setUp({ LOGGER_RPC_URL: logger.rpcUrl });
    const { deadLetters, deadLetterQueue } = kit.topology.logs;
    expect(await dlq(kit, "list")).toMatchObject({ code: 0, out: "Nothing is there.\n" });
    for (let index = 0; index < 3; index += 1) await kit.bury(deadLetters, "log.INFO", `m${index}`, event(index));
    await kit.bury(deadLetters, "log.ERROR", "bad", "\u001b[31mred", { headers: { "x-error": "not\none JSON value" } });
    const { out } = await dlq(kit, "list");
    expect(out.split("\n")[0]).toMatch(/^PARKED +ID +ROUTING KEY +AGE +TRIES +BYTES +ERROR$/);
    expect(out.split("\n")[4]).toMatch(/^logs +bad +log\.ERROR +\d+ s +1 +8 +not one JSON value$/);
    const listed = JSON.parse((await dlq(kit, "list --json --error refused --limit 2")).out) as { items: object[] };
    expect(listed).toMatchObject({ items: [{ id: "m0" }, { id: "m1" }], complete: false });
    const peeked = await dlq(kit, "peek --id bad");
    expect(peeked.out).toContain("x-original-routing-key: log.ERROR");
    // A terminal is not to be told what to do by a message.
    expect(peeked.out).not.toContain("\u001b");
    expect(JSON.parse((await dlq(kit, "peek --json --id bad")).out)).toMatchObject({ body: "\u001b[31mred" });
    expect(await dlq(kit, "peek --id nobody")).toMatchObject({ code: 1, err: "There is no such message.\n" });
    expect((await dlq(kit, "queues")).out).toMatch(new RegExp(`${deadLetterQueue} +4 +0 +dead-letters`));

    expect((await dlq(kit, "drop --id bad --dry-run")).out).toStartWith("1 would be dropped");
    const refused = await dlq(kit, "drop --id bad", { interactive: true });
    expect(refused).toMatchObject({ code: 1, asked: "Drop 1 messages for good? [y/N] " });
    expect(await kit.count(deadLetterQueue)).toBe(4);
    expect((await dlq(kit, "drop --yes")).code).toBe(2);
    for (const [typed, said] of [
      ["list --limit 0", '--limit is a whole number from 1, not "0"'],
      ["list --limit -1", "Option '--limit' argument is ambiguous"],
      ["replay --rate 0.0", '--rate is a number above 0, not "0.0"'],
    ] as const) {
      expect(await dlq(kit, typed)).toMatchObject({ code: 2, err: `dlq: ${said}; see listener dlq --help\n` });
    }
    const dropped = await dlq(kit, "drop --id bad --yes --json");
    expect(JSON.parse(dropped.out)).toMatchObject({ matched: 1, done: 1, left: 0 });
    expect(await dlq(kit, "drop --id m0", { interactive: true, ask: async () => true })).toMatchObject({ code: 0 });
    expect(await kit.count(deadLetterQueue)).toBe(2);
    expect(await logger.entries.countDocuments({ name: "audit", severity: "WARNING" })).toBe(4);
  }, 60_000);

  test("two replays at once send each message once, and leave nothing", async () => {
    await using logger = await startLogger();
    await using kit = await setUp({ LOGGER_RPC_URL: logger.rpcUrl });
    const { logs } = kit.topology;
    for (let index = 0; index < 150; index += 1)
      await kit.bury(logs.deadLetters, "log.INFO", `m${index}`, event(index));
    const both = await Promise.all([
      dlq(kit, "replay --rate 60 --json"),
      dlq(kit, "replay --rate 60 --error refused --json"),
    ]);
    const done = both.map(({ out }) => (JSON.parse(out) as { done: number }).done);
    expect((done[0] ?? 0) + (done[1] ?? 0)).toBe(150);
    expect(Math.min(...done)).toBeGreaterThan(0);
    expect(await kit.count(logs.queue)).toBe(150);
    expect(await kit.count(logs.deadLetterQueue)).toBe(0);
  }, 60_000);

  test("killed between the confirm and the acknowledgement, and run again, it stores each message once", async () => {
    await using logger = await startLogger();
    await using kit = await setUp({ LOGGER_RPC_URL: logger.rpcUrl });
    const { logs } = kit.topology;
    const COUNT = 100;
    for (let index = 0; index < COUNT; index += 1)
      await kit.bury(logs.deadLetters, "log.INFO", `m${index}`, event(index));
    const command = [join(import.meta.dir, "command.fixture.ts"), kit.prefix, "replay", "--rate", "40"];
    const killed = Bun.spawn([process.execPath, ...command], {
      env: { ...process.env, RABBITMQ_URL: RABBITMQ, LOGGER_RPC_URL: logger.rpcUrl },
      stdout: "ignore",
      stderr: "inherit",
    });
    // In the middle of a round: sent and confirmed, and acknowledged at its end.
    await until(async () => (await kit.count(logs.queue)) >= 10);
    killed.kill("SIGKILL");
    await killed.exited;
    await until(async () => (await kit.count(logs.deadLetterQueue)) === COUNT);
    const sentAlready = await kit.count(logs.queue);
    expect(sentAlready).toBeGreaterThanOrEqual(10);
    const again = await dlq(kit, "replay --rate 1000 --json");
    expect(JSON.parse(again.out)).toMatchObject({ matched: COUNT, done: COUNT, left: 0 });
    expect(await kit.count(logs.queue)).toBe(COUNT + sentAlready);

    const runtime = makeRuntime("listener", silentLog, () => undefined);
    await using _app = await start(kit.config, runtime, { prefix: kit.prefix });
    await until(async () => (await logger.entries.countDocuments({ name: { $ne: "audit" } })) === COUNT);
    await until(async () => (await kit.count(logs.queue)) === 0);
    const ids = (await logger.entries.find({ name: { $ne: "audit" } }).toArray()).map(({ event_id }) => event_id);
    expect(ids.toSorted()).toEqual(Array.from({ length: COUNT }, (_, index) => `m${index}`).toSorted());
    expect(await kit.count(logs.deadLetterQueue)).toBe(0);
    runtime.metrics[Symbol.dispose]();
  }, 60_000);
});
