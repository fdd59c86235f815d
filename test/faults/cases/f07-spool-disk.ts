/** The disk of the broker's spool is full, or gives back other bytes than were written. */
import { mkdir, open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { until, type Platform } from "../../kit.ts";
import type { FaultCase, Measured } from "../case.ts";
import { makeHistory } from "../../../dev/chaos/history.ts";
import { dishonest, makeCalls, repeat, startLoad, summarize } from "../../../dev/chaos/load.ts";
import { between, oneOf } from "../../../dev/chaos/random.ts";
import { bringBack, cutOff, kill, metricOf, SPOOL_ONLY, spooled, untilLogsWell } from "../../../dev/chaos/scene.ts";
import { concluded } from "../verdicts.ts";

const SMALL_DISK = "3m";
const RATE = 100;

const spoolDir = (platform: Platform): string => join(platform.stack.dataDir, "spool", "broker");

async function command(...words: string[]): Promise<void> {
  const child = Bun.spawn(words, { stdout: "ignore", stderr: "pipe", timeout: 10_000 });
  const [said, code] = await Promise.all([child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(`${words.join(" ")}: ${said.trim()}`);
}

const full: FaultCase = {
  id: "F7",
  fault: "disk of the spool full while logger and RabbitMQ are away",
  promise: "503 with Retry-After, never a false 202; the disk empties itself when they are back",
  bar: "lost 0, twice 0, some refused, every refusal with 503",
  inTests: process.platform === "linux" && process.getuid?.() === 0,
  async run({ full: whole, random, platform: start }): Promise<Measured> {
    const platform = await start();
    const history = makeHistory(platform);
    const { log } = makeCalls(platform, history, random);
    const dir = spoolDir(platform);
    await platform.stack.part("broker").stop();
    await mkdir(dir, { recursive: true });
    await command("mount", "-t", "tmpfs", "-o", `size=${SMALL_DISK},mode=700`, "tmpfs", dir);
    try {
      await bringBack(platform, "broker");
      await cutOff(platform, SPOOL_ONLY);
      // Large ones, until the disk is full; small ones on top, for whatever room is left.
      const large = { ...log, run: () => refuseLarge(platform) };
      const samples = [...(await repeat(large, whole ? 200 : 60, 4)), ...(await loadFor(whole ? 20_000 : 3_000))];
      const kept = await spooled(platform);
      await platform.hops.heal();
      const healMs = await untilLogsWell(platform);
      const verdict = await history.verdict();
      const { byStatus } = summarize(samples);
      await until("the spool is empty", async () => (await spooled(platform)) === 0);
      return concluded(verdict, {
        healMs,
        figures: { calls: samples.length, refused: byStatus[503] ?? 0, in_the_spool: kept },
        broken: [
          ...dishonest(samples),
          ...((byStatus[503] ?? 0) === 0 ? ["nothing was refused: the disk was never full"] : []),
          ...(samples.some(({ status }) => status !== 202 && status !== 503)
            ? ["refused otherwise than with 503"]
            : []),
          ...(samples.some(({ status, retryAfter }) => status === 503 && retryAfter !== true)
            ? ["refused without Retry-After"]
            : []),
        ],
      });
    } finally {
      await platform.hops.heal();
      await kill(platform, "broker");
      await command("umount", dir);
      await bringBack(platform, "broker");
    }

    function loadFor(ms: number) {
      const load = startLoad({ rate: RATE, mix: [[log, 1]], random });
      return Bun.sleep(ms).then(() => load.stop());
    }

    /** An entry of 100 kB. */
    function refuseLarge(on: Platform) {
      const name = history.nextName("log");
      const body = { action: "log", log: { name, data: `${name} ${"x".repeat(100_000)}` } };
      return on.handle(body).then(({ status, headers }) => {
        if (status === 202) history.accept("log", name);
        return { status, retryAfter: headers.has("retry-after") };
      });
    }
  },
};

const flipped: FaultCase = {
  id: "F7b",
  fault: "bits of the spool's files turned over while the broker is down",
  promise: "damage is seen and set aside whole, nothing damaged is handed on, everything else arrives",
  bar: "stored with other content 0, missing no more than bits were turned, damage reported",
  inTests: true,
  async run({ full: whole, random, platform: start }): Promise<Measured> {
    const platform = await start();
    const history = makeHistory(platform);
    const { log } = makeCalls(platform, history, random);
    await cutOff(platform, SPOOL_ONLY);
    const samples = await repeat(log, whole ? 5_000 : 500, 32);
    await kill(platform, "broker");
    const flips = whole ? 50 : 5;
    const dir = join(spoolDir(platform), "entries");
    const turned = await turnBits(dir, flips, random);
    await bringBack(platform, "broker");
    const corrupt = (await metricOf(platform, "broker", "spool_corrupt_total", { spool: "entries" })) ?? 0;
    const aside = (await readdir(dir)).filter((name) => name.endsWith(".bad")).length;
    await platform.hops.heal();
    const healMs = await untilLogsWell(platform);
    const verdict = await history.verdict();
    for (const name of await readdir(dir)) if (name.endsWith(".bad")) await rm(join(dir, name));
    // Every bit hits one record at most: what is missing is in the segment that was set aside.
    const tooMany = verdict.lost.length > turned;
    return concluded(tooMany ? verdict : { ...verdict, lost: [] }, {
      healMs,
      figures: { calls: samples.length, bits_turned: turned, set_aside_records: verdict.lost.length, segments: aside },
      broken: [
        ...dishonest(samples),
        ...(corrupt === 0 || aside === 0 ? ["the damage was not reported"] : []),
        ...(tooMany ? [`${verdict.lost.length} records missing for ${turned} bits`] : []),
      ],
    });
  },
};

/** Turns bits over at random places of segments, behind their headers. @returns how many. */
async function turnBits(dir: string, bits: number, random: () => number): Promise<number> {
  const segments = (await readdir(dir)).filter((name) => name.endsWith(".seg"));
  for (let n = 0; n < bits; n += 1) {
    const file = await open(join(dir, oneOf(random, segments)), "r+");
    try {
      const { size } = await file.stat();
      const at = between(random, 32, size - 1);
      const byte = Buffer.alloc(1);
      await file.read(byte, 0, 1, at);
      byte.writeUInt8(byte.readUInt8(0) ^ (1 << between(random, 0, 7)));
      await file.write(byte, 0, 1, at);
    } finally {
      await file.close();
    }
  }
  return bits;
}

export const cases: readonly FaultCase[] = [full, flipped];
