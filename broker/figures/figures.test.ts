/** The figures of a platform whose services tell what a test has them tell. */
import { afterEach, expect, test } from "bun:test";
import type { EdgeFigures } from "#contracts/figures";
import { Secret } from "#shared/config";
import { fixed, makePool } from "#shared/discovery";
import { type Log, makeLog, silentLog } from "#shared/log";
import { makeService, until } from "../platform.test-kit.ts";
import { type Figures, makeFigures } from "./figures.ts";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

const service = (): ReturnType<typeof makeService> => {
  const made = makeService();
  closing.push(() => made.stop());
  return made;
};
const NOWHERE = "http://127.0.0.1:1";

interface Setting {
  readonly urls?: Readonly<Record<string, string[]>>;
  readonly own?: () => Promise<string>;
  readonly log?: Log;
  readonly key?: string;
}

function platform({ urls = {}, own = async () => "", log = silentLog, key = "" }: Setting = {}) {
  const poolOf = (name: string) => makePool({ service: name, source: fixed(urls[name] ?? [NOWHERE]), log: silentLog });
  const pools = { auth: poolOf("auth"), logger: poolOf("logger"), mail: poolOf("mail"), listener: poolOf("listener") };
  const shows = key === "" ? undefined : new Secret(key);
  const figures = makeFigures({ own: { text: own }, pools, key: shows, log, everyMs: 50 });
  closing.push(() => figures[Symbol.asyncDispose]());
  return figures;
}

/** What is there after `samples` more of them. */
async function after(figures: Figures, samples = 2) {
  for (let n = 0; n < samples; n += 1) {
    const { at } = figures.latest();
    await until("the next sample", () => figures.latest().at !== at);
  }
  return figures.latest();
}
const valuesOf = (figures: Figures, name: string) => figures.latest().parts.find((part) => part.name === name)?.values;
const edgeOf = (figures: Figures, from: string, to: string): EdgeFigures | undefined =>
  figures.latest().edges.find((edge) => edge.from === from && edge.to === to);

/** Counts as if it did `perSample` of each thing between two times that it is asked. */
function telling(lines: (times: number) => string): () => string {
  let times = 0;
  return () => lines((times += 1));
}

test("every part and every way is there from the first sample on, also while nobody answers", async () => {
  const figures = platform();
  expect(figures.latest()).toEqual({ at: null, interval_s: 5, parts: [], edges: [], queues: [] });
  const { parts, edges, queues } = await after(figures, 1);
  expect(parts.slice(0, 5).map(({ name, instances, answered }) => [name, instances, answered])).toEqual([
    ["broker", 1, 1],
    ["auth", 1, 0],
    ["logger", 1, 0],
    ["mail", 1, 0],
    ["listener", 1, 0],
  ]);
  expect(edges.map(({ from, to, via }) => `${from} ${to} ${via}`)).toContain("mail smtp smtp");
  expect(
    edges.every(({ calls_per_s, p95_ms, breaker, up }) => [calls_per_s, p95_ms, breaker, up].join("") === ""),
  ).toBe(true);
  expect(queues).toEqual([]);
  expect(valuesOf(figures, "auth")).toMatchObject({ "requests.all": null, "memory.resident": null });
});

test("what services tell becomes figures of theirs, and of the ways between them", async () => {
  const auth = service();
  auth.tellMetrics = telling(
    (times) => `process_start_time_seconds 5
process_resident_memory_bytes 104857600
http_request_duration_seconds_count{method="POST",route="/authenticate",status="202"} ${times * 100}
http_request_duration_seconds_count{method="POST",route="/authenticate",status="500"} ${times * 10}
http_request_duration_seconds_count{method="GET",route="/ready",status="200"} ${times * 1_000}
http_request_duration_seconds_bucket{le="0.25",route="/authenticate"} ${times * 50}
http_request_duration_seconds_bucket{le="0.5",route="/authenticate"} ${times * 100}
http_request_duration_seconds_bucket{le="+Inf",route="/authenticate"} ${times * 100}
auth_logins_total{result="done"} ${times * 90}
postgres_work_seconds_count{outcome="ok"} ${times * 30}
postgres_work_seconds_count{outcome="deadline"} ${times * 10}
dependency_up{dependency="postgres"} 0
circuitbreaker_state{name="mail"} 1`,
  );
  const own = telling(
    (times) => `process_start_time_seconds 5
http_client_request_duration_seconds_count{peer="auth",status="202"} ${times * 40}
http_client_request_duration_seconds_count{peer="auth",status="none"} ${times * 10}
http_client_request_duration_seconds_count{peer="mail",status="202"} ${times * 7}
circuitbreaker_state{name="auth"} 0
circuitbreaker_state{name="auth_sessions"} 2`,
  );
  const figures = platform({ urls: { auth: [auth.url] }, own: async () => own() });
  await after(figures);
  const values = valuesOf(figures, "auth") ?? {};
  expect(values).toMatchObject({ "memory.resident": 100, "latency.p50": 250, "latency.p95": 475 });
  const all = values["requests.all"] ?? 0;
  // Whatever the time between two samples was.
  expect((values["requests.failed"] ?? 0) / all).toBeCloseTo(1 / 11, 2);
  expect((values["logins.done"] ?? 0) / all).toBeCloseTo(90 / 110, 2);

  const login = edgeOf(figures, "broker", "auth");
  expect(login).toMatchObject({ via: "http", breaker: "open" });
  expect((login?.failed_per_s ?? 0) / (login?.calls_per_s ?? 1)).toBeCloseTo(0.2, 2);
  expect(edgeOf(figures, "auth", "mail")).toMatchObject({ breaker: "half-open" });
  const database = edgeOf(figures, "auth", "postgres");
  expect(database).toMatchObject({ up: false, breaker: null });
  expect((database?.failed_per_s ?? 0) / (database?.calls_per_s ?? 1)).toBeCloseTo(0.25, 2);

  const charts = (part: Parameters<Figures["over"]>[0]) =>
    Object.fromEntries(figures.over(part, 3_600).charts.map((chart) => [chart.key, chart]));
  expect(charts("auth")["logins"]).toMatchObject({ title: "Logins", unit: "/s", series: [{ name: "done" }] });
  expect(charts("postgres")["calls_in"]?.series.map(({ name }) => name)).toEqual(["auth sql", "mail sql"]);
});

