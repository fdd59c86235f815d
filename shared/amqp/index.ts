export type { OutgoingMessage, Publisher, PublisherOptions, PublisherState } from "./types.ts";
