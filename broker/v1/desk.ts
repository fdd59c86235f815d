/**
 * What routes have in common that are answered by an owner: what is handed on to him, and that he is answered for in his
 * own words. What is asked is checked here, too, by the same schemas; the owner has the last word. Who may is decided before (access/).
 */
import { type TObject, type TSchema, Type } from "@sinclair/typebox";
import type { Envelope } from "#contracts/envelope";
import { ACTOR_HEADER, API_KEY_HEADER, IDEMPOTENCY_KEY_HEADER } from "#contracts/headers";
import { Failure, type FailureCode, ok, orThrow, type Result } from "#shared/errors";
import { contextOf, envelope } from "#shared/http";
import { Deadline } from "#shared/resilience";
import { makeQueryValidator, makeValidator } from "#shared/validation";
import { actorOf, callerOf, principalOf } from "../access/principal.ts";
import { ask, type Neighbour, type Question } from "../forward.ts";
import { type FirstAnswers, keyOf } from "../idempotency.ts";
import { given, type Settable } from "../marks.ts";
import { orChallenge } from "../sessions/bearer.ts";

/** Of a route without a query. */
export const NO_QUERY = Type.Object({});
const noQuery = makeQueryValidator(NO_QUERY);

/** What the owner refuses because of the request; of the one who asks, where he is told who that is. */
const OF_THE_CALLER: readonly FailureCode[] = ["malformed", "invalid", "too_large", "conflict", "exhausted"];
const OF_THE_CREDENTIAL: readonly FailureCode[] = ["unauthenticated", "forbidden", "not_found"];

export interface DeskOptions {
  /**
   * Whom the owner is told of: `actor`: on whose behalf it is, for its audit entries, since whether he may is decided here.
   * `credential`: who it is by his own credential, since the owner decides, too.
   */
  readonly tells: "actor" | "credential";
  /** Of commands with an Idempotency-Key. */
  readonly answers: FirstAnswers;
  /** Ends what is under way: it may take longer than the drain of a broker that stops. */
  readonly stopping: AbortSignal;
}

/** What of a handler's context is looked at. */
export interface Call {
  readonly params: Readonly<Record<string, string>>;
  readonly request: Request;
  readonly set: Settable;
}

/** The owner's answer: 201 where something is there that was not before, 202 where something will be done. */
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

/** The query of a URL as it is handed on; failure `invalid`, as of a schema. */
export type QueryReader = (url: string) => Result<URLSearchParams>;

/** A GET or DELETE. @param data schema of what the owner answers. */
type Queried = (
  owner: Neighbour,
  path: OwnersPath,
  query: TObject | QueryReader,
  data: TSchema,
) => (call: Call) => Promise<Envelope>;

/** With a body. */
type Bodied = (
  owner: Neighbour,
  path: OwnersPath,
  body: TSchema,
  data: TSchema,
) => (call: Call & { readonly body: unknown }) => Promise<Envelope>;

/** Handlers of routes. */
export interface Desk {
  /** A GET, with its query. */
  readonly reading: Queried;
  /** A DELETE, with its query. It may be sent twice as it is. */
  readonly removing: Queried;
  /** A POST; once for its Idempotency-Key. */
  readonly doing: Bodied;
  /** A POST whose owner makes it once by its body alone: an Idempotency-Key means nothing. */
  readonly exchanging: Bodied;
  /** A PATCH or PUT: it may be sent twice, and is refused the second time where it matters. */
  readonly changing: (method: "PATCH" | "PUT") => Bodied;
}

