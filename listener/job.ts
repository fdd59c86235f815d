/** What a job is: work in the background that the listener does for a message. How to add one: docs/jobs.md. */
import type { Static, TSchema } from "@sinclair/typebox";
import type { Publisher } from "#shared/amqp";
import type { JsonClient } from "#shared/client";
import type { Result } from "#shared/errors";
import type { Log } from "#shared/log";
import type { Deadline } from "#shared/resilience";
import type { RpcClient } from "#shared/rpc";
import type { Trace } from "#shared/telemetry";
import { makeValidator, type Validator } from "#shared/validation";

/** The listener's ways out, which every job may use. */
export interface JobPorts {
  /** The mail service, by HTTP. */
  readonly mail: JsonClient;
  /** The logger, by RPC. */
  readonly logger: RpcClient;
  /** RabbitMQ: events and further jobs. */
  readonly publisher: Publisher;
  readonly log: Log;
}

export interface JobContext {
  /** The message's id: the same at every try, so that what is done twice can have the effect of once. */
  readonly id: string;
  readonly trace: Trace;
  /** The end of `timeLimitMs`. */
  readonly deadline: Deadline;
  /** How often it failed before by a fault of its own. */
  readonly attempts: number;
  readonly ports: JobPorts;
}

export interface JobOptions<S extends TSchema> {
  /** Of the message's body. What does not fit is dead-lettered, and never reaches `run`. */
  readonly schema: S;
  /** Messages that a worker has in hand at a time (default 20). */
  readonly prefetch?: number;
  /** Of these, how many it works on at a time (default 4). */
  readonly concurrent?: number;
  /** Longest that one run may take (ms, default 30,000, at most 15 min). */
  readonly timeLimitMs?: number;
  /**
   * Does it. May be called again with the same `id`, also after it succeeded.
   * The code of a failure decides what follows (shared/errors, column `queue`): held until the neighbour is back,
   * tried again through the delay queues, or dead-lettered. What it throws counts as `internal`.
   */
  readonly run: (content: Static<S>, context: JobContext) => Promise<Result<void>>;
  /**
   * Whether the neighbour that it needs is well: asked before the first message is taken, every 5 s, and while
   * messages are held. `/ready` then shows it under the job's name. Default: it needs none.
   */
  readonly probe?: (ports: JobPorts, deadline: Deadline) => Promise<Result<void>>;
}

/** A job as its lane sees it: the type of its content is its own affair. */
export interface Job {
  readonly prefetch: number;
  readonly concurrent: number;
  readonly timeLimitMs: number;
  readonly validate: Validator<unknown>;
  readonly run: (content: unknown, context: JobContext) => Promise<Result<void>>;
  readonly probe: ((ports: JobPorts, deadline: Deadline) => Promise<Result<void>>) | undefined;
}

const PREFETCH = 20;
const CONCURRENT = 4;
const TIME_LIMIT_MS = 30_000;
/** RabbitMQ takes a message back after 30 min. */
const MAX_TIME_LIMIT_MS = 15 * 60_000;

/** What a file of `jobs/` exports as `job`. */
export function defineJob<S extends TSchema>(options: JobOptions<S>): Job {
  const { schema, prefetch = PREFETCH, concurrent = CONCURRENT, timeLimitMs = TIME_LIMIT_MS, probe } = options;
  if (timeLimitMs > MAX_TIME_LIMIT_MS) throw new RangeError(`timeLimitMs is at most ${MAX_TIME_LIMIT_MS}`);
  return {
    prefetch,
    concurrent,
    timeLimitMs,
    validate: makeValidator(schema),
    // Its lane hands on what `validate` let through.
    run: (content, context) => options.run(content, context),
    probe,
  };
}
