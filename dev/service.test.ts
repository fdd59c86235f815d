import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./backing/index.ts";
import type { PartEvent } from "./part.ts";
import { pidExists } from "./pids.ts";
import { lookAt, makeService } from "./service.ts";

const directory = mkdtempSync(join(tmpdir(), "service-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** A service as small as it gets: `/ready`, an end at SIGTERM, and an exit code of its own at `/exit?code=`. */
const program = join(directory, "tiny.ts");
writeFileSync(
  program,
  `const [port, ready] = process.argv.slice(2);
   console.error("tiny begins");
   Bun.serve({ hostname: "127.0.0.1", port: Number(port), fetch(request) {
     const { pathname, searchParams } = new URL(request.url);
     if (pathname === "/exit") { console.error("tiny ends"); process.exit(Number(searchParams.get("code"))); }
     return Response.json({ error: false, message: "", data: { dependencies: [] } }, { status: Number(ready) });
   } });
   process.on("SIGTERM", () => process.exit(0));`,
);

async function startTiny(ready = 200) {
  const port = await freePort();
  const events: PartEvent[] = [];
  const url = `http://127.0.0.1:${port}`;
  const service = makeService({
    name: "tiny",
    url,
    launch: () => ({
      command: process.execPath,
      args: [program, String(port), String(ready)],
      env: {},
      log: join(directory, `${port}.log`),
    }),
    onEvent: (event) => events.push(event),
  });
  await service.start();
  return { service, events, url, [Symbol.asyncDispose]: () => service.stop() };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(10);
}

test("a service is running once it says that it is ready, not before", async () => {
  await using ready = await startTiny();
  await until(() => ready.service.state === "running");
  expect(ready.events.map(({ what }) => what)).toEqual(["started", "ready"]);

  await using waiting = await startTiny(503);
  await until(() => waiting.service.pid !== undefined);
  while ((await lookAt(`${waiting.url}/ready`)) === undefined) await Bun.sleep(10);
  expect(waiting.service.state).toBe("starting");
});

test("killed, it is started again with another pid; what it had to say of it is nothing", async () => {
  await using tiny = await startTiny();
  await until(() => tiny.service.state === "running");
  const before = tiny.service.pid;
  tiny.service.kill("SIGKILL");
  await until(() => tiny.service.state === "running" && tiny.service.pid !== before);
  expect(tiny.service.restarts).toBe(1);
  expect(tiny.events.find(({ what }) => what === "ended")).toMatchObject({ how: "signal SIGKILL", lastWords: "" });
});

test("each crash in a row waits longer than the one before could, up to a limit", async () => {
  await using tiny = await startTiny();
  const waits: number[] = [];
  for (let crash = 1; crash <= 3; crash += 1) {
    await until(() => tiny.service.state === "running");
    await fetch(`${tiny.url}/exit?code=1`).catch(() => {});
    await until(() => tiny.events.filter(({ what }) => what === "ended").length === crash);
    const ended = tiny.events.findLast((event) => event.what === "ended");
    if (ended?.what === "ended") waits.push(ended.againInMs);
  }
  expect(waits[0]).toBeWithin(250, 501);
  expect(waits[1]).toBeWithin(500, 1001);
  expect(waits[2]).toBeWithin(1000, 2001);
});

test.each([2, 3])("exit code %i is final: it stays down, and its last words are told", async (code) => {
  await using tiny = await startTiny();
  await until(() => tiny.service.state === "running");
  await fetch(`${tiny.url}/exit?code=${code}`).catch(() => {});
  await until(() => tiny.service.state === "given up");
  expect(tiny.service.pid).toBeUndefined();
  expect(tiny.events.at(-1)).toMatchObject({ what: "gave up", how: `exit code ${code}` });
  expect(tiny.events.at(-1)).toHaveProperty("lastWords", expect.stringContaining("tiny ends"));
});

test("stopped, it stays down until it is started again", async () => {
  await using tiny = await startTiny();
  await until(() => tiny.service.state === "running");
  const pid = tiny.service.pid ?? 0;
  await tiny.service.stop();
  await tiny.service.stop();
  expect(pidExists(pid)).toBe(false);
  expect(tiny.service.state).toBe("stopped");
  expect(tiny.service.restarts).toBe(0);
  await tiny.service.start();
  await until(() => tiny.service.state === "running");
});

test("stopped while it waits to be started again, it is not", async () => {
  await using tiny = await startTiny();
  await until(() => tiny.service.state === "running");
  tiny.service.kill("SIGKILL");
  await until(() => tiny.service.state === "restarting");
  await tiny.service.stop();
  expect(tiny.service.state).toBe("stopped");
  expect(tiny.events.filter(({ what }) => what === "started")).toHaveLength(1);
});

test("a program that is not there is told, and is no crash of ours", async () => {
  const events: PartEvent[] = [];
  const service = makeService({
    name: "absent",
    url: "http://127.0.0.1:1",
    launch: () => ({ command: join(directory, "absent"), args: [], env: {}, log: join(directory, "absent.log") }),
    onEvent: (event) => events.push(event),
  });
  await service.start();
  await until(() => service.state === "given up");
  expect(events.at(-1)).toMatchObject({ what: "gave up", how: "it could not be started" });
});
