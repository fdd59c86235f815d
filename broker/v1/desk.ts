/**
 * What the operators' routes have in common: who may, what is handed on to the owner, and that he is answered for in his
 * own words. What is asked is checked here, too, by the same schemas; the owner has the last word.
 */
import { type TObject, type TSchema, Type } from "@sinclair/typebox";
import type { Envelope } from "#contracts/envelope";
import { ACTOR_HEADER, IDEMPOTENCY_KEY_HEADER } from "#contracts/headers";
import { Failure, type FailureCode, ok, type Result } from "#shared/errors";
import { contextOf, envelope, type Peers, socketAddressOf } from "#shared/http";
import { Deadline } from "#shared/resilience";
import { makeQueryValidator, makeValidator } from "#shared/validation";
import { orThrow } from "../calls.ts";
import { ask, type Neighbour, type Question } from "../forward.ts";
import { type FirstAnswers, keyOf } from "../idempotency.ts";
import { given, type Settable } from "../marks.ts";
import { bearerOf, orChallenge } from "../sessions/bearer.ts";
import type { Operator } from "./operator.ts";

/** Of a route without a query. */
export const NO_QUERY = Type.Object({});
const noQuery = makeQueryValidator(NO_QUERY);

/** What the owner refuses because of the request. */
const OF_THE_CALLER: readonly FailureCode[] = ["malformed", "invalid", "too_large", "conflict", "exhausted"];

export interface DeskOptions {
  readonly operator: Operator;
  /** Of commands with an Idempotency-Key. */
  readonly answers: FirstAnswers;
  /** Ends what is under way: it may take longer than the drain of a broker that stops. */
  readonly stopping: AbortSignal;
}

interface Call {
  readonly params: Readonly<Record<string, string>>;
  readonly request: Request;
  readonly set: Settable;
  readonly server: Peers | null;
}

/** The owner's answer: 201 where something is there that was not before. */
interface Told {
  readonly status: number;
  readonly envelope: Envelope;
}

/** The owner's path; one with a parameter is made by `at`. */
export type OwnersPath = string | ((params: Readonly<Record<string, string>>) => string);

/** A path with the parameter `name` in it, and what follows. Failure `not_found` for dots, which would be another path. */
export function at(before: string, name: string, after = ""): OwnersPath {
  return (params) => {
    const value = params[name] ?? "";
    if (/^\.\.?$/.test(value)) throw new Failure("not_found", `no such ${name}`);
    return `${before}/${encodeURIComponent(value)}${after}`;
  };
}

/** A GET or DELETE. @param data schema of what the owner answers. */
type Queried = (owner: Neighbour, path: OwnersPath, query: TObject, data: TSchema) => (call: Call) => Promise<Envelope>;

/** Handlers of routes: each lets operators in, and nobody else. */
export interface Desk {
  /** A GET, with its query. */
  readonly reading: Queried;
  /** A DELETE, with its query. It may be sent twice as it is. */
  readonly removing: Queried;
  /** A POST, with its body; once for its Idempotency-Key. */
  readonly doing: (
    owner: Neighbour,
    path: OwnersPath,
    body: TSchema,
    data: TSchema,
  ) => (call: Call & { readonly body: unknown }) => Promise<Envelope>;
}

export function makeDesk({ operator, answers, stopping }: DeskOptions): Desk {
  /** On whose behalf, of those who may. */
  async function actorOf({ request, set, server }: Omit<Call, "params">): Promise<string> {
    const address = socketAddressOf(request, server) ?? "unknown";
    const admitted = await operator.admit(bearerOf(request), address, contextOf(request).deadline);
    return orChallenge(admitted, request, set);
  }

  /** What the owner says to somebody who may ask, in its own words. */
  async function tell<T>(
    owner: Neighbour,
    question: Pick<Question<T>, "method" | "path" | "body" | "check" | "ofTheCaller">,
    { actor, request }: { readonly actor: string; readonly request: Request },
  ): Promise<Result<Told>> {
    const context = contextOf(request);
    const signal = AbortSignal.any([context.deadline.signal, stopping]);
    const told = await ask(
      owner,
      { ...question, headers: { [ACTOR_HEADER]: actor }, status: [200, 201] },
      { ...context, deadline: Deadline.after(context.deadline.remainingMs(), signal) },
    );
    if (!told.ok) return told;
    const { status, message, data } = told.value;
    return ok({ status, envelope: envelope(message, data) });
  }

  function queried(method: "GET" | "DELETE"): Queried {
    return (owner, path, query, data) => {
      const queryValues = makeQueryValidator(query);
      const check = makeValidator(data, { name: "the answer" });
      return async ({ params, request, set, server }) => {
        const actor = await actorOf({ request, set, server });
        const values = orThrow(queryValues(request.url));
        const to = `${pathOf(path, params)}${queryOf(values)}`;
        const question = { method, path: to, check, ...refusalsOf(path) };
        return orThrow(await tell(owner, question, { actor, request })).envelope;
      };
    };
  }

  return {
    reading: queried("GET"),
    removing: queried("DELETE"),

    doing: (owner, path, schema, data) => {
      const bodyOf = makeValidator(schema, { unknown: "refuse" });
      const check = makeValidator(data, { name: "the answer" });
      return async ({ params, body: asked, request, set, server }) => {
        const actor = await actorOf({ request, set, server });
        orThrow(noQuery(request.url));
        const body = orThrow(bodyOf(asked));
        const key = orThrow(keyOf(request.headers.get(IDEMPOTENCY_KEY_HEADER)));
        const to = pathOf(path, params);
        const work = () =>
          tell(owner, { method: "POST", path: to, body, check, ...refusalsOf(path) }, { actor, request });
        const scope = key === undefined ? undefined : { caller: actor, route: `/v1${to}`, key };
        const answered =
          scope === undefined ? { result: await work(), replayed: false } : await answers.run(scope, body, work);
        const told = given(answered, set);
        set.status = told.status;
        return told.envelope;
      };
    },
  };
}

function pathOf(path: OwnersPath, params: Call["params"]): string {
  return typeof path === "string" ? path : path(params);
}

/** That something is not there is the caller's to know where he has named it. */
function refusalsOf(path: OwnersPath): { readonly ofTheCaller: readonly FailureCode[] } {
  return { ofTheCaller: typeof path === "string" ? OF_THE_CALLER : [...OF_THE_CALLER, "not_found"] };
}

/** As checked, so that what is handed on is read there as it was read here. */
function queryOf(values: object): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) query.set(name, String(value));
  return query.size === 0 ? "" : `?${query.toString()}`;
}
