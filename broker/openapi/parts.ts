/** What the descriptions of routes are made of: schemas by name, answers, headers, parameters. */
import type { TObject, TSchema } from "@sinclair/typebox";
import {
  AddressRequest,
  ApiKeyPage,
  ApiKeyRequest,
  ApiKeyRotation,
  ApiKeyView,
  ConfirmRequest,
  Credentials,
  LoginGiven,
  ManagedUser,
  ManagedUserPage,
  MePatch,
  MeView,
  NewApiKey,
  PasswordChange,
  RefreshRequest,
  Registration,
  RegistrationView,
  ResetRequest,
  SessionPage,
  SessionsEnded,
  SessionView,
  TokensGiven,
  UserPatch,
  UserView,
} from "#contracts/auth";
import { AuditBreak, AuditReport } from "#contracts/audit";
import { AuthAction, BatchItem, Degraded, LogAction, MailAction } from "#contracts/broker";
import {
  DeadLetter,
  DeadLetterOutcome,
  DeadLetterPage,
  DropRequest,
  QueueList,
  QueueView,
  ReplayRequest,
} from "#contracts/dead-letters";
import {
  ChaosCounters,
  ChaosExperiment,
  ChaosNames,
  ChaosOverview,
  ChaosPart,
  ChaosReport,
  ChaosReportSummary,
  ChaosRequest,
  ChaosResult,
  ChaosSample,
} from "#contracts/chaos";
import { Envelope } from "#contracts/envelope";
import {
  EdgeFigures,
  FigureChart,
  FigureSeries,
  FiguresOverTime,
  PartFigures,
  PlatformFigures,
} from "#contracts/figures";
import { InstanceLevel, LevelList, LevelsChange } from "#contracts/log-levels";
import {
  BackingHealth,
  BacklogView,
  DependencyView,
  HealthReport,
  InstanceHealth,
  RegistryHealth,
  ServiceHealth,
} from "#contracts/health";
import { LogHistogram, LogItem, LogPage } from "#contracts/log-queries";
import { LogSizes } from "#contracts/log-sizes";
import { GapsReport, LogEntriesRequest, LogRequest, ProducerGaps } from "#contracts/logs";
import {
  BounceReport,
  BounceRequest,
  CancelRequest,
  MailContent,
  MailMessage,
  MailPage,
  MailRecipient,
  MailReply,
  MailView,
  PreviewRequest,
  ResolveRequest,
  Suppression,
  SuppressionPage,
  SuppressRequest,
  TemplateList,
  TemplateView,
} from "#contracts/mail";
import { Receipt, ReceiptStep } from "#contracts/receipts";
import { TraceDetail, TracePage, TraceSpan, TraceSummary } from "#contracts/traces";

/** The schemas that requests and answers are checked with, by the names that they have in the description. */
export const SCHEMAS = {
  AddressRequest,
  ApiKeyPage,
  ApiKeyRequest,
  ApiKeyRotation,
  ApiKeyView,
  AuditBreak,
  AuditReport,
  AuthAction,
  BackingHealth,
  BatchItem,
  BounceReport,
  BounceRequest,
  CancelRequest,
  ChaosCounters,
  ChaosExperiment,
  ChaosNames,
  ChaosOverview,
  ChaosPart,
  ChaosReport,
  ChaosReportSummary,
  ChaosRequest,
  ChaosResult,
  ChaosSample,
  ConfirmRequest,
  Credentials,
  DeadLetter,
  DeadLetterOutcome,
  DeadLetterPage,
  Degraded,
  DependencyView,
  DropRequest,
  EdgeFigures,
  Envelope,
  FigureChart,
  FigureSeries,
  FiguresOverTime,
  GapsReport,
  LogSizes,
  TraceDetail,
  TracePage,
  TraceSpan,
  TraceSummary,
  HealthReport,
  InstanceLevel,
  LevelList,
  LevelsChange,
  InstanceHealth,
  RegistryHealth,
  BacklogView,
  LogAction,
  LogHistogram,
  LogItem,
  LogPage,
  LogEntriesRequest,
  LogRequest,
  LoginReply: LoginGiven,
  MailAction,
  MailContent,
  MailMessage,
  MailPage,
  MailRecipient,
  MailReply,
  MailView,
  ManagedUser,
  ManagedUserPage,
  MePatch,
  MeView,
  NewApiKey,
  PasswordChange,
  PartFigures,
  PlatformFigures,
  PreviewRequest,
  ProducerGaps,
  QueueList,
  QueueView,
  Receipt,
  ReceiptStep,
  RefreshRequest,
  Registration,
  RegistrationView,
  ReplayRequest,
  ResetRequest,
  ResolveRequest,
  ServiceHealth,
  SessionPage,
  SessionView,
  SessionsEnded,
  Suppression,
  SuppressionPage,
  SuppressRequest,
  TemplateList,
  TemplateView,
  TokenReply: TokensGiven,
  UserPatch,
  UserView,
} as const satisfies Record<string, TSchema>;
export type SchemaName = keyof typeof SCHEMAS;

