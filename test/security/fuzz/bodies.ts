/**
 * Bodies, paths and queries against all routes: those of the broker as its own description tells them (a route that is
 * new is attacked from then on), and those of the services behind.
 */
import { oneOf } from "../../../dev/chaos/random.ts";
import type { ServiceName } from "../../../dev/services.ts";
import { askUntilMeant, makeTurns, type Turns } from "./alone.ts";
import { Broken, type Campaign } from "./campaign.ts";
import { mutateBytes, mutateValue } from "./mutate.ts";
import type { Target } from "./target.ts";

/** Longest that an answer may take (ms). */
const ANSWER_MS = 10_000;
/** Of a stack, of SQL, of an address within. */
const LEAK =
  /\n\s+at |node_modules|\.ts:\d+|syntax error at|relation "|mongodb:\/\/|postgres:\/\/|amqp:\/\/|ECONNREFUSED/;
const ODD_IDS = [
  "1",
  "7",
  "0",
  "-1",
  "1e3",
  "abc",
  "%00",
  "%ff",
  "..%2f..",
  "constructor",
  "__proto__",
  "9".repeat(30),
  "01998f5e-7c10-7d01-9b3c-3f5e9d2a4c11",
  "a%0d%0ab",
  "%F0%9F%98%80",
  "x".repeat(300),
];
const ODD_QUERIES = [
  "",
  "0",
  "-1",
  "1e9",
  "%00",
  "%ff",
  "%zz",
  "null",
  "a".repeat(3_000),
  "9".repeat(30),
  "true",
  "*",
  "[$ne]",
];

/** A route, and good bodies of it. */
interface Route {
  readonly service: ServiceName;
  readonly method: string;
  /** With `{name}` where something is to be filled in. */
  readonly path: string;
  readonly bodies: readonly unknown[];
  readonly query: readonly string[];
}

const CREDENTIALS = { email: "nobody@example.com", password: "not his password" };
const ENTRY = { name: "fuzz", data: { a: [1, "ü", null], b: { c: -0.5e3 } }, severity: "ERROR" };
const MAIL = { from: "me@example.com", to: "you@there.com", subject: "s", message: "m" };

/** Routes of the services behind that take a body. */
const BEHIND: readonly Route[] = [
  ["auth", "/authenticate", CREDENTIALS],
  ["auth", "/users", { email: "fuzz@example.com", password: "a long password", first_name: "A" }],
  ["logger", "/log", ENTRY],
  ["logger", "/api/log", ENTRY],
  ["mail", "/send", MAIL],
].map(([service, path, body]) => ({
  service: service as ServiceName,
  method: "POST",
  path: path as string,
  bodies: [body],
  query: [],
}));

export const bodies: Campaign = {
  id: "bodies",
  what: "HTTP bodies, paths and queries against the routes of all services",
  full: 50_000,
  short: 1_600,
  width: 16,
  needsPlatform: true,
  async open(target) {
    if (target === undefined) throw new Error("the platform is needed");
    const turns = makeTurns();
    const routes = [...(await routesOfBroker(target)), ...BEHIND];
    return {
      reaches: ["2xx", "400", "404", "422"],
      attempt: (random) => attempt({ target, routes, turns }, random),
      finish: () => Promise.resolve([]),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  },
};

interface Described {
  readonly parameters?: readonly { readonly name?: string; readonly in?: string }[];
  readonly requestBody?: {
    readonly content: Record<string, { example?: unknown; examples?: Record<string, { value: unknown }> }>;
  };
  readonly responses: Record<string, { readonly content?: Record<string, unknown> }>;
}

async function routesOfBroker(target: Target): Promise<Route[]> {
  const answer = await fetch(`${target.url("broker")}/openapi.json`);
  const { paths } = (await answer.json()) as { paths: Record<string, Record<string, Described>> };
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      // What never ends is no question with an answer.
      .filter(([, { responses }]) => responses["200"]?.content?.["text/event-stream"] === undefined)
      .map(([method, { parameters = [], requestBody }]) => {
        const { example, examples = {} } = requestBody?.content["application/json"] ?? {};
        const given = Object.values(examples).map(({ value }) => value);
        return {
          service: "broker" as const,
          method: method.toUpperCase(),
          path,
          bodies: requestBody === undefined ? [] : [...given, ...(example === undefined ? [] : [example]), {}],
          query: parameters.flatMap(({ name, in: where }) => (where === "query" && name !== undefined ? [name] : [])),
        };
      }),
  );
}

