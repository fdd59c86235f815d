/** Everything at once: parts die and freeze, networks fail, in an order that the seed decides. */
import type { Platform } from "../../kit.ts";
import type { FaultCase, Measured } from "../case.ts";
import { makeHistory } from "../../../dev/chaos/history.ts";
import { HOP_NAMES } from "../../../dev/chaos/hops.ts";
import { dishonest, makeCalls, makeForeignPublisher, startLoad, summarize } from "../../../dev/chaos/load.ts";
import type { ProxyFaults } from "../../../dev/chaos/proxy.ts";
import { between, fork, oneOf } from "../../../dev/chaos/random.ts";
import { bringBack, freeze, kill, killAndBringBack, type PartName, untilLogsWell } from "../../../dev/chaos/scene.ts";
import { concluded } from "../verdicts.ts";

const RATE = 180;
const FULL_MS = 30 * 60_000;
const SHORT_MS = 8_000;
const EVENTS = 300_000;
/** Faults at a time. */
const AT_ONCE = 3;
const HEAL_MS = 5_000;

const SERVICES: readonly PartName[] = ["broker", "listener", "auth", "logger", "mail"];
const SERVERS: readonly PartName[] = ["postgres", "mongodb", "rabbitmq", "smtp"];

function wireFault(random: () => number): ProxyFaults {
  return oneOf<() => ProxyFaults>(random, [
    () => ({ latencyMs: between(random, 20, 800) }),
    () => ({ blackhole: true }),
    () => ({ pause: true }),
    () => ({ refuse: true }),
    () => ({ sliceBytes: between(random, 1, 7) }),
  ])();
}

/** One fault from its beginning to its end. Parts that are in somebody's hands already are left alone. */
async function strike(platform: Platform, random: () => number, busy: Set<string>, full: boolean): Promise<string> {
  const free = (names: readonly string[]): string | undefined => {
    const left = names.filter((name) => !busy.has(name));
    return left.length === 0 ? undefined : oneOf(random, left);
  };
  const kind = random();
  // RabbitMQ takes seconds to start: it dies less often than the others.
  const parts = kind < 0.45 ? SERVICES : SERVERS.filter((name) => name !== "rabbitmq" || random() < 0.3);
  const target = kind < 0.6 ? free(parts) : free(HOP_NAMES);
  if (target === undefined) return "nothing";
  busy.add(target);
  try {
    if (kind < 0.6) {
      const part = target as PartName;
      if (random() < 0.3) {
        const ms = between(random, 500, full ? 8_000 : 3_000);
        await freeze(platform, part, ms);
        return `${part} frozen for ${ms} ms`;
      }
      const awayMs = between(random, 0, full ? 8_000 : 2_000);
      await killAndBringBack(platform, part, awayMs);
      return `${part} killed, away ${awayMs} ms`;
    }
    const proxy = platform.hops.proxies[target as (typeof HOP_NAMES)[number]];
    const ms = between(random, 300, full ? 10_000 : 3_000);
    if (random() < 0.3) {
      if (random() < 0.5) proxy.cut();
      else proxy.halfClose(random() < 0.5 ? "up" : "down");
      return `${target} cut`;
    }
    const fault = wireFault(random);
    await proxy.misbehave(fault);
    if (fault.refuse === true) proxy.cut();
    await Bun.sleep(ms);
    await proxy.heal();
    return `${target} ${JSON.stringify(fault)} for ${ms} ms`;
  } finally {
    busy.delete(target);
  }
}

