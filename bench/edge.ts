/**
 * What does the guard before a door cost? One service of `httpApp` in a process of its own, with and without the guard;
 * clients in a third process hold 64 connections with one request at a time on each: `GET /ping`, and `POST /echo` of a
 * body of 1 KiB. Rounds with and without alternate, 2 s each after 0.5 s of warm-up; the median of the rounds counts.
 *
 * Run: bun bench/edge.ts
 */
import { httpApp, listen } from "#shared/http";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { median, rate } from "./http-load.ts";

const WARM_UP_MS = 500;
const MEASURED_MS = 2_000;
const ROUNDS = 5;
const LIMITS = { connections: 1_000, connectionsPerAddress: 1_000, headMs: 10_000 };

const BODY = JSON.stringify({ text: "x".repeat(1_013) });
const REQUESTS: Readonly<Record<string, string>> = {
  "GET /ping": "GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n",
  "POST /echo, 1 KiB": `POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`,
};

function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

function serve(isGuarded: boolean): void {
  const runtime = makeRuntime("bench", silentLog, () => undefined);
  const app = httpApp(runtime, [])
    .post("/echo", ({ body }) => body)
    .get("/cpu", () => cpuUs());
  const door = listen(app, { HOST: "127.0.0.1", PORT: 0 }, isGuarded ? { ...LIMITS, runtime } : undefined);
  process.send?.(door.port);
}

/** @returns requests a second, and the server's CPU time for one (µs). */
async function measure(port: number, request: string): Promise<{ perSecond: number; cpu: number }> {
  await rate(port, request, WARM_UP_MS);
  const cpuOf = async (): Promise<number> => Number(await (await fetch(`http://127.0.0.1:${port}/cpu`)).text());
  const before = await cpuOf();
  const startedAt = performance.now();
  const perSecond = await rate(port, request, MEASURED_MS);
  const answered = (perSecond * (performance.now() - startedAt)) / 1_000;
  return { perSecond, cpu: ((await cpuOf()) - before) / answered };
}

async function start(role: string): Promise<{ port: number; child: Bun.Subprocess }> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const child = Bun.spawn([process.execPath, import.meta.path, role], {
    stdio: ["ignore", "inherit", "inherit"],
    ipc: (message: unknown) => resolve(Number(message)),
  });
  return { port: await promise, child };
}

async function main(): Promise<void> {
  const [bare, guarded] = await Promise.all([start("bare"), start("guarded")]);
  console.log("request              without (1/s)  with (1/s)  ratio   CPU without (µs)  with (µs)  ratio");
  for (const [name, request] of Object.entries(REQUESTS)) {
    const points = {
      bare: [] as { perSecond: number; cpu: number }[],
      guarded: [] as { perSecond: number; cpu: number }[],
    };
    for (let round = 0; round < ROUNDS; round += 1) {
      points.bare.push(await measure(bare.port, request));
      points.guarded.push(await measure(guarded.port, request));
    }
    const [without, with_] = [points.bare, points.guarded].map((all) => ({
      perSecond: median(all.map((point) => point.perSecond)),
      cpu: median(all.map((point) => point.cpu)),
    }));
    if (without === undefined || with_ === undefined) throw new Error("nothing was measured");
    console.log(
      `${name.padEnd(20)} ${without.perSecond.toFixed(0).padStart(14)} ${with_.perSecond.toFixed(0).padStart(11)} ${(with_.perSecond / without.perSecond).toFixed(2).padStart(6)} ${without.cpu.toFixed(0).padStart(18)} ${with_.cpu.toFixed(0).padStart(10)} ${(with_.cpu / without.cpu).toFixed(2).padStart(6)}`,
    );
  }
  for (const { child } of [bare, guarded]) child.kill();
}

const role = process.argv[2];
if (role === "bare" || role === "guarded") serve(role === "guarded");
else await main();
