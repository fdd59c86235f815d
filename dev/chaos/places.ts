/** Looking into queues and spools without taking anything out of them. */
import { cp, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeLog } from "#shared/log";
import { openSpool } from "#shared/spool";
import { makeMetrics } from "#shared/telemetry";
import { until } from "../until.ts";
import type { Grounds } from "./grounds.ts";

/** More than any case leaves behind; reading them takes a second for a few thousand. */
const PEEK_MAX = 1_000_000;
const READ_SPOOL_MS = 30_000;

/** What of one's own a text speaks of. */
export type Mentioned = (text: string) => readonly string[];

/** The names that occur in a queue's messages. They are taken without an acknowledgement and given back. */
export async function namesInQueue(platform: Grounds, queue: string, mentioned: Mentioned): Promise<string[]> {
  const model = await platform.rabbit();
  model.on("error", () => undefined);
  try {
    const channel = await model.createChannel();
    channel.on("error", () => undefined);
    const names: string[] = [];
    for (let seen = 0; seen < PEEK_MAX; seen += 1) {
      const message = await channel.get(queue, { noAck: false });
      if (message === false) break;
      names.push(...mentioned(`${message.content.toString("latin1")} ${String(message.properties.messageId)}`));
    }
    await channel.close();
    return names;
  } catch (error) {
    // No such queue (404): nothing can be in it.
    if (error instanceof Error && "code" in error && error.code === 404) return [];
    throw error;
  } finally {
    await model.close();
  }
}

/** The names that occur in records of the broker's spools that are not yet handed on: read from copies of them. */
export async function namesInSpools(platform: Grounds, mentioned: Mentioned): Promise<string[]> {
  const spools = join(platform.stack.dataDir, "spool", "broker");
  const copies = await mkdtemp(join(tmpdir(), "platform-spool-"));
  try {
    const names: string[] = [];
    for (const spool of await readdir(spools).catch(() => [])) {
      await cp(join(spools, spool), join(copies, spool), { recursive: true });
      names.push(...(await namesInSpool(join(copies, spool), mentioned)));
    }
    return names;
  } finally {
    await rm(copies, { recursive: true, force: true });
  }
}

async function namesInSpool(dir: string, mentioned: Mentioned): Promise<string[]> {
  const names: string[] = [];
  using metrics = makeMetrics("faults", "0");
  await using spool = await openSpool({ dir, log: makeLog({ service: "faults", level: "silent" }), metrics });
  await using _forwarding = spool.forward((batch) => {
    for (const record of batch) names.push(...mentioned(`${JSON.stringify(record.body)} ${record.id}`));
    return Promise.resolve(batch.map(() => "delivered" as const));
  });
  await until("the copy of the spool is read", () => spool.records === 0, READ_SPOOL_MS);
  return names;
}
