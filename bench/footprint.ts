/**
 * What each executable costs: its size, the time from start to the first `/ping`, its memory when idle.
 * Nothing behind them runs meanwhile, so this is the service itself, trying to reach its neighbours.
 *
 *     bun bench/footprint.ts [rounds, default 7]
 */
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, SERVICES, type ServiceName } from "../deploy/build.ts";

const IDLE_MS = 2_000;
const START_LIMIT_MS = 20_000;

interface Round {
  readonly startMs: number;
  readonly rssMib: number;
  /** Proportional: memory that processes share is counted by parts. */
  readonly pssMib: number;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

async function memoryOf(pid: number): Promise<{ rssMib: number; pssMib: number }> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
  const kib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? Number.NaN);
  return { rssMib: kib("Rss") / 1_024, pssMib: kib("Pss") / 1_024 };
}

async function round(path: string, port: number, cwd: string): Promise<Round> {
  const startedAt = performance.now();
  const env = { PORT: String(port), RPC_PORT: "0", LOG_LEVEL: "silent", SPOOL_DIR: join(cwd, "spool") };
  const child = Bun.spawn([path], { cwd, env, stdout: "ignore", stderr: "ignore" });
  try {
    for (;;) {
      const alive = await fetch(`http://127.0.0.1:${port}/ping`).then(
        (reply) => reply.ok,
        () => false,
      );
      if (alive) break;
      if (performance.now() - startedAt > START_LIMIT_MS || child.exitCode !== null)
        throw new Error(`${path} does not answer`);
      await Bun.sleep(1);
    }
    const startMs = performance.now() - startedAt;
    await Bun.sleep(IDLE_MS);
    return { startMs, ...(await memoryOf(child.pid)) };
  } finally {
    child.kill();
    await child.exited;
  }
}

function freePort(): number {
  using server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
  return server.port ?? 0;
}

const rounds = Number(process.argv[2] ?? 7);
const dir = await mkdtemp(join(tmpdir(), "footprint-"));
try {
  process.stderr.write("building …\n");
  const built = await build(SERVICES, undefined, join(dir, "dist"));
  const results = new Map<ServiceName, Round[]>();
  for (let at = 0; at < rounds; at += 1) {
    for (const { service, path } of built) {
      process.stderr.write(`\rround ${at + 1} of ${rounds}: ${service}        `);
      results.set(service, [...(results.get(service) ?? []), await round(path, freePort(), dir)]);
    }
  }
  process.stderr.write("\n");
  const lines = [
    "| executable | size | start to first `/ping` | memory idle (RSS) | proportional (PSS) |",
    "| --- | --- | --- | --- | --- |",
  ];
  for (const { service, path } of built) {
    const all = results.get(service) ?? [];
    const size = (await stat(path)).size / 1_048_576;
    const starts = all.map((one) => one.startMs);
    const spread = `${Math.min(...starts).toFixed(0)}–${Math.max(...starts).toFixed(0)}`;
    lines.push(
      `| ${service} | ${size.toFixed(0)} MiB | ${median(starts).toFixed(0)} ms (${spread}) | ${median(all.map((one) => one.rssMib)).toFixed(0)} MiB | ${median(all.map((one) => one.pssMib)).toFixed(0)} MiB |`,
    );
  }
  process.stdout.write(`${lines.join("\n")}\n`);
} finally {
  await rm(dir, { recursive: true, force: true });
}
