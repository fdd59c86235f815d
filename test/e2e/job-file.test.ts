/** A job is added by adding one file: seen from source, and in an executable. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cp, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { JOBS_DEAD_LETTER_QUEUE, jobQueueOf } from "#contracts/events";
import { compile } from "../../deploy/build.ts";
import { JOB_NAMES } from "../../listener/jobs.ts";
import { RABBITMQ, setUp, until } from "../../listener/listener.test-kit.ts";

/** The file. It tells an HTTP server of its test what it did, and fails as its content says. */
const ECHO_JOB = `
import { Type } from "@sinclair/typebox";
import { fail, ok } from "#shared/errors";
import { defineJob } from "../job.ts";

const done = new Map();

export const job = defineJob({
  schema: Type.Object({ tell: Type.String(), text: Type.String() }),
  async run({ tell, text }, { id, attempts, deadline }) {
    if (text === "throw") throw new Error("this handler is broken");
    if (text === "conflict" && attempts === 0) return fail("conflict", "not now");
    await fetch(tell, { method: "POST", body: JSON.stringify({ id, text, attempts, ms: deadline.remainingMs() }) });
    return ok();
  },
});
`;

/** main.ts, with names of its own in a RabbitMQ that others use, and with little patience. */
const MAIN = `
import { run } from "#shared/lifecycle";
import { start } from "./app.ts";
import { fields } from "./config.ts";

const options = { prefix: process.env["TEST_PREFIX"], retryTiers: [{ name: "a", ms: 300 }] };
await run({ name: "listener", summary: "", fields, start: (config, runtime) => start(config, runtime, options) });
`;

describe.skipIf(RABBITMQ === undefined)("a job of one file more (needs TEST_RABBITMQ_URL)", () => {
  const root = join(import.meta.dir, "../..");
  let planted: string;

  beforeAll(async () => {
    planted = await mkdtemp(join(tmpdir(), "jobs-"));
    await cp(join(root, "listener"), join(planted, "listener"), { recursive: true });
    for (const file of ["package.json", "tsconfig.json"]) await cp(join(root, file), join(planted, file));
    for (const directory of ["shared", "node_modules"]) await symlink(join(root, directory), join(planted, directory));
    await writeFile(join(planted, "listener/main.ts"), MAIN);
    await writeFile(join(planted, "listener/jobs/echo.ts"), ECHO_JOB);
  });
  afterAll(() => rm(planted, { recursive: true, force: true }));

  /** Starts `command`, gives it jobs, and sees what becomes of them. */
  async function seeItWork(command: readonly string[], cwd: string): Promise<void> {
    await using kit = await setUp({}, { retryTiers: [{ name: "a", ms: 300 }], jobs: [...JOB_NAMES, "echo"] });
    const told: { id: string; text: string; attempts: number; ms: number }[] = [];
    using server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      async fetch(request) {
        told.push((await request.json()) as (typeof told)[number]);
        return new Response("ok");
      },
    });
    const child = Bun.spawn([...command], {
      cwd,
      env: { ...kit.environment, PATH: process.env["PATH"] ?? "", TEST_PREFIX: kit.prefix },
      stdout: "ignore",
      stderr: "inherit",
    });
    const job = (id: string, text: string): void => {
      const body = JSON.stringify({ tell: `http://127.0.0.1:${server.port}`, text });
      kit.channel.publish(kit.topology.jobs.exchange, "echo", Buffer.from(body), { messageId: id, persistent: true });
    };
    const deadLetters = `${kit.prefix}${JOBS_DEAD_LETTER_QUEUE}`;
    try {
      await until(() => kit.consumes(`${kit.prefix}${jobQueueOf("echo")}`));
      job("first", "hello");
      await until(() => told.length === 1);
      expect(told[0]).toMatchObject({ id: "first", text: "hello", attempts: 0 });
      expect(told[0]?.ms).toBeGreaterThan(20_000);
      job("second", "conflict");
      job("broken", "throw");
      kit.channel.publish(kit.topology.jobs.exchange, "echo", Buffer.from(`{"tell":1}`), { messageId: "bad" });
      await until(() => told.length === 2);
      expect(told[1]).toMatchObject({ id: "second", attempts: 1 });
      await until(async () => {
        // What succeeds beside it shows that a failure is its own.
        job(Bun.randomUUIDv7(), "well");
        await Bun.sleep(50);
        return (await kit.count(deadLetters)) === 2;
      });
      const dead = await kit.deadLetters(deadLetters);
      const errorOf = (id: string): string =>
        String(dead.find(({ properties }) => properties.messageId === id)?.properties.headers?.["x-error"]);
      expect(errorOf("bad")).toBe("text is needed");
      expect(errorOf("broken")).toContain("this handler is broken");
    } finally {
      child.kill("SIGTERM");
      expect(await child.exited).toBe(0);
    }
  }

  test("runs from source", () => seeItWork([process.execPath, "listener/main.ts"], planted), 60_000);

  test("runs in an executable", async () => {
    const outfile = join(planted, "executable");
    await compile("listener", { root: planted, outfile, commit: "test" });
    await rm(join(planted, "listener"), { recursive: true });
    await seeItWork([outfile], tmpdir());
  }, 120_000);
});
