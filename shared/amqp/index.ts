/** Messaging with RabbitMQ: one publisher, consumers, and the topology that both declare. */
export { bindingsField, queueField } from "./fields.ts";
export { type Consumer, type ConsumerOptions, makeConsumer } from "./consumer.ts";
export type { IncomingMessage } from "./delivery.ts";
export type { Delivery, Lane, LaneOptions } from "./lane.ts";
export { type Look, openParked, type ParkedMessage, type ParkedQueues, type QueueCount } from "./parked.ts";
export { isUnroutable, makePublisher } from "./publisher.ts";
export { type Destination, openResender, type Resender } from "./resend.ts";
export { processing } from "./spans.ts";
export { makeSubscriber, type SubscriberOptions } from "./subscriber.ts";
export { makeTeller, type Teller, type TellerOptions } from "./teller.ts";
export { type Topology, type TopologyOptions, topologyOf } from "./topology.ts";
export type { OutgoingMessage, Publisher, PublisherOptions, PublisherState } from "./types.ts";
