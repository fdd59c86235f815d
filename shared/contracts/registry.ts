/** Instances announce themselves to whoever calls them: about once a second, and once more when they go. Owner: each service of its own. */
import { type Static, Type } from "@sinclair/typebox";

/** Topic exchange, durable; the routing key is the service's name. Messages are not persistent: what counts is said again a second later. */
export const REGISTRY_EXCHANGE = "registry";

const one = <const T extends string>(...values: T[]) => Type.Union(values.map((value) => Type.Literal(value)));

/** Services that are called by others. */
export const REGISTERED = ["auth", "logger", "mail", "listener"] as const;
export type RegisteredService = (typeof REGISTERED)[number];

export const Announcement = Type.Object({
  service: one(...REGISTERED),
  /** Another one for each start of a process. */
  instance: Type.String({ minLength: 1, maxLength: 64, pattern: "^[\\w-]+$" }),
  /** Where it is to be called: scheme, host and port, nothing else. */
  url: Type.String({ minLength: 8, maxLength: 300 }),
  /** Of the logger. */
  rpc_url: Type.Optional(Type.String({ minLength: 8, maxLength: 300 })),
  version: Type.String({ minLength: 1, maxLength: 64, pattern: "^[\\w.+-]+$" }),
  /** RFC 3339. */
  started_at: Type.String({ maxLength: 40 }),
  /** When this was said (RFC 3339): what is older than what is known already, or than a minute, counts for nothing. */
  at: Type.String({ maxLength: 40 }),
  /** `leaving`: it takes nothing new from now on. */
  state: one("up", "leaving"),
});
export type Announcement = Static<typeof Announcement>;

/**
 * The body of a message (JSON, at most 4 KiB): the announcement as text, so that what is signed is what is read, and its
 * signature (Ed25519, RFC 8032, over the text's UTF-8; base64url) by the service's announcing key.
 */
export const SignedAnnouncement = Type.Object({
  announcement: Type.String({ minLength: 2, maxLength: 2_048 }),
  signature: Type.Optional(Type.String({ minLength: 86, maxLength: 86, pattern: "^[\\w-]+$" })),
});
export type SignedAnnouncement = Static<typeof SignedAnnouncement>;