test("several instances are one service; the key of the broker is shown to each", async () => {
  const [one, other] = [service(), service()];
  for (const mail of [one, other])
    mail.tellMetrics = () => 'mail_outbox_rows{state="queued"} 3\npostgres_connections 4';
  const figures = platform({ urls: { mail: [one.url, other.url, NOWHERE] }, key: "sk_test" });
  const { parts } = await after(figures);
  expect(parts.find(({ name }) => name === "mail")).toMatchObject({ instances: 3, answered: 2 });
  // A table that both see, and connections of which each has its own.
  expect(valuesOf(figures, "mail")).toMatchObject({ "outbox.queued": 3, "connections.postgres": 8 });
  for (const mail of [one, other]) expect(mail.metricsAskedWith?.get("x-service-key")).toBe("sk_test");
});

test("queues are the listener's word, kept over time", async () => {
  const listener = service();
  const queue = { name: "logs.main.v1", role: "work" as const, messages: 12, consumers: 2, in_hand: 3, held: 0 };
  listener.queues = [queue];
  const figures = platform({ urls: { listener: [listener.url] } });
  expect((await after(figures)).queues).toEqual([queue]);
  const depth = figures.over("rabbitmq", 3_600).charts.find(({ key }) => key === "depth");
  expect(depth?.series[0]).toMatchObject({ name: "logs.main.v1" });
  expect(depth?.series[0]?.values.at(-1)).toBe(12);
});

test("a service that goes away, hangs or answers nonsense is null meanwhile, and goes on when it is back", async () => {
  const auth = service();
  auth.tellMetrics = telling((times) => `process_start_time_seconds 5\nauth_hash_queue ${times}`);
  const well = auth.tellMetrics;
  const figures = platform({ urls: { auth: [auth.url] } });
  const queued = () => valuesOf(figures, "auth")?.["hash_queue.waiting"];
  await until("a figure", () => typeof queued() === "number");
  for (const answer of [() => new Response("", { status: 503 }), () => Response.redirect("/")]) {
    auth.tellMetrics = answer;
    await until("away", () => queued() === null);
    auth.tellMetrics = well;
    await until("back", () => typeof queued() === "number");
  }
  const { values } = figures.over("auth", 3_600).charts.find(({ key }) => key === "hash_queue")?.series[0] ?? {};
  expect([values?.includes(null), typeof values?.at(-1)]).toEqual([true, "number"]);
});

test("one sample at a time; a service that hangs does not keep it from stopping", async () => {
  const auth = service();
  let asked = 0;
  auth.tellMetrics = () => {
    asked += 1;
    return new Promise(() => undefined);
  };
  const figures = platform({ urls: { auth: [auth.url] } });
  await until("it is asked", () => asked === 1);
  // Time for several, if it did not wait.
  await Bun.sleep(300);
  expect(asked).toBe(1);
  const startedAt = performance.now();
  await figures[Symbol.asyncDispose]();
  expect(performance.now() - startedAt).toBeLessThan(1_000);
});

test("what should never be is in the log, and the next sample is taken", async () => {
  const lines: string[] = [];
  let times = 0;
  const own = async (): Promise<string> => {
    times += 1;
    if (times === 1) throw new Error("a gauge that throws");
    return "";
  };
  const figures = platform({ own, log: makeLog({ service: "x", level: "info", write: (line) => lines.push(line) }) });
  await after(figures, 1);
  expect(lines.filter((line) => line.includes("no figures: this is a bug"))).toHaveLength(1);
});