function makeBody(random: () => number, good: readonly unknown[]): Uint8Array<ArrayBuffer> {
  let value = oneOf(random, good);
  const roll = random();
  for (let times = roll < 0.6 ? 1 + Math.floor(random() * 3) : 0; times > 0; times -= 1)
    value = mutateValue(random, value);
  const text = Buffer.from(JSON.stringify(value) ?? "");
  return new Uint8Array(roll < 0.5 || roll > 0.95 ? text : mutateBytes(random, text));
}

function makePath(random: () => number, { path, query }: Route): string {
  const filled = path.replaceAll(/\{\w+\}/g, () => oneOf(random, ODD_IDS));
  if (random() < 0.6) return filled;
  const names = random() < 0.8 && query.length > 0 ? query : ["nobody_knows", "__proto__[a]", "limit", "cursor"];
  const pairs = Array.from(
    { length: 1 + Math.floor(random() * 2) },
    () => `${oneOf(random, names)}=${oneOf(random, ODD_QUERIES)}`,
  );
  return `${filled}?${pairs.join("&")}`;
}

interface Scene {
  readonly target: Target;
  readonly routes: readonly Route[];
  readonly turns: Turns;
}

async function attempt({ target, routes, turns }: Scene, random: () => number): Promise<string> {
  const withBody = random() < 0.8;
  const route = oneOf(random, withBody ? routes.filter((one) => one.bodies.length > 0) : routes);
  const path = makePath(random, route);
  const body = route.bodies.length > 0 ? makeBody(random, route.bodies) : undefined;
  const token = random() < 0.7 ? await target.token() : undefined;
  const headers: Record<string, string> = {
    ...(body === undefined ? {} : { "content-type": random() < 0.97 ? "application/json" : "text/plain" }),
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(random() < 0.1 ? { "idempotency-key": oneOf(random, ["k", "x".repeat(300), "ü", "", "a b"]) } : {}),
  };
  const what = `${route.method} ${route.service}${path} ${JSON.stringify(
    Buffer.from(body ?? [])
      .toString("latin1")
      .slice(0, 600),
  )}`;
  const ask = () =>
    fetch(`${target.url(route.service)}${path}`, {
      method: route.method,
      headers,
      redirect: "manual",
      signal: AbortSignal.timeout(ANSWER_MS),
      ...(body === undefined ? {} : { body }),
    });
  const answer = await askUntilMeant(turns, ask);
  const text = await answer.text();
  checkAnswer(what, answer, text, OTLP.test(path));
  if (answer.status === 401 && token !== undefined) target.forget(token);
  return answer.status < 400 ? "2xx" : String(answer.status);
}

/** Routes of the OpenTelemetry protocol refuse by its own form, a google.rpc.Status, and have no envelope. */
const OTLP = /^\/otlp\/v1\/(logs|traces)(\?|$)/;

function checkAnswer(what: string, { status, headers }: Response, text: string, isOtlp: boolean): void {
  const wrong = (how: string): never => {
    throw new Broken(`${how} (${status}): ${what}\n    answer: ${text.slice(0, 300)}`);
  };
  if (status >= 500) wrong("5xx by input");
  if (LEAK.test(text) && status >= 400) wrong("an answer that tells of the inside");
  if (headers.get("x-content-type-options") !== "nosniff") wrong("an answer without security headers");
  if (!(headers.get("content-type") ?? "").includes("application/json") || status === 204) return;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return wrong("not JSON, though it says so");
  }
  if (status < 400) return;
  const { error, message } = value as { error?: unknown; message?: unknown };
  if (typeof message !== "string") wrong(isOtlp ? "no status of OTLP" : "no envelope");
  if (!isOtlp && error !== true) wrong("no envelope");
}
