/** What a backing service is to the tools that start the platform: where it is, where it came from, how to end it. */

export type BackingName = "postgres" | "mongodb" | "rabbitmq" | "smtp";
export const BACKING_NAMES: readonly BackingName[] = ["rabbitmq", "postgres", "mongodb", "smtp"];

/** A backing service that answers by its protocol. */
export interface Backing {
  readonly name: BackingName;
  /** As a client takes it, without a database: `postgres://…`, `mongodb://…`, `amqp://…`, `smtp://…`. */
  readonly url: string;
  /** A page for people, where it has one (the inbox, RabbitMQ's management). */
  readonly web?: string;
  /** Where it came from, for the table: `embedded PostgreSQL 18.4`, `private node of rabbitmq-server 3.10.8`, `DATABASE_URL`. */
  readonly source: string;
  /** What its clients have to do without, in a few words (`no TTL or text indexes`). */
  readonly lacks?: string;
  /** The process that serves it, if we started one (the server itself, not a launcher). */
  readonly pid?: number;
  /** From the first look until it answered (ms). */
  readonly tookMs: number;
  /** Ends what we started and waits for it (10 s, then SIGKILL); does nothing to a server that is not ours. Idempotent. */
  stop(): Promise<void>;
}

/** A backing service that can be had in no way on this machine. */
export interface Missing {
  readonly name: BackingName;
  /** One line a way that was tried: what, and why not. */
  readonly tried: readonly string[];
  /** The one command or setting that helps most here. */
  readonly remedy: string;
  /** A URL was configured, and that server can't be used: to go on without it would hide a mistake. */
  readonly configured: boolean;
}

export interface StartOptions {
  /** Absolute path; each service keeps its files below it (`pg/ mongo/ rmq/ mail/`), logs in `logs/`. */
  readonly dataDir: string;
  /** `usual`: the usual local port where it is free, else a free one. `free`: never a usual port (tests). */
  readonly ports: "usual" | "free";
  /** URLs that the environment gives. A configured one is used, or fails; nothing else is tried. */
  readonly configured: Partial<Record<BackingName, string>>;
  /** What is being tried, for the live status. */
  readonly onProgress: (name: BackingName, doing: string) => void;
  /** Fires when the person gives up: what has been started by then is stopped. */
  readonly signal: AbortSignal;
  /** Serve RabbitMQ's management page too, where the installation has it (about a second more to start). Default: no. */
  readonly management?: boolean;
}