const NAMES = new Map<unknown, string>(Object.entries(SCHEMAS).map(([name, schema]) => [schema, name]));

export const ref = (name: SchemaName) => ({ $ref: `#/components/schemas/${name}` });

/** A schema in which every part that has a name of its own is referred to by it. */
function referring(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(nested);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, nested(part)]));
}

function nested(value: unknown): unknown {
  const name = NAMES.get(value);
  return name === undefined ? referring(value) : { $ref: `#/components/schemas/${name}` };
}

const TEXT = { type: "string" };

/** Of examples. */
export const AT = "2026-11-23T09:30:00.000Z";
export const RECEIPT_ID = "01998f5e-7c10-7a00-8b3c-3f5e9d2a4c11";

/** Of answers; of requests where the name is a request's. */
export const HEADERS = {
  "X-Trace-Id": {
    description:
      "The request's trace (W3C Trace Context): the caller's, if it sent a sane `traceparent`; else a new one",
    schema: { type: "string", pattern: "^[0-9a-f]{32}$" },
  },
  "X-Request-Id": { description: "The caller's, if it sent a sane one; else ours", schema: TEXT },
  "X-Degraded": {
    description:
      "What was done in another way than usual, `part=how`, comma-separated: `logger=queued`, `logger=spooled`, `mail=queued`, `auth=cached;age=<seconds>`. `data.degraded` says the same",
    schema: TEXT,
    example: "auth=cached;age=12",
  },
  Location: {
    description: "Where the receipt is",
    schema: TEXT,
    example: `/v1/receipts/${RECEIPT_ID}`,
  },
  "Idempotent-Replayed": { description: "`true` on an answer that was given before", schema: { const: "true" } },
  RateLimit: {
    description:
      "What is left under the rate limit that is nearest to its end, and seconds until there is more (draft-ietf-httpapi-ratelimit-headers-10)",
    schema: TEXT,
    example: '"*";r=199;t=1',
  },
  "RateLimit-Policy": {
    description: "The rate limits that the request counted under, and their windows in seconds",
    schema: TEXT,
    example: '"*";q=200;w=1',
  },
  "Retry-After": { description: "Seconds after which trying again makes sense", schema: { type: "integer" } },
  "X-Overloaded": {
    description: "`true` on a 503 of a part that is well, and has more to do than it can just now: nothing was done",
    schema: { const: "true" },
  },
  "WWW-Authenticate": {
    description: "What is needed (RFC 6750)",
    schema: TEXT,
    example: 'Bearer realm="platform", error="invalid_token"',
  },
  "Set-Cookie": {
    description:
      "Where the request has `X-Session: cookie`: the refresh token, `HttpOnly; SameSite=Strict; Path=/v1/sessions`; empty and over where the session is",
    schema: TEXT,
    example: "platform_refresh=sXZ1Q0x…; Path=/v1/sessions; Max-Age=2592000; HttpOnly; SameSite=Strict; Secure",
  },
} as const;
export type HeaderName = keyof typeof HEADERS;

const PARAMETERS = {
  IdempotencyKey: {
    name: "Idempotency-Key",
    in: "header",
    description:
      "1 to 255 printable ASCII characters. The same key and body again gives the first answer again and does nothing; another body is 422; 409 while the first is under way",
    schema: { type: "string", minLength: 1, maxLength: 255 },
    example: "5f0c1e9a-order-17",
  },
  Session: {
    name: "X-Session",
    in: "header",
    description:
      "`cookie`: the refresh token comes and goes in a cookie that no script can read, and is in no body. For pages of this origin: CORS lets no other send this header",
    schema: { type: "string", enum: ["cookie"] },
  },
} as const;
export const IDEMPOTENCY_KEY = { $ref: "#/components/parameters/IdempotencyKey" };
export const SESSION_BY = { $ref: "#/components/parameters/Session" };

