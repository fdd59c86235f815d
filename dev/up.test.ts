import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { chmod } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, outsideData } from "./backing/index.ts";
import { stateFile } from "./paths.ts";
import { pidExists } from "./pids.ts";
import { SERVICE_NAMES } from "./services.ts";
import { readState, type State } from "./state.ts";
import { takeDownLeftovers } from "./teardown.ts";

/** A first RabbitMQ on two busy cores is most of it (ms). */
const START_MS = 120_000;
const HAS_BACKING = process.env["PLATFORM_TEST_BACKING"] === "1";

const dataDir = mkdtempSync(join(tmpdir(), "platform-test-"));
await chmod(dataDir, 0o755);
afterAll(async () => {
  await takeDownLeftovers(dataDir);
  for (const path of [...outsideData(dataDir), dataDir]) rmSync(path, { recursive: true, force: true });
});

/** The tool as a person starts it; nothing of this test run's own environment steers it. */
function start(args: readonly string[], env: Record<string, string> = {}) {
  const { PATH, HOME, LANG, TMPDIR, XDG_CACHE_HOME, GOCACHE, GOPATH, GOFLAGS, GOPROXY } = process.env;
  const own = { PATH, HOME, LANG, TMPDIR, XDG_CACHE_HOME, GOCACHE, GOPATH, GOFLAGS, GOPROXY, NO_COLOR: "1", ...env };
  return Bun.spawn([process.execPath, join(import.meta.dir, "up.ts"), ...args, "--data", dataDir], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: own,
  });
}

async function run(args: readonly string[], env: Record<string, string> = {}) {
  const child = start(args, env);
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { out, err, code };
}

/** Every process of a run: its services and its backing services. */
function pidsOf(state: State): number[] {
  return [...Object.values(state.services), ...Object.values(state.backing)].flatMap(({ pid }) => pid ?? []);
}

async function untilUp(child: ReturnType<typeof start>): Promise<State> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`up ended: ${await child.stderr.text()}`);
    const state = readState(dataDir);
    const ready = SERVICE_NAMES.every((name) => state?.services[name]?.state === "running");
    if (state?.up.pid === child.pid && ready) return state;
    await Bun.sleep(50);
  }
}

test("a busy port is told with who holds it, before anything is started", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const env: Record<string, string> = { RPC_PORT: String(await freePort()) };
  for (const name of SERVICE_NAMES) env[`${name.toUpperCase()}_PORT`] = String(await freePort());
  const { err, code } = await run(["up"], { ...env, MAIL_PORT: String(port) });
  await new Promise((resolve) => server.close(resolve));
  expect(code).toBe(2);
  expect(err).toContain(`Port ${port} (mail) is held by`);
  expect(err).toContain(`(process ${process.pid})`);
  expect(existsSync(stateFile(dataDir))).toBe(false);
});

test("a configured server that can't be used stops everything: nothing else is taken in its place", async () => {
  const { err, code } = await run(["up", "--ports", "free"], { DATABASE_URL: "postgres://me:secret@127.0.0.1:1/x" });
  expect(code).toBe(2);
  expect(err).toContain("DATABASE_URL");
  expect(err).not.toContain("secret");
  expect(existsSync(stateFile(dataDir))).toBe(false);
}, 60_000);

test.skipIf(!HAS_BACKING)(
  "up starts all, once; the demonstration ends well; a killed run is cleared away; Ctrl-C leaves nothing (needs PLATFORM_TEST_BACKING)",
  async () => {
    const first = start(["up", "--ports", "free"]);
    const before = await untilUp(first);
    expect(Object.keys(before.backing).sort()).toEqual(["mongodb", "postgres", "rabbitmq", "smtp"]);

    const second = await run(["up", "--ports", "free"]);
    expect(second.code).toBe(2);
    expect(second.err).toContain(`running already (process ${first.pid}`);

    const demonstration = await run(["demo"]);
    expect(demonstration.out).toContain("5 of 5 steps succeeded");
    expect(demonstration.code).toBe(0);

    first.kill("SIGKILL");
    await first.exited;
    expect(pidsOf(before).every(pidExists)).toBe(true);
    const third = start(["up", "--ports", "free"]);
    const after = await untilUp(third);
    expect(pidsOf(before).filter(pidExists)).toEqual([]);

    const status = await run(["status"]);
    expect(status.code).toBe(0);
    for (const name of SERVICE_NAMES) expect(status.out).toMatch(new RegExp(`^${name} +ready`, "m"));

    third.kill("SIGINT");
    third.kill("SIGINT");
    expect(await third.exited).toBe(0);
    expect(pidsOf(after).filter(pidExists)).toEqual([]);
    expect(readState(dataDir)).toBeUndefined();
    expect((await run(["down"])).out).toContain("Nothing is running.");
  },
  2 * START_MS,
);
