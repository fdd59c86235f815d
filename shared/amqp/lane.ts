/** One queue that is consumed: its channel, its deliveries in hand, its acknowledgements. */
import type { Channel, ChannelModel, Message } from "amqplib";
import { sleep } from "#shared/resilience";
import { makeAckWindow } from "./ack-window.ts";
import { decode, type IncomingMessage } from "./delivery.ts";

/** Longest for closing a channel (ms). */
const CLOSE_MS = 1_000;
/** What is dealt with waits so long (ms) for what came before it, to be acknowledged together; then it goes alone. */
const TOGETHER_MS = 100;

export interface LaneOptions {
  readonly queue: string;
  /** Deliveries in hand at a time, until `setPrefetch` says otherwise. */
  readonly prefetch: number;
  readonly onDelivery: (delivery: Delivery) => void;
  /** All that was in hand went back to the queue: nothing more needs to be done about it. */
  readonly onLost: () => void;
}

export interface Delivery {
  readonly message: IncomingMessage;
  /** It is dealt with, and acknowledged within 100 ms. Without effect once it went back to the queue. */
  readonly settle: () => void;
}

export interface Lane {
  readonly queue: string;
  /** Deliveries that are not dealt with. */
  readonly inHand: number;
  /** Its consumer by RabbitMQ's name, another one each time that it begins to consume; undefined where it does not, and while that changes. */
  readonly consumer: string | undefined;
  /** Counts deliveries since the start. */
  readonly delivered: number;
  /** Whether deliveries are wanted (at first not); holds over reconnections. @returns when the server has done it, or cannot. */
  setFlow(on: boolean): Promise<void>;
  /** Deliveries in hand at a time, from now on. What is in hand stays there, also where it is more. */
  setPrefetch(count: number): Promise<void>;
  /** Acknowledges what is dealt with, now. */
  flush(): void;
  /** Gives back what is in hand: it is delivered again, somewhere, and its count of deliveries grows by one. */
  requeue(): void;
  /** Opens it on a new connection. @param fail tells that the connection is of no use. */
  open(model: ChannelModel, fail: (reason: Error) => void): Promise<void>;
  /** The connection is gone. */
  lose(): void;
  /** Acknowledges what is settled and closes the channel, within a second. */
  close(): Promise<void>;
}

/** What belongs to one channel, and ends with it: a delivery of an older one can do nothing on a newer one. */
interface Generation {
  readonly channel: Channel;
  readonly fail: (reason: Error) => void;
  window: ReturnType<typeof makeAckWindow>;
  consumerTag: string | undefined;
  /** What its consumer was started with. */
  prefetch: number;
  flushing: boolean;
  straggling: ReturnType<typeof setTimeout> | undefined;
  /** Starting or stopping to consume, one after the other. */
  switching: Promise<void>;
}

export function makeLane({ queue, onDelivery, onLost, ...options }: LaneOptions): Lane {
  let { prefetch } = options;
  let generation: Generation | undefined;
  let flow = false;
  let delivered = 0;

  function accept(of: Generation, raw: Parameters<Parameters<Channel["consume"]>[1]>[0]): void {
    if (raw === null) {
      of.fail(new Error(`RabbitMQ cancelled the consumer of ${queue}: the queue was deleted or has moved`));
      return;
    }
    const { window } = of;
    const tag = raw.fields.deliveryTag;
    window.open(tag);
    delivered += 1;
    onDelivery({
      message: decode(raw),
      settle: () => {
        if (of !== generation || window !== of.window) return;
        window.settle(tag);
        if (of.flushing) return;
        of.flushing = true;
        setImmediate(acknowledge, of);
      },
    });
  }

  function acknowledge(of: Generation): void {
    acknowledgeTogether(of);
    if (of === generation && of.window.hasStragglers) of.straggling ??= setTimeout(acknowledgeEach, TOGETHER_MS, of);
  }

  function acknowledgeEach(of: Generation): void {
    clearTimeout(of.straggling);
    of.straggling = undefined;
    acknowledgeTogether(of);
    if (of !== generation) return;
    for (const tag of of.window.stragglers()) attempt(of, () => of.channel.ack(tagged(tag)));
  }

  function acknowledgeTogether(of: Generation): void {
    of.flushing = false;
    const upTo = of === generation ? of.window.advance() : undefined;
    if (upTo !== undefined) attempt(of, () => of.channel.ack(tagged(upTo), true));
  }

  /** A channel that is just closing throws: it gives back what is in hand by itself. */
  function attempt(of: Generation, send: () => void): void {
    try {
      send();
    } catch (error) {
      of.fail(error as Error);
    }
  }

  /** Brings the channel to what is wanted. */
  function follow(of: Generation): void {
    of.switching = of.switching
      .then(async () => {
        if (of !== generation) return;
        // A consumer keeps the prefetch that it began with.
        if (of.consumerTag !== undefined && (!flow || of.prefetch !== prefetch)) {
          const { consumerTag } = of;
          of.consumerTag = undefined;
          await of.channel.cancel(consumerTag);
        }
        if (flow && of.consumerTag === undefined) {
          of.prefetch = prefetch;
          await of.channel.prefetch(prefetch);
          of.consumerTag = (await of.channel.consume(queue, (raw) => accept(of, raw))).consumerTag;
        }
      })
      .catch((error: Error) => of.fail(error));
  }

  async function followNow(): Promise<void> {
    if (generation === undefined) return;
    follow(generation);
    await generation.switching;
  }

  return {
    queue,
    get inHand() {
      return generation?.window.unsettled ?? 0;
    },
    get consumer() {
      return generation?.consumerTag;
    },
    get delivered() {
      return delivered;
    },
    async setFlow(on) {
      flow = on;
      await followNow();
    },
    async setPrefetch(count) {
      prefetch = count;
      await followNow();
    },
    flush() {
      if (generation !== undefined) acknowledgeEach(generation);
    },
    requeue() {
      const of = generation;
      if (of === undefined) return;
      acknowledgeEach(of);
      of.window = makeAckWindow();
      attempt(of, () => of.channel.nackAll(true));
      onLost();
    },
    async open(model, fail) {
      const channel = await model.createChannel();
      channel.on("error", fail);
      channel.on("close", () => {
        if (generation?.channel === channel) fail(new Error(`the channel of ${queue} was closed`));
      });
      channel.on("handler-error", fail);
      const of: Generation = {
        channel,
        fail,
        window: makeAckWindow(),
        consumerTag: undefined,
        prefetch,
        flushing: false,
        straggling: undefined,
        switching: Promise.resolve(),
      };
      generation = of;
      follow(of);
      await of.switching;
    },
    lose() {
      if (generation === undefined) return;
      generation = undefined;
      onLost();
    },
    async close() {
      const of = generation;
      if (of === undefined) return;
      acknowledgeEach(of);
      generation = undefined;
      const patience = new AbortController();
      const closed = of.channel.close().catch(() => undefined); // The connection was lost first.
      await Promise.race([closed, sleep(CLOSE_MS, patience.signal).catch(() => undefined)]);
      patience.abort(new Error("closed"));
      onLost();
    },
  };
}

/** amqplib takes a message where only its tag matters. */
function tagged(deliveryTag: number): Message {
  return { fields: { deliveryTag } } as Message;
}
