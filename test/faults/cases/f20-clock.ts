/** The wall clock jumps by an hour, forward and back, under running services. */
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FaultCase, Measured } from "../case.ts";
import { makeHistory } from "../../../dev/chaos/history.ts";
import { dishonest, makeCalls, type Sample, startLoad, summarize } from "../../../dev/chaos/load.ts";
import { killAndBringBack, untilLogsWell } from "../../../dev/chaos/scene.ts";
import { concluded } from "../verdicts.ts";

const HOUR_S = 3_600;
const LIBRARY = join(import.meta.dir, "..", "clock.c");
const compiler = process.platform === "linux" ? (Bun.which("cc") ?? Bun.which("gcc")) : null;

/** A library that moves the wall clock of whoever loads it by what stands in a file, and leaves the monotonic one alone. */
async function clock(dir: string): Promise<{ env: Record<string, string>; jump: (seconds: number) => Promise<void> }> {
  const library = join(dir, "clock.so");
  const offset = join(dir, "offset");
  if (!existsSync(library)) {
    const child = Bun.spawn([compiler!, "-shared", "-fPIC", "-O1", "-o", library, LIBRARY], { timeout: 30_000 });
    if ((await child.exited) !== 0) throw new Error("clock.c does not compile");
  }
  const jump = (seconds: number): Promise<void> => writeFile(offset, `${seconds}\n`.padEnd(32));
  await jump(0);
  return { env: { LD_PRELOAD: library, CLOCK_OFFSET_FILE: offset }, jump };
}

const jumps: FaultCase = {
  id: "F20",
  fault: "wall clock of all five services jumps by an hour, forward and back, with faults meanwhile",
  promise: "waits, leases and backoffs are measured by the monotonic clock: nothing sticks, nothing is lost",
  bar: "lost 0, twice 0, mails without an end 0, logins work, log calls undegraded ≤ 5 s after the logger's return",
  inTests: false,
  async run({ full, random, platform: start, say }): Promise<Measured> {
    if (compiler === null) throw new Error("needs Linux and a C compiler, for a library that moves the clock");
    const dir = await mkdtemp(join(tmpdir(), "platform-clock-"));
    try {
      const { env, jump } = await clock(dir);
      const platform = await start(env);
      const history = makeHistory(platform);
      const { log, mail, login } = makeCalls(platform, history, random);
      const load = startLoad({
        rate: 60,
        mix: [
          [log, 8],
          [mail, 1],
          [login, 1],
        ],
        random,
      });
      let healMs = 0;
      let offset = 0;
      for (const by of full ? [HOUR_S, -HOUR_S, -HOUR_S, HOUR_S] : [HOUR_S, -HOUR_S]) {
        await Bun.sleep(full ? 5_000 : 1_500);
        offset += by;
        await jump(offset);
        say(`the clock is ${offset} s ahead`);
        await Bun.sleep(1_000);
        await killAndBringBack(platform, "logger", 500);
        healMs = Math.max(healMs, await untilLogsWell(platform));
        await killAndBringBack(platform, "mail", 200);
      }
      await Bun.sleep(full ? 10_000 : 2_000);
      const samples = await load.stop();
      const verdict = await history.verdict({ withinMs: 90_000 });
      const { byStatus } = summarize(samples);
      const logins = samples.filter(({ what }) => what === "login");
      return concluded(verdict, {
        healMs,
        figures: { calls: samples.length, not_accepted: samples.length - (byStatus[202] ?? 0), logins: logins.length },
        broken: [
          ...dishonest(samples),
          ...refusalsOf(logins),
          ...(healMs > 5_000 ? [`undegraded only after ${Math.round(healMs)} ms`] : []),
        ],
      });
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  },
};

/** What logins were refused with, if any were. */
function refusalsOf(logins: readonly Sample[]): string[] {
  const refused = logins.filter(({ status }) => status !== 202);
  const first = refused[0];
  if (first === undefined) return [];
  return [`${refused.length} of ${logins.length} logins refused, e.g. ${first.status} ${first.said ?? ""}`];
}

export const cases: readonly FaultCase[] = [jumps];
