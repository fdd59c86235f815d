import { expect, test } from "bun:test";
import { spawn } from "node:child_process";
import type { Backing, Missing } from "./backing/types.ts";
import { makeBackingPart } from "./backing-part.ts";
import type { PartEvent } from "./part.ts";

/** A process that stands for a server: it does nothing until it is killed. */
function startSleeper(url: string): Backing {
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const stop = async () => {
    child.kill("SIGKILL");
    await ended;
  };
  return { name: "smtp", url, source: "a test", pid: child.pid!, tookMs: 1, stop };
}

function watched(open: () => Promise<Backing | Missing>) {
  const events: PartEvent[] = [];
  const part = makeBackingPart({ first: startSleeper("smtp://a"), open, onEvent: (event) => events.push(event) });
  return { part, events, [Symbol.asyncDispose]: () => part.stop() };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(10);
}

test("one that dies is started again where it was", async () => {
  await using watch = watched(async () => startSleeper("smtp://a"));
  const before = watch.part.pid;
  watch.part.kill("SIGKILL");
  await until(() => watch.part.restarts === 1 && watch.part.state === "running");
  expect(watch.part.pid).not.toBe(before);
  expect(watch.events.map(({ what }) => what)).toEqual(["ended", "ready"]);
});

test("one that can't be started yet is tried again", async () => {
  let tries = 0;
  await using watch = watched(async () => {
    tries += 1;
    if (tries < 3) return { name: "smtp", tried: ["its port is taken"], remedy: "", configured: false };
    return startSleeper("smtp://a");
  });
  watch.part.kill("SIGKILL");
  await until(() => watch.part.state === "running" && tries === 3);
  const failures = watch.events.filter(({ what }) => what === "failed to start");
  expect(failures).toHaveLength(2);
  expect(failures[0]).toMatchObject({ why: "its port is taken" });
});

test("who comes back elsewhere says so, since its users have to be told", async () => {
  await using watch = watched(async () => startSleeper("smtp://b"));
  watch.part.kill("SIGKILL");
  await until(() => watch.events.some(({ what }) => what === "moved"));
  expect(watch.part.url).toBe("smtp://b");
});

test("stopped, it stays down until it is started", async () => {
  let opened = 0;
  await using watch = watched(async () => {
    opened += 1;
    return startSleeper("smtp://a");
  });
  await watch.part.stop();
  expect(watch.part.pid).toBeUndefined();
  // Longer than the watch needs to notice a death.
  await Bun.sleep(600);
  expect(opened).toBe(0);
  await watch.part.start();
  expect(watch.part.state).toBe("running");
});
