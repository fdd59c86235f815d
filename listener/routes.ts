/** The operators' routes: queues, dead letters, and where a message is. In: translates, never decides. */
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { DeadLetterFilter, type DeadLetterOutcome, DropRequest, ReplayRequest } from "#contracts/dead-letters";
import { fail, type Result } from "#shared/errors";
import { actorOf, contextOf, envelope } from "#shared/http";
import { Deadline } from "#shared/resilience";
import type { CallerTable } from "#shared/service-keys";
import type { CallContext } from "#shared/telemetry";
import { makeQueryValidator, makeValidator } from "#shared/validation";
import { type Asked, DEFAULT_LIMIT, type DeadLetters } from "./dead-letters/dead-letters.ts";
import type { MessageIndex } from "./dead-letters/message-index.ts";

/** Which service may ask what. */
export const CALLERS: CallerTable = { broker: ["*"] };

const DEFAULT_ITEMS = 50;
const MAX_ITEMS = 500;
const ID_LENGTH = 128;
/** Taken from the request's time (ms), for giving back what is in hand, the last audit entry and the answer. */
const RESERVE_MS = 4_000;
/** The least that is worth beginning with (ms). */
const LEAST_MS = 1_000;

const noQuery = makeQueryValidator(Type.Object({}));
const listQuery = makeQueryValidator(
  Type.Object({
    ...DeadLetterFilter.properties,
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_ITEMS })),
    cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 2_048 })),
  }),
);
const replayOf = makeValidator(ReplayRequest, { unknown: "refuse" });
const dropOf = makeValidator(DropRequest, { unknown: "refuse" });

interface Call {
  readonly request: Request;
  readonly body: unknown;
}

/** @param stopping ends what is under way, in order. */
export function routes(deadLetters: DeadLetters, index: MessageIndex, stopping: AbortSignal) {
  /** The request's context, with the time in which something may be done. */
  function worked(context: CallContext): CallContext {
    const ms = Math.max(LEAST_MS, context.deadline.remainingMs() - RESERVE_MS);
    return { ...context, deadline: Deadline.after(ms, AbortSignal.any([context.deadline.signal, stopping])) };
  }

  function askedBy(call: Call): Asked {
    return { by: actorOf(call.request), context: worked(contextOf(call.request)) };
  }

  return new Elysia({ name: "listener.routes" })
    .get("/events/queues", async ({ request }) => {
      valueOf(noQuery(request.url));
      return envelope("queues", valueOf(await deadLetters.queues()));
    })
    .get("/events/dead-letters", async ({ request }) => {
      const { limit = DEFAULT_ITEMS, cursor, ...filter } = valueOf(listQuery(request.url));
      const page = valueOf(await deadLetters.list(filter, { limit, cursor }, worked(contextOf(request))));
      return envelope(`${page.items.length} dead letters`, page);
    })
    .post("/events/dead-letters/replay", async (call) => {
      valueOf(noQuery(call.request.url));
      const request = valueOf(replayOf(call.body));
      const outcome = valueOf(await deadLetters.replay(request, askedBy(call)));
      return envelope(sentence("replayed", request, outcome), outcome);
    })
    .post("/events/dead-letters/drop", async (call) => {
      valueOf(noQuery(call.request.url));
      const request = valueOf(dropOf(call.body));
      const outcome = valueOf(await deadLetters.drop(request, askedBy(call)));
      return envelope(sentence("dropped", request, outcome), outcome);
    })
    .get("/events/messages/:id", async ({ request, params }) => {
      valueOf(noQuery(request.url));
      const found = valueOf(await index.find(valueOf(idOf(params.id)), contextOf(request).deadline));
      return envelope(found.found === null ? "not parked" : "parked", found);
    });
}

function valueOf<T>(result: Result<T>): T {
  if (!result.ok) throw result.error;
  return result.value;
}

/** The router has decoded it. */
function idOf(id: string): Result<string> {
  const sane = id.length >= 1 && id.length <= ID_LENGTH && id.isWellFormed() && !id.includes("\0");
  return sane ? { ok: true, value: id } : fail("invalid", `id must be text of 1 to ${ID_LENGTH} characters`);
}

function sentence(
  what: string,
  { dry_run = false, limit = DEFAULT_LIMIT }: ReplayRequest | DropRequest,
  { matched, done }: DeadLetterOutcome,
): string {
  return dry_run ? `${Math.min(matched, limit)} would be ${what}` : `${done} ${what}`;
}
