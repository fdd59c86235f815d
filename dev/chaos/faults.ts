/** The eight things that can happen to a part of the running platform, and how each ends. */
import { type ChaosFault, CHAOS_FAULTS, type ChaosPart } from "#contracts/chaos";
import { BACKING_NAMES, type BackingName } from "../backing/types.ts";
import type { Part } from "../part.ts";
import { SERVICE_NAMES, type ServiceName } from "../services.ts";
import { until } from "../until.ts";
import type { Grounds } from "./grounds.ts";
import { endsOf, HOP_NAMES, type Hop, type Hops } from "./hops.ts";
import type { ProxyFaults } from "./proxy.ts";
import { bringBack, kill, type PartName } from "./scene.ts";

/** A fault that is under way. */
export interface Broken {
  /** Ends it: resolves once the part runs, and nothing is wrong with its ways. */
  heal(): Promise<void>;
}

/** What faults are done to. */
type Ground = Pick<Grounds, "stack" | "hops">;

interface FaultKind {
  readonly about: string;
  /** To its process, or to every way from and to it. */
  readonly of: "process" | "ways";
  readonly begin: (ground: Ground, name: PartName) => Promise<Broken>;
}

/** Between two looks whether a killed one is there again (ms). */
const AGAIN_EVERY_MS = 20;
const SLOW_MS = 300;
const TRICKLE: ProxyFaults = { sliceBytes: 64, latencyMs: 20 };

const KINDS: Readonly<Record<ChaosFault, FaultKind>> = {
  kill: {
    about: "kill -9, and it stays away",
    of: "process",
    async begin({ stack }, name) {
      await kill({ stack }, name);
      return { heal: () => back({ stack }, name) };
    },
  },
  crash_loop: {
    about: "kill -9 each time that its supervisor has started it again",
    of: "process",
    begin({ stack }, name) {
      const part: Part = stack.part(name);
      const ended = new AbortController();
      const killing = (async () => {
        for (let last: number | undefined; !ended.signal.aborted; await Bun.sleep(AGAIN_EVERY_MS)) {
          const { pid } = part;
          if (pid === undefined || pid === last) continue;
          last = pid;
          part.kill("SIGKILL");
        }
      })();
      return Promise.resolve({
        async heal() {
          ended.abort();
          await killing;
          // As an operator does it: else its supervisor waits longer after each crash.
          await part.stop();
          await back({ stack }, name);
        },
      });
    },
  },
  stop: {
    about: "SIGTERM: it ends what it has in hand, and stays away",
    of: "process",
    async begin({ stack }, name) {
      await stack.part(name).stop();
      return { heal: () => back({ stack }, name) };
    },
  },
  freeze: {
    about: "SIGSTOP: its connections stay, and no answer comes",
    of: "process",
    begin({ stack }, name) {
      const part: Part = stack.part(name);
      part.kill("SIGSTOP");
      return Promise.resolve({
        heal() {
          part.kill("SIGCONT");
          return running(part);
        },
      });
    },
  },
  slow: { about: `each byte comes ${SLOW_MS} ms later, both ways`, of: "ways", begin: wrong({ latencyMs: SLOW_MS }) },
  cut: {
    about: "connections are reset, and new ones refused",
    of: "ways",
    begin: wrong({ refuse: true }, ({ hops }, ways) => ways.forEach((hop) => hops.proxies[hop].cut())),
  },
  blackhole: { about: "bytes vanish, and nobody is told", of: "ways", begin: wrong({ blackhole: true }) },
  trickle: {
    about: `bytes come in pieces of ${TRICKLE.sliceBytes}, each ${TRICKLE.latencyMs} ms later`,
    of: "ways",
    begin: wrong(TRICKLE),
  },
};

function wrong(faults: ProxyFaults, also?: (ground: Ground, ways: readonly Hop[]) => void): FaultKind["begin"] {
  return async (ground, name) => {
    const ways = waysOf(ground.hops, name);
    for (const hop of ways) await ground.hops.proxies[hop].misbehave(faults);
    also?.(ground, ways);
    return {
      async heal() {
        for (const hop of ways) await ground.hops.proxies[hop].heal();
      },
    };
  };
}

async function back(ground: Pick<Ground, "stack">, name: PartName): Promise<void> {
  await bringBack(ground, name);
}

/** RabbitMQ takes seconds to start, more on a busy machine (ms). */
const RUNNING_MS = 60_000;

async function running(part: Part): Promise<void> {
  await until(`${part.name} runs`, () => part.state === "running", RUNNING_MS);
}

/** Every way from and to a part that leads through a proxy. */
function waysOf(hops: Hops, name: PartName): Hop[] {
  return HOP_NAMES.filter((hop) => endsOf(hop).includes(name) && hops.isProxied(hop));
}

/** Why this can't happen to this part here; undefined where it can. */
function whyNot({ stack, hops }: Ground, name: PartName, fault: ChaosFault): string | undefined {
  if (KINDS[fault].of === "ways") {
    return waysOf(hops, name).length > 0 ? undefined : "it is not on this machine: no proxy stands before it";
  }
  if (stack.services.has(name as ServiceName)) return undefined;
  const part = stack.backing.get(name as BackingName);
  if (part?.current.pid === undefined) return `it is not ours to end: ${part?.current.source ?? "it was not started"}`;
  if (fault === "freeze" && name === "postgres") return "it is many processes: its open connections would go on";
  return undefined;
}

/** All parts that are there, each with what can happen to it. */
export function partsOf(ground: Ground): ChaosPart[] {
  const { services, backing } = ground.stack;
  const names: PartName[] = [...SERVICE_NAMES, ...BACKING_NAMES].filter(
    (name) => services.has(name as ServiceName) || backing.has(name as BackingName),
  );
  return names.map((name) => {
    const why = CHAOS_FAULTS.map((fault) => ({ fault, why: whyNot(ground, name, fault) }));
    return {
      name,
      state: ground.stack.part(name).state,
      offers: why.flatMap(({ fault, why: no }) => (no === undefined ? [{ fault, about: KINDS[fault].about }] : [])),
      refuses: why.flatMap(({ fault, why: no }) => (no === undefined ? [] : [{ fault, why: no }])),
    };
  });
}

/** Why this fault of this part can't be had; undefined where it can. */
export function whyRefused(ground: Ground, fault: ChaosFault, name: string): string | undefined {
  const part = partsOf(ground).find((one) => one.name === name);
  return part === undefined ? "there is no such part" : part.refuses.find((one) => one.fault === fault)?.why;
}

/** Begins a fault that `partsOf` offers. */
export function breakIt(ground: Ground, fault: ChaosFault, name: PartName): Promise<Broken> {
  return KINDS[fault].begin(ground, name);
}
