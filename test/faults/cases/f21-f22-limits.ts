/** A process with too little of something, and a neighbour that is slow: shed what is too much, and let nobody else feel it. */
import { mkdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { until } from "../../kit.ts";
import type { FaultCase, Measured } from "../case.ts";
import { makeHistory } from "../../../dev/chaos/history.ts";
import { makeCalls, runLoad, startLoad, summarize } from "../../../dev/chaos/load.ts";
import { metricOf, untilLogsWell } from "../../../dev/chaos/scene.ts";
import { concluded } from "../verdicts.ts";

const FILES = 256;
const MEMORY_BYTES = 256 * 1_048_576;
const CGROUP = `/sys/fs/cgroup/memory/platform-faults-${process.pid}`;
const SLOW_MS = 500;
const SLOWER = 1.2;
/** What a busy machine adds to a p99 by itself (ms). */
const NOISE_MS = 10;

const files: FaultCase = {
  id: "F21",
  fault: `broker with ${FILES} file descriptors and 600 connections at once; with ${MEMORY_BYTES / 1_048_576} MiB of memory`,
  promise: "what is too much is shed, the process lives, and all is well when they are gone",
  bar: "exits 0, log calls undegraded afterwards, lost 0, twice 0",
  inTests: process.platform === "linux" && Bun.which("prlimit") !== null,
  async run({ full, random, platform: start }): Promise<Measured> {
    const platform = await start();
    const history = makeHistory(platform);
    const { log } = makeCalls(platform, history, random);
    const broker = platform.stack.part("broker");
    const { pid } = broker;
    const limits = (given: string): number =>
      Bun.spawnSync(["prlimit", `--pid=${pid}`, `--nofile=${given}`], { stdout: "ignore" }).exitCode;
    const before = await readFile(`/proc/${pid}/limits`, "utf8");
    const [, soft = "", hard = ""] = /^Max open files\s+(\d+)\s+(\d+)/m.exec(before) ?? [];
    if (limits(`${FILES}:${hard}`) !== 0) throw new Error("prlimit could not set the limit");
    const sockets: Socket[] = [];
    for (let n = 0; n < 600; n += 1) sockets.push(idleConnection(Number(new URL(broker.url).port)));
    const samples = [...(await runLoad({ rate: 100, mix: [[log, 1]], random }, full ? 30_000 : 1_500))];
    const open = await metricOf(platform, "broker", "process_open_fds").catch(() => undefined);
    for (const socket of sockets) socket.destroy();
    limits(`${soft}:${hard}`);
    const healMs = await untilLogsWell(platform);
    const survivedFiles = broker.pid === pid;

    // From the start of a process on: what it has already is not counted.
    await broker.stop();
    await broker.start();
    const limitedPid = broker.pid!;
    const limited = await limitMemory(limitedPid);
    await until("the broker is ready", () => broker.state === "running", 30_000);
    samples.push(...(await runLoad({ rate: 150, mix: [[log, 1]], random }, full ? 60_000 : 1_500)));
    const rss = await metricOf(platform, "broker", "process_resident_memory_bytes");
    const survivedMemory = broker.pid === limitedPid;
    await untilLogsWell(platform);
    await unlimitMemory(broker.pid!, limited);
    const verdict = await history.verdict();
    const { byStatus } = summarize(samples);
    return concluded(verdict, {
      healMs,
      figures: {
        calls: samples.length,
        not_answered: byStatus[0] ?? 0,
        open_files: open ?? "not answered",
        rss_mib: Math.round((rss ?? 0) / 1_048_576),
        memory_limit: limited ? "by cgroup" : "not tried: no cgroup of ours",
      },
      broken: [
        ...(survivedFiles ? [] : ["the broker ended for want of files"]),
        ...(survivedMemory ? [] : ["the broker ended for want of memory"]),
        ...(open !== undefined && open < FILES - 20 ? [`only ${open} files were open: the limit was not reached`] : []),
      ],
    });
  },
};

/** Connects and says nothing. */
function idleConnection(port: number): Socket {
  const socket = connect(port, "127.0.0.1");
  // It is reset or refused where there is no room for it.
  socket.on("error", () => undefined);
  return socket;
}

/** Puts a process into a control group (version 1) with a limit on memory; false where this may not be done here. */
async function limitMemory(pid: number): Promise<boolean> {
  try {
    await mkdir(CGROUP);
    await writeFile(`${CGROUP}/memory.limit_in_bytes`, String(MEMORY_BYTES));
    await writeFile(`${CGROUP}/cgroup.procs`, String(pid));
    return true;
  } catch {
    return false;
  }
}

async function unlimitMemory(pid: number, limited: boolean): Promise<void> {
  if (!limited) return;
  try {
    await writeFile("/sys/fs/cgroup/memory/cgroup.procs", String(pid));
  } finally {
    await rmdir(CGROUP);
  }
}

const slow: FaultCase = {
  id: "F22",
  fault: `mail and auth slower by ${SLOW_MS} ms each way`,
  promise: "calls to other parts take no longer",
  bar: `p99 of log calls ≤ ${SLOWER} × that without (and ${NOISE_MS} ms for the noise of a shared machine), nothing refused`,
  // Beside other tests a p99 says more of them than of us.
  inTests: false,
  async run({ full, random, platform: start }): Promise<Measured> {
    const platform = await start();
    const history = makeHistory(platform);
    const { log, mail, login } = makeCalls(platform, history, random);
    const mix = [
      [log, 10],
      [mail, 1],
      [login, 1],
    ] as const;
    const ms = full ? 60_000 : 4_000;
    const measure = async (): Promise<ReturnType<typeof summarize>> => {
      const samples = await runLoad({ rate: 120, mix, random }, ms);
      return summarize(samples.filter(({ what }) => what === "log"));
    };
    // Whoever is the first pays for connections and compiled code.
    await runLoad({ rate: 120, mix, random }, 1_000);
    const before = await measure();
    const load = startLoad({ rate: 1, mix: [[log, 1]], random });
    for (const hop of ["broker-mail", "broker-auth"] as const)
      await platform.hops.proxies[hop].misbehave({ latencyMs: SLOW_MS });
    const during = await measure();
    await platform.hops.heal();
    await load.stop();
    const most = before.p99 * SLOWER + NOISE_MS;
    return concluded(await history.verdict(), {
      figures: { calls: during.calls, p99_without_ms: before.p99, p99_with_ms: during.p99, p50_with_ms: during.p50 },
      broken: [
        ...(during.p99 > most ? [`p99 ${during.p99} ms, without the slow ones ${before.p99} ms`] : []),
        ...(during.accepted < during.calls ? [`${during.calls - during.accepted} log calls not accepted`] : []),
      ],
    });
  },
};

export const cases: readonly FaultCase[] = [files, slow];
