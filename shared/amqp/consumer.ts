/** Consumes queues over one connection of its own, which it opens again for ever; a watchdog sees when nothing comes though it should. */
import type { Channel, ChannelModel } from "amqplib";
import type { Secret } from "#shared/config";
import type { Log } from "#shared/log";
import { keepConnected } from "./connection.ts";
import { type Lane, type LaneOptions, makeLane } from "./lane.ts";
import { TopologyMismatch } from "./mismatch.ts";
import { declareTopology, type Topology } from "./topology.ts";

/** How often RabbitMQ is asked about the queues, and how long it may take to answer (ms). */
const WATCH_MS = 5_000;

export interface ConsumerOptions {
  url: Secret;
  /** As RabbitMQ's tools show the connection, e.g. `listener consume 1`. */
  name: string;
  log: Log;
  topology: Topology;
  lanes: readonly LaneOptions[];
  /** Every lane is open. */
  onUp: () => void;
  onDown: (reason: unknown) => void;
  /** A part of the topology exists with another shape: nothing is consumed, and trying again does not help. */
  onMismatch: (mismatch: TopologyMismatch) => void;
  /** Time between two looks of the watchdog (ms, default 5,000). */
  watchMs?: number;
}

export interface Consumer extends AsyncDisposable {
  /** In the order of the options. */
  readonly lanes: readonly Lane[];
  /** Acknowledges what is settled and closes the connection; the rest goes back to its queue. Idempotent. */
  [Symbol.asyncDispose](): Promise<void>;
}

export function makeConsumer(options: ConsumerOptions): Consumer {
  const { log, topology, watchMs = WATCH_MS } = options;
  const lanes = options.lanes.map(makeLane);
  let stopWatching = (): void => undefined;

  const connection = keepConnected({
    url: options.url,
    name: options.name,
    log,
    open,
    onLost(reason) {
      lose();
      options.onDown(reason);
    },
  });

  function lose(): void {
    stopWatching();
    for (const lane of lanes) lane.lose();
  }

  async function open(model: ChannelModel, fail: (reason: Error) => void): Promise<void> {
    model.on("close", lose);
    for (const refusal of await declareTopology(model, topology)) {
      if (refusal instanceof TopologyMismatch) {
        options.onMismatch(refusal);
        throw refusal;
      }
      // Perhaps somebody else declares it: what is missing in the end is told by the consumer's own failure.
      log.warn("RabbitMQ: not declared", { reason: refusal });
    }
    const watch = await model.createChannel();
    watch.on("error", fail);
    for (const lane of lanes) await lane.open(model, fail);
    stopWatching = startWatchdog(watch, fail);
    options.onUp();
  }

  /** Asks for each queue that is consumed whether its consumers are there and its messages come. */
  function startWatchdog(channel: Channel, fail: (reason: Error) => void): () => void {
    const idle = new Map<Lane, number>();
    let answered = true;
    const look = async (): Promise<void> => {
      for (const lane of lanes) {
        const { consumer } = lane;
        const { messageCount, consumerCount } = await channel.checkQueue(lane.queue);
        // What was answered may be of a moment without a consumer, which is as it should be.
        if (consumer === undefined || consumer !== lane.consumer) {
          idle.delete(lane);
          continue;
        }
        if (consumerCount === 0) fail(new Error(`connected, but ${lane.queue} has no consumer`));
        const isIdle = messageCount > 0 && lane.inHand === 0;
        if (isIdle && idle.get(lane) === lane.delivered)
          fail(new Error(`connected, but nothing comes of ${lane.queue}`));
        if (isIdle) idle.set(lane, lane.delivered);
        else idle.delete(lane);
      }
      answered = true;
    };
    const timer = setInterval(() => {
      if (!answered) {
        fail(new Error("RabbitMQ does not answer"));
        return;
      }
      answered = false;
      look().catch(fail);
    }, watchMs);
    return () => clearInterval(timer);
  }

  return {
    lanes,
    async [Symbol.asyncDispose]() {
      stopWatching();
      await Promise.all(lanes.map((lane) => lane.close()));
      await connection[Symbol.asyncDispose]();
      lose();
    },
  };
}
