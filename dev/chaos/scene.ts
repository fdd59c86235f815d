/** What cases do to parts, and what they ask them. */
import { topologyOf } from "#shared/amqp";
import { outgoingTls } from "#shared/tls";
import type { Part } from "../part.ts";
import type { BackingName } from "../backing/types.ts";
import type { ServiceName } from "../services.ts";
import { until } from "../until.ts";
import type { Grounds } from "./grounds.ts";
import type { Hop } from "./hops.ts";

/** RabbitMQ takes seconds to start, more on a busy machine (ms). */
const RETURN_MS = 60_000;
const ASK_MS = 2_000;

export type PartName = ServiceName | BackingName;

/** Kills a part (-9) and keeps it down; give back `start` to have it again. */
export async function kill(platform: Pick<Grounds, "stack">, name: PartName): Promise<void> {
  const part: Part = platform.stack.part(name);
  part.kill("SIGKILL");
  // Else the supervisor starts it again when it thinks fit.
  await part.stop();
}

/** Starts a part that was killed or stopped; resolves when it is ready. @returns how long that took (ms). */
export async function bringBack(platform: Pick<Grounds, "stack">, name: PartName): Promise<number> {
  const part: Part = platform.stack.part(name);
  const began = performance.now();
  // A server that recovers from a kill may refuse its first start.
  await until(`${name} started`, () => part.start().then(() => true), RETURN_MS);
  await until(`${name} ready`, () => part.state === "running", RETURN_MS);
  return performance.now() - began;
}

/** Kills (-9) and starts again after `awayMs`. @returns how long the start took (ms). */
export async function killAndBringBack(platform: Grounds, name: PartName, awayMs = 0): Promise<number> {
  await kill(platform, name);
  await Bun.sleep(awayMs);
  return bringBack(platform, name);
}

/** Stops a part's process in its tracks (SIGSTOP) for so long: connections stay, answers don't come. */
export async function freeze(platform: Grounds, name: PartName, ms: number): Promise<void> {
  const part: Part = platform.stack.part(name);
  part.kill("SIGSTOP");
  try {
    await Bun.sleep(ms);
  } finally {
    part.kill("SIGCONT");
  }
}

/** The sum of a metric's series at a service whose labels hold all of these; undefined where it has none. */
export async function metricOf(
  platform: Grounds,
  service: ServiceName,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<number | undefined> {
  const answer = await fetch(`${platform.url(service)}/metrics`, {
    ...outgoingTls(),
    signal: AbortSignal.timeout(ASK_MS),
  });
  let sum: number | undefined;
  for (const line of (await answer.text()).split("\n")) {
    const [, found, given = "", value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (found !== name) continue;
    if (!Object.entries(labels).every(([label, text]) => given.includes(`${label}="${text}"`))) continue;
    sum = (sum ?? 0) + Number(value);
  }
  return sum;
}

/** Records that wait in the broker's spools. */
export async function spooled(platform: Grounds): Promise<number> {
  return (await metricOf(platform, "broker", "spool_records")) ?? 0;
}

/** Messages by queue: ready ones, of all queues of the topology that exist. */
export async function queueDepths(platform: Grounds): Promise<Map<string, number>> {
  const model = await platform.rabbit();
  model.on("error", () => undefined);
  try {
    const depths = new Map<string, number>();
    for (const { name } of topologyOf().queues) {
      const channel = await model.createChannel();
      channel.on("error", () => undefined);
      try {
        depths.set(name, (await channel.checkQueue(name)).messageCount);
        await channel.close();
      } catch {
        // There is no such queue: the server has closed the channel.
      }
    }
    return depths;
  } finally {
    await model.close();
  }
}

/** What waits to be worked on: spooled, in work and delay queues, and in the listener's hands. */
export async function waiting(platform: Grounds): Promise<{ spooled: number; queued: number; inHand: number }> {
  const depths = await queueDepths(platform);
  let queued = 0;
  for (const { name, role } of topologyOf().queues)
    if (role === "work" || role === "retry") queued += depths.get(name) ?? 0;
  return {
    spooled: await spooled(platform),
    queued,
    inHand: (await metricOf(platform, "listener", "listener_in_hand")) ?? 0,
  };
}

let probes = 0;

/** Waits until a log call is stored at once, undegraded. @returns how long that took (ms). */
export async function untilLogsWell(platform: Grounds, ms = 30_000, signal?: AbortSignal): Promise<number> {
  const began = performance.now();
  await until(
    "a log call that is not degraded",
    async () => {
      const answer = await platform.handle({
        action: "log",
        log: { name: `probe-${process.pid}-${(probes += 1)}`, data: "probe" },
      });
      return answer.status === 202 && answer.headers.get("x-degraded") === null;
    },
    ms,
    signal,
  );
  return performance.now() - began;
}

/** Between the broker and these there is no network any more: connections are reset, new ones refused. */
export async function cutOff(platform: Grounds, hops: readonly Hop[]): Promise<void> {
  for (const hop of hops) {
    await platform.hops.proxies[hop].misbehave({ refuse: true });
    platform.hops.proxies[hop].cut();
  }
}

/** Accepted entries can only go into the broker's spool. */
export const SPOOL_ONLY = ["broker-logger", "broker-rabbitmq"] as const satisfies readonly Hop[];