const swizzle: FaultCase = {
  id: "F25",
  fault: `random faults of all kinds, up to ${AT_ONCE} at a time, ${RATE} calls a second`,
  promise: "the conservation law holds, and everything heals by itself",
  bar: `lost 0, twice 0 over ≥ ${EVENTS} events (full form), log calls undegraded ≤ ${HEAL_MS / 1_000} s after the last fault`,
  inTests: true,
  async run({ full, random, platform: start, say }): Promise<Measured> {
    const platform = await start();
    const history = makeHistory(platform);
    const { log, mail, login, hit } = makeCalls(platform, history, fork(random));
    await using foreign = makeForeignPublisher(platform, history, fork(random));
    // Few mails: the inbox keeps a thousand, and each is rendered and stored.
    const load = startLoad({
      rate: RATE,
      mix: [
        [log, 120],
        [foreign.event, 50],
        [hit, 6],
        [mail, 2],
        [login, 2],
      ],
      random: fork(random),
    });
    const began = performance.now();
    const lasts = full ? FULL_MS : SHORT_MS;
    const busy = new Set<string>();
    let strikes = 0;
    // Each with chance of its own, and the load too: what one decides does not depend on how fast the others are.
    const striking = Array.from({ length: AT_ONCE }, async () => {
      const own = fork(random);
      while (performance.now() - began < lasts) {
        await Bun.sleep(between(own, 100, full ? 4_000 : 1_000));
        say(`${Math.round((performance.now() - began) / 1_000)} s: ${await strike(platform, own, busy, full)}`);
        strikes += 1;
        await history.lookAtInbox().catch(() => undefined);
      }
    });
    await Promise.all(striking);
    await platform.hops.heal();
    const healMs = await untilLogsWell(platform, 60_000);
    const samples = await load.stop();
    const verdict = await history.verdict({ withinMs: 180_000 });
    const { byDegraded, byStatus, p99 } = summarize(samples);
    return concluded(verdict, {
      healMs,
      figures: {
        strikes,
        calls: samples.length,
        refused: (byStatus[503] ?? 0) + (byStatus[504] ?? 0) + (byStatus[502] ?? 0) + (byStatus[429] ?? 0),
        queued: byDegraded["logger=queued"] ?? 0,
        spooled: byDegraded["logger=spooled"] ?? 0,
        p99_ms: p99,
      },
      broken: [
        ...dishonest(
          samples.filter(({ what }) => what !== "event"),
          true,
        ),
        ...(full && samples.length < EVENTS ? [`only ${samples.length} events`] : []),
        ...(healMs > HEAL_MS ? [`undegraded only ${Math.round(healMs)} ms after the last fault`] : []),
      ],
    });
  },
};

const allAway: FaultCase = {
  id: "F25b",
  fault: "PostgreSQL, MongoDB and RabbitMQ all killed (-9) and away for 2 minutes, 100 requests a second",
  promise: "every log and mail call is accepted or honestly refused",
  bar: "lost 0, twice 0 after the return, every log call accepted",
  inTests: true,
  async run({ full, random, platform: start }): Promise<Measured> {
    const platform = await start();
    const history = makeHistory(platform);
    const { log, mail } = makeCalls(platform, history, random);
    const load = startLoad({
      rate: 100,
      mix: [
        [log, 9],
        [mail, 1],
      ],
      random,
    });
    await Bun.sleep(1_000);
    const servers = ["mongodb", "rabbitmq", "postgres"] as const;
    await Promise.all(servers.map((name) => kill(platform, name)));
    await Bun.sleep(full ? 120_000 : 3_000);
    // MongoDB's stand-in keeps its documents in PostgreSQL.
    await Promise.all([
      bringBack(platform, "rabbitmq"),
      bringBack(platform, "postgres").then(() => bringBack(platform, "mongodb")),
    ]);
    const healMs = await untilLogsWell(platform);
    await Bun.sleep(1_000);
    const samples = await load.stop();
    const verdict = await history.verdict({ withinMs: 120_000 });
    const logs = summarize(samples.filter(({ what }) => what === "log"));
    const mails = summarize(samples.filter(({ what }) => what === "mail"));
    return concluded(verdict, {
      healMs,
      figures: {
        calls: samples.length,
        logs_spooled: logs.byDegraded["logger=spooled"] ?? 0,
        log_p99_ms: logs.p99,
        mails: mails.calls,
        mails_refused: mails.calls - mails.accepted,
        mail_p99_ms: mails.p99,
      },
      broken: [
        ...dishonest(samples),
        ...(logs.accepted < logs.calls
          ? [`${logs.calls - logs.accepted} log calls refused (${JSON.stringify(logs.byStatus)})`]
          : []),
      ],
    });
  },
};

export const cases: readonly FaultCase[] = [swizzle, allAway];