export const COMPONENTS = {
  schemas: Object.fromEntries(Object.entries(SCHEMAS).map(([name, schema]) => [name, referring(schema)])),
  headers: HEADERS,
  parameters: PARAMETERS,
  securitySchemes: {
    accessToken: {
      type: "http",
      scheme: "bearer",
      bearerFormat: "JWT",
      description:
        "`access_token` of a login (RFC 9068, EdDSA, 10 minutes). Only in `Authorization`, never in the query. Verified by the broker itself",
    },
    apiKey: {
      type: "apiKey",
      in: "header",
      name: "X-Api-Key",
      description: "Of a service or a person (`POST /v1/api-keys`), with scopes of its own; not beside `Authorization`",
    },
    operatorToken: {
      type: "http",
      scheme: "bearer",
      description: "The broker's OPERATOR_TOKEN, for when nobody can log in: all scopes but those of users and keys",
    },
  },
};

const JSON_TYPE = "application/json";

export const headerRef = (name: HeaderName) => ({ $ref: `#/components/headers/${name}` });

const headersOf = (names: readonly HeaderName[]) => ({
  headers: Object.fromEntries(
    (["X-Request-Id", "X-Trace-Id", ...names] as const).map((name) => [name, headerRef(name)]),
  ),
});

/** An envelope around `data`, with an example of it. */
export function answer(
  description: string,
  data: { readonly schema: object; readonly example?: { message: string; data: unknown } } | undefined,
  headers: readonly HeaderName[] = [],
) {
  const schema =
    data === undefined
      ? ref("Envelope")
      : {
          type: "object",
          properties: { error: { const: false }, message: TEXT, data: data.schema },
          required: ["error", "message", "data"],
        };
  const example = data?.example === undefined ? {} : { example: { error: false, ...data.example } };
  return { description, ...headersOf(headers), content: { [JSON_TYPE]: { schema, ...example } } };
}

/** Data of every accepted action. */
export const RECEIVED = { type: "object", properties: { receipt_id: { type: "string" }, degraded: ref("Degraded") } };
export const ACCEPTED_HEADERS: readonly HeaderName[] = ["Location", "X-Degraded", "Idempotent-Replayed"];

export const text = (description: string) => ({ description, content: { "text/plain": { schema: TEXT } } });

/** A refusal; its envelope says why. */
export const refusal = (description: string, ...headers: HeaderName[]) => answer(description, undefined, headers);

export function body(schema: object, examples: Readonly<Record<string, unknown>>) {
  const named = Object.entries(examples).map(([name, value]) => [name, { value }]);
  return { required: true, content: { [JSON_TYPE]: { schema, examples: Object.fromEntries(named) } } };
}

export function query(schema: TObject) {
  const required = new Set<string>(schema.required ?? []);
  return Object.entries(schema.properties).map(([name, property]) => ({
    name,
    in: "query",
    required: required.has(name),
    schema: property,
  }));
}

export const path = (name: string, description: string, schema: object, example: string) => ({
  name,
  in: "path",
  required: true,
  description,
  schema,
  example,
});

/** Of every route that reads a body. */
export const BODY_REFUSALS = {
  "400": refusal("Not JSON"),
  "413": refusal("Larger than 1 MiB"),
  "415": refusal("Content-Type is not application/json"),
  "422": refusal("Well-formed and not valid: the message names the field"),
};

/** Of every route that takes no query. */
export const NO_QUERY = { "422": refusal("A query parameter that is not known") };

/** Of every route that asks a service behind. */
export const BEHIND = {
  "429": refusal("Too many requests", "Retry-After"),
  "502": refusal("A service behind answered wrongly", "Retry-After"),
  "503": refusal("A service behind is away, or has too much to do just now", "Retry-After", "X-Overloaded"),
  "504": refusal("A service behind is too slow", "Retry-After"),
};

/** Descriptions of operations, by path and method. */
export type Paths<T> = Readonly<Record<string, Readonly<Record<string, T>>>>;

/** The same paths and methods, with what `one` makes of each operation. */
export function eachOf<T, U>(
  paths: Paths<T>,
  one: (described: T, path: string, method: string) => U,
): Record<string, Record<string, U>> {
  return Object.fromEntries(
    Object.entries(paths).map(([path, methods]) => [
      path,
      Object.fromEntries(Object.entries(methods).map(([method, described]) => [method, one(described, path, method)])),
    ]),
  );
}
