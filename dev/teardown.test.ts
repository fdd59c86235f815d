import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Child, end, isAlive, launch, thisProcess } from "./backing/processes.ts";
import { lock, lockHolder } from "./lock.ts";
import type { Part } from "./part.ts";
import { liveState, readState, type State, writeState } from "./state.ts";
import { stopInOrder, takeDownLeftovers } from "./teardown.ts";

const directories: string[] = [];
const children: Child[] = [];
afterEach(async () => {
  for (const child of children.splice(0)) await end(child, "SIGKILL");
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function dataDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "teardown-"));
  directories.push(directory);
  return directory;
}

async function sleeper(dataDir: string): Promise<Child> {
  const args = ["-e", "setInterval(() => {}, 1000)"];
  const child = await launch({ command: process.execPath, args, env: {}, log: join(dataDir, "sleeper.log") });
  children.push(child);
  return child;
}

/** A process that was and is no more. */
async function gone(dataDir: string): Promise<{ pid: number; started: string }> {
  const child = await sleeper(dataDir);
  await end(child, "SIGKILL");
  return { pid: child.pid, started: child.started };
}

function stateOf(up: { pid: number; started: string }, broker: { pid: number; started: string }): State {
  return {
    up: { pid: up.pid, started: up.started, since: new Date().toISOString(), bun: Bun.version },
    services: {
      broker: { url: "http://127.0.0.1:1", pid: broker.pid, started: broker.started, state: "running", restarts: 0 },
    },
    backing: {},
    missing: {},
  };
}

test("what a killed run has left is ended, and its state removed", async () => {
  const dataDir = dataDirectory();
  const broker = await sleeper(dataDir);
  writeState(dataDir, stateOf(await gone(dataDir), broker));
  expect(await takeDownLeftovers(dataDir)).toEqual(["broker"]);
  expect(isAlive(broker)).toBe(false);
  expect(readState(dataDir)).toBeUndefined();
});

test("a pid that is another process by now is left alone", async () => {
  const dataDir = dataDirectory();
  const somebody = await sleeper(dataDir);
  writeState(dataDir, stateOf(await gone(dataDir), { pid: somebody.pid, started: "1" }));
  expect(await takeDownLeftovers(dataDir)).toEqual([]);
  expect(isAlive(somebody)).toBe(true);
});

test("a run whose supervisor lives is nobody's leftover", async () => {
  const dataDir = dataDirectory();
  const [supervisor, broker] = [await sleeper(dataDir), await sleeper(dataDir)];
  writeState(dataDir, stateOf(supervisor, broker));
  expect(liveState(dataDir)?.services.broker?.pid).toBe(broker.pid);
  expect(await takeDownLeftovers(dataDir)).toEqual([]);
  expect(isAlive(broker)).toBe(true);
});

test("one process at a time holds a data directory", () => {
  const dataDir = dataDirectory();
  const first = lock(dataDir);
  if ("holder" in first) throw new Error("held already");
  expect(lock(dataDir)).toEqual({ holder: thisProcess() });
  expect(lockHolder(dataDir)).toEqual(thisProcess());
  first.release();
  expect(lockHolder(dataDir)).toBeUndefined();
  expect(lock(dataDir)).toHaveProperty("release");
});

test("the lock of a process that is gone is taken over by exactly one of many", async () => {
  const dataDir = dataDirectory();
  const program = `const { lock } = await import(${JSON.stringify(join(import.meta.dir, "lock.ts"))});
    process.stdout.write("release" in lock(process.argv[1]) ? "won" : "lost");
    await Bun.sleep(1000);`;
  await Bun.spawn([process.execPath, "-e", program.replace("1000", "0"), dataDir]).exited;
  const racers = Array.from({ length: 8 }, () =>
    Bun.spawn([process.execPath, "-e", program, dataDir], { stdout: "pipe" }),
  );
  const results = await Promise.all(racers.map((racer) => racer.stdout.text()));
  expect(results.filter((result) => result === "won")).toHaveLength(1);
  expect(results.filter((result) => result === "lost")).toHaveLength(7);
});

test("parts end in order, and one that fails to keeps nobody else up", async () => {
  const ended: string[] = [];
  const part = (name: string, fails = false): Part => ({
    name,
    url: "",
    pid: undefined,
    state: "running",
    restarts: 0,
    kill: () => {},
    start: async () => {},
    restart: async () => {},
    stop: async () => {
      ended.push(name);
      if (fails) throw new Error("it would not");
    },
  });
  const parts = new Map([
    ["postgres", part("postgres")],
    ["mongodb", part("mongodb")],
    ["auth", part("auth")],
    ["listener", part("listener", true)],
    ["broker", part("broker")],
  ] as const);
  const outcome = await stopInOrder(parts).catch((error: unknown) => error);
  expect(outcome).toBeInstanceOf(AggregateError);
  expect(ended).toEqual(["broker", "listener", "auth", "mongodb", "postgres"]);
});