export function makeDesk({ tells, answers, stopping }: DeskOptions): Desk {
  const isOwners = tells === "credential";

  function headersFor(request: Request): Record<string, string> {
    const principal = principalOf(request);
    const actor = { [ACTOR_HEADER]: actorOf(principal) };
    if (!isOwners) return actor;
    const key = principal.kind === "key" ? request.headers.get(API_KEY_HEADER) : null;
    return {
      ...actor,
      ...(principal.kind === "user" ? { authorization: `Bearer ${principal.session.token}` } : {}),
      ...(key === null ? {} : { [API_KEY_HEADER]: key }),
    };
  }

  /** What the owner says to somebody who may ask, in its own words. */
  async function tell<T>(
    owner: Neighbour,
    question: Pick<Question<T>, "method" | "path" | "body" | "check" | "ofTheCaller">,
    request: Request,
  ): Promise<Result<Told>> {
    const context = contextOf(request);
    const signal = AbortSignal.any([context.deadline.signal, stopping]);
    const told = await ask(
      owner,
      { ...question, headers: headersFor(request), status: [200, 201, 202] },
      { ...context, deadline: Deadline.after(context.deadline.remainingMs(), signal) },
    );
    if (!told.ok) return told;
    const { status, message, data } = told.value;
    return ok({ status, envelope: envelope(message, data) });
  }

  function queried(method: "GET" | "DELETE"): Queried {
    return (owner, path, query, data) => {
      const read = typeof query === "function" ? query : queryReader(query);
      const check = makeValidator(data, { name: "the answer" });
      return async ({ params, request, set }) => {
        const to = withQuery(pathOf(path, params), orThrow(read(request.url)));
        const question = { method, path: to, check, ofTheCaller: refusalsOf(path) };
        return orChallenge(await tell(owner, question, request), request, set).envelope;
      };
    };
  }

  function bodied(method: "POST" | "PATCH" | "PUT", isKeyed: boolean): Bodied {
    return (owner, path, schema, data) => {
      const bodyOf = makeValidator(schema, { unknown: "refuse" });
      const check = makeValidator(data, { name: "the answer" });
      return async ({ params, body: asked, request, set }) => {
        orThrow(noQuery(request.url));
        const body = orThrow(bodyOf(asked));
        const key = isKeyed ? orThrow(keyOf(request.headers.get(IDEMPOTENCY_KEY_HEADER))) : undefined;
        const to = pathOf(path, params);
        const question = { method, path: to, body, check, ofTheCaller: refusalsOf(path) };
        // That a credential is over is no answer to keep: the same person comes again with another one.
        const work = async (): Promise<Result<Result<Told>>> => {
          const told = await tell(owner, question, request);
          return told.ok || told.error.code === "unauthenticated" ? ok(told) : told;
        };
        const scope =
          key === undefined ? undefined : { caller: callerOf(principalOf(request)), route: `/v1${to}`, key };
        const answered =
          scope === undefined
            ? { result: await work(), replayed: false }
            : await answers.run(scope, body, work, (outcome) => outcome.ok);
        const told = orChallenge(given(answered, set), request, set);
        set.status = told.status;
        return told.envelope;
      };
    };
  }

  /** That something is not there is the caller's to know where he has named it. */
  function refusalsOf(path: OwnersPath): readonly FailureCode[] {
    return [
      ...OF_THE_CALLER,
      ...(isOwners ? OF_THE_CREDENTIAL : typeof path === "string" ? [] : (["not_found"] as const)),
    ];
  }

  return {
    reading: queried("GET"),
    removing: queried("DELETE"),
    doing: bodied("POST", true),
    exchanging: bodied("POST", false),
    changing: (method) => bodied(method, false),
  };
}

function pathOf(path: OwnersPath, params: Call["params"]): string {
  return typeof path === "string" ? path : path(params);
}

/** As checked, so that what is handed on is read there as it was read here. */
function queryReader(schema: TObject): QueryReader {
  const valuesOf = makeQueryValidator(schema);
  return (url) => {
    const values = valuesOf(url);
    if (!values.ok) return values;
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(values.value)) query.set(name, String(value));
    return ok(query);
  };
}

/** Beside a query that the path has already. */
function withQuery(path: string, query: URLSearchParams): string {
  if (query.size === 0) return path;
  return `${path}${path.includes("?") ? "&" : "?"}${query.toString()}`;
}
