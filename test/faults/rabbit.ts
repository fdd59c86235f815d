/** What cases do to RabbitMQ beyond killing it, and what they look at there. Needs a node that is a process of ours, on Linux. */
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Channel, ChannelModel, ConfirmChannel } from "amqplib";
import { HEADER_ERROR, LOGS_EXCHANGE, LOGS_QUEUE, routingKeyOf } from "#contracts/events";
import { run } from "../../dev/backing/commands.ts";
import { findInstallation } from "../../dev/backing/rabbitmq-install.ts";
import type { ServiceName } from "../../dev/services.ts";
import { type Platform, until } from "../kit.ts";
import { metricOf } from "../../dev/chaos/scene.ts";

/** The command starts an Erlang machine of its own, which takes seconds. */
const CTL_MS = 60_000;
/** Worker threads of a listener, by default. */
const WORKERS = 2;
const ASK_MS = 2_000;

/** Runs `rabbitmqctl` at the platform's own node. @returns what it said. */
export async function rabbitmqctl(platform: Platform, ...args: string[]): Promise<string> {
  const { pid } = platform.stack.part("rabbitmq");
  if (pid === undefined) throw new Error("RabbitMQ is not a process of this platform");
  // The node's cookie, name and port mapper are its own: they stand in its environment and nowhere else.
  const environ = await readFile(`/proc/${pid}/environ`, "utf8");
  const pairs = environ.split("\0").flatMap((pair) => {
    const at = pair.indexOf("=");
    return at > 0 ? [[pair.slice(0, at), pair.slice(at + 1)] as const] : [];
  });
  return run(join(dirname(findInstallation().server), "rabbitmqctl"), args, {
    timeoutMs: CTL_MS,
    signal: new AbortController().signal,
    env: Object.fromEntries(pairs.filter(([name]) => !name.startsWith("RABBITMQ_SERVER_"))),
  });
}

async function connected<C extends Channel, T>(
  platform: Platform,
  open: (model: ChannelModel) => Promise<C>,
  work: (channel: C) => Promise<T>,
): Promise<T> {
  const model = await platform.rabbit();
  model.on("error", () => undefined);
  try {
    const channel = await open(model);
    channel.on("error", () => undefined);
    return await work(channel);
  } finally {
    await model.close().catch(() => undefined); // What the work did may have closed it.
  }
}

/** Some work on a channel of its own at RabbitMQ. */
export function withChannel<T>(platform: Platform, work: (channel: Channel) => Promise<T>): Promise<T> {
  return connected(platform, (model) => model.createChannel(), work);
}

/** The same on a channel with confirms. */
export function withConfirms<T>(platform: Platform, work: (channel: ConfirmChannel) => Promise<T>): Promise<T> {
  return connected(platform, (model) => model.createConfirmChannel(), work);
}

/** Consumers of the events' queue; 0 while there is no such queue. */
export function consumers(platform: Platform): Promise<number> {
  return withChannel(platform, async (channel) => (await channel.checkQueue(LOGS_QUEUE)).consumerCount).catch(() => 0);
}

/** Waits until every worker of the listener consumes events. @returns how long that took (ms). */
export async function untilConsuming(platform: Platform, ms = 20_000): Promise<number> {
  const began = performance.now();
  await until("the listener consumes", async () => (await consumers(platform)) >= WORKERS, ms);
  return performance.now() - began;
}

/** Waits until the listener has dealt with something again, while events are published all the time. @returns how long that took (ms). */
export async function untilResumed(platform: Platform, ms = 60_000): Promise<number> {
  const began = performance.now();
  const done = (): Promise<number | undefined> =>
    metricOf(platform, "listener", "listener_messages_total", { result: "done" });
  const before = (await done()) ?? 0;
  await until("the listener goes on", async () => ((await done()) ?? 0) > before, ms);
  return performance.now() - began;
}

let probes = 0;

/** Publishes an event as a foreign client does, again until it is taken, and waits until it is stored. @returns how long that took (ms). */
export async function untilEventsFlow(platform: Platform, ms = 30_000): Promise<number> {
  const began = performance.now();
  const name = `flow-${process.pid}-${(probes += 1)}`;
  const body = Buffer.from(JSON.stringify({ name, data: name }));
  const take = async (channel: ConfirmChannel): Promise<boolean> => {
    let routed = true;
    channel.on("return", () => (routed = false));
    channel.publish(LOGS_EXCHANGE, routingKeyOf("INFO"), body, { persistent: true, mandatory: true, messageId: name });
    await channel.waitForConfirms();
    return routed;
  };
  await until("an event is taken", () => withConfirms(platform, take), ms);
  await until("the event is stored", async () => (await platform.entries.countDocuments({ name })) === 1, ms);
  return performance.now() - began;
}

export interface HitCount {
  /** Whether not exactly `accepted` hits are stored as events of the broker's own, in words; empty where all is well. */
  missing(accepted: number, withinMs?: number): Promise<string[]>;
}

/** Counts from now on: events of the broker's own have no name of ours. Nobody else may hit it meanwhile. */
export async function countHits(platform: Platform): Promise<HitCount> {
  const stored = (): Promise<number> => platform.entries.countDocuments({ name: "broker_hit" });
  const before = await stored();
  return {
    async missing(accepted, withinMs = 20_000) {
      await until("all hits are stored", async () => (await stored()) >= before + accepted, withinMs).catch(
        () => undefined,
      );
      const found = (await stored()) - before;
      return found === accepted ? [] : [`of ${accepted} hits that were accepted ${found} are stored`];
    },
  };
}

/** Resident memory of a process (bytes). */
export async function residentBytes(pid: number): Promise<number> {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, "utf8"))?.[1];
  if (kilobytes === undefined) throw new Error(`process ${pid} has no memory`);
  return Number(kilobytes) * 1_024;
}

/** Takes everything out of a queue. @returns reasons and bodies. */
export async function takeAll(platform: Platform, queue: string): Promise<{ error: string; body: Buffer }[]> {
  return withChannel(platform, async (channel) => {
    const taken: { error: string; body: Buffer }[] = [];
    for (let got = await channel.get(queue); got !== false; got = await channel.get(queue)) {
      taken.push({ error: String(got.properties.headers?.[HEADER_ERROR]), body: got.content });
      channel.ack(got);
    }
    return taken;
  });
}

/** A bar that was missed, in words; nothing where it was met. */
export function over(what: string, value: number, bar: number, unit = "ms"): string[] {
  return value <= bar ? [] : [`${what}: ${Math.round(value)} ${unit}, and not ${bar} ${unit}`];
}

/** What a service says in `/ready` of one of its dependencies. */
export async function stateOf(
  platform: Platform,
  service: ServiceName,
  dependency: string,
): Promise<string | undefined> {
  const answer = await fetch(`${platform.url(service)}/ready`, { signal: AbortSignal.timeout(ASK_MS) });
  const body = (await answer.json()) as { data: { dependencies: { name: string; state: string }[] } };
  return body.data.dependencies.find(({ name }) => name === dependency)?.state;
}

/**
 * Sends everything that no queue wanted once more, by the listener's own tool: what is published while a queue is
 * deleted ends there, where the server has the policy for it. @returns how many.
 */
export async function replayUnrouted(platform: Platform): Promise<number> {
  let replayed = 0;
  await until(
    "nothing is unrouted",
    async () => {
      const answer = await platform.post("listener", "/events/dead-letters/replay", {
        parked: "unrouted",
        rate: 1_000,
      });
      const { done, matched } = answer.body.data as { done: number; matched: number };
      replayed += done;
      return matched === 0;
    },
    60_000,
  );
  return replayed;
}
