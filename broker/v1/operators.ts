/** The operators' routes: queues, dead letters and gaps, as their owners tell. Translates only. */
import { type TSchema, Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import {
  DeadLetterFilter,
  DeadLetterOutcome,
  DeadLetterPage,
  DropRequest,
  QueueList,
  ReplayRequest,
} from "#contracts/dead-letters";
import type { Envelope } from "#contracts/envelope";
import { ACTOR_HEADER, IDEMPOTENCY_KEY_HEADER } from "#contracts/headers";
import { GapsReport } from "#contracts/logs";
import { ok, type Result } from "#shared/errors";
import { contextOf, envelope } from "#shared/http";
import { Deadline } from "#shared/resilience";
import { makeQueryValidator, makeValidator } from "#shared/validation";
import { bearerOf, orChallenge } from "../sessions/bearer.ts";
import { ask, type Neighbour, type Question } from "../forward.ts";
import { type FirstAnswers, keyOf } from "../idempotency.ts";
import { given } from "../marks.ts";
import type { Operator } from "./operator.ts";

const paging = {
  limit: Type.Optional(Type.Integer({ minimum: 1 })),
  cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 2_048 })),
};
/** The owners have the last word: how many at once, and what a cursor is. */
export const DeadLetterQuery = Type.Object({ ...DeadLetterFilter.properties, ...paging });
export const GapsQuery = Type.Object({
  producer: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
  ...paging,
});

const noQuery = makeQueryValidator(Type.Object({}));

/** What the owner refuses because of the request. */
const OF_THE_CALLER = ["malformed", "invalid", "conflict", "exhausted"] as const;

export interface OperatorRoutes {
  readonly operator: Operator;
  readonly listener: Neighbour;
  /** The listener too, for what it may work at for half a minute. */
  readonly listenerCommands: Neighbour;
  readonly logger: Neighbour;
  /** Of commands with an Idempotency-Key. */
  readonly answers: FirstAnswers;
  /** Ends what is under way: it may take longer than the drain of a broker that stops. */
  readonly stopping: AbortSignal;
}

interface Call {
  readonly body: unknown;
  readonly request: Request;
  readonly set: { status?: number | string; headers: Record<string, string | number> };
  readonly server: { requestIP(request: Request): { address: string } | null } | null;
}

export function operatorRoutes({ operator, listener, listenerCommands, logger, answers, stopping }: OperatorRoutes) {
  /** On whose behalf, of those who may. */
  async function actorOf({ request, set, server }: Call): Promise<string> {
    const address = server?.requestIP(request)?.address ?? "unknown";
    const admitted = await operator.admit(bearerOf(request), address, contextOf(request).deadline);
    return orChallenge(admitted, request, set);
  }

  /** What the owner says to somebody who may ask, in its own words. */
  async function tell<T>(
    neighbour: Neighbour,
    question: Pick<Question<T>, "method" | "path" | "body" | "check">,
    { actor, request }: { readonly actor: string; readonly request: Request },
  ): Promise<Result<Envelope>> {
    const context = contextOf(request);
    const signal = AbortSignal.any([context.deadline.signal, stopping]);
    const told = await ask(
      neighbour,
      { ...question, headers: { [ACTOR_HEADER]: actor }, status: 200, ofTheCaller: OF_THE_CALLER },
      { ...context, deadline: Deadline.after(context.deadline.remainingMs(), signal) },
    );
    return told.ok ? ok(envelope(told.value.message, told.value.data)) : told;
  }

  /** Of the owner's path, with the same query, checked. */
  function reading(neighbour: Neighbour, path: string, query: ReturnType<typeof makeQueryValidator>, data: TSchema) {
    const check = makeValidator(data, { name: "the answer" });
    return async (call: Call) => {
      const actor = await actorOf(call);
      const asked = query(call.request.url);
      if (!asked.ok) throw asked.error;
      const question = { method: "GET", path: `${path}${queryOf(asked.value)}`, check } as const;
      const told = await tell(neighbour, question, { actor, request: call.request });
      if (!told.ok) throw told.error;
      return told.value;
    };
  }

  function doing(path: string, schema: TSchema) {
    const bodyOf = makeValidator(schema, { unknown: "refuse" });
    const check = makeValidator(DeadLetterOutcome, { name: "the answer" });
    return async (call: Call) => {
      const { request, set } = call;
      const actor = await actorOf(call);
      const asked = noQuery(request.url);
      if (!asked.ok) throw asked.error;
      const body = bodyOf(call.body);
      if (!body.ok) throw body.error;
      const key = keyOf(request.headers.get(IDEMPOTENCY_KEY_HEADER));
      if (!key.ok) throw key.error;
      const work = () => tell(listenerCommands, { method: "POST", path, body: body.value, check }, { actor, request });
      if (key.value === undefined) return given({ result: await work(), replayed: false }, set);
      const scope = { caller: actor, route: `/v1${path}`, key: key.value };
      return given(await answers.run(scope, body.value, work), set);
    };
  }

  return new Elysia({ name: "broker.operators", prefix: "/v1" })
    .get("/events/queues", reading(listener, "/events/queues", noQuery, QueueList))
    .get(
      "/events/dead-letters",
      reading(listener, "/events/dead-letters", makeQueryValidator(DeadLetterQuery), DeadLetterPage),
    )
    .post("/events/dead-letters/replay", doing("/events/dead-letters/replay", ReplayRequest))
    .post("/events/dead-letters/drop", doing("/events/dead-letters/drop", DropRequest))
    .get("/logs/gaps", reading(logger, "/logs/gaps", makeQueryValidator(GapsQuery), GapsReport));
}

/** As checked, so that what is handed on is read there as it was read here. */
function queryOf(values: object): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) query.set(name, String(value));
  return query.size === 0 ? "" : `?${query.toString()}`;
}
