/**
 * A thousand calls of all kinds through the five services as processes, each with a trace of its own: every one of them is
 * whole in the platform's own store, with the spans that its way has.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { TraceDetail, TracePage } from "#contracts/traces";
import { HAS_BACKING, type Platform, START_MS, startPlatform, until } from "../kit.ts";

const CALLS = 1_000;
/** Calls at a time: 1,000 traces a minute are many, and not what the machine cannot do. */
const AT_A_TIME = 6;
/** Longest until the last part of a trace is kept, from its call's answer on (ms): a mail's way through the outbox is the longest. */
const WHOLE_MS = 60_000;

/** Tries of a call that is answered too late. */
const TRIES = 10;

/** Its hash is a cheap one: what hashing costs is not what is asked here. */
const USER = { email: "traced@example.com", password: "a first secret" };

interface Hop {
  readonly service: string;
  readonly kind: TraceDetail["spans"][number]["kind"];
  /** What its name has in it; default: anything. */
  readonly name?: RegExp;
}

const hop = (service: string, kind: Hop["kind"], name?: RegExp): Hop => ({
  service,
  kind,
  ...(name === undefined ? {} : { name }),
});

/**
 * An event's way from the broker to the logger. Events that are stored together share one call, which is a part of the first
 * one's trace: what each has of its own are its spans at both ends of it.
 */
const EVENT = [
  hop("broker", "producer"),
  hop("listener", "consumer", /^process /),
  hop("listener", "internal", /^store$/),
  hop("logger", "internal", /^store entry$/),
  hop("logger", "client", /^insert logs$/),
];

/** How often each is among ten calls, what is sent, what is answered, and what its trace has in it at least. */
const KINDS = [
  {
    name: "log",
    share: 5,
    path: "/handle",
    body: (index: number) => ({ action: "log", log: { name: "traced", data: index } }),
    status: 202,
    hops: [
      hop("broker", "server", /POST \/handle/),
      hop("broker", "client", /^RPCServer\./),
      hop("logger", "server", /^RPCServer\./),
    ],
  },
  {
    name: "event",
    share: 2,
    path: "/",
    body: () => ({}),
    status: 200,
    hops: [hop("broker", "server", /POST \//), ...EVENT],
  },
  {
    name: "auth",
    share: 1,
    path: "/handle",
    body: () => ({ action: "auth", auth: USER }),
    status: 202,
    hops: [
      hop("broker", "server", /POST \/handle/),
      hop("broker", "client"),
      hop("auth", "server", /POST \/authenticate/),
      hop("auth", "client"),
      ...EVENT,
    ],
  },
  {
    name: "mail",
    share: 1,
    path: "/handle",
    body: (index: number) => ({
      action: "mail",
      mail: { from: "shop@example.com", to: "ann@example.org", subject: `Traced ${index}`, message: "Hello" },
    }),
    status: 202,
    hops: [
      hop("broker", "server", /POST \/handle/),
      hop("broker", "client"),
      hop("mail", "server", /POST \/(mails|send)/),
      hop("mail", "client"),
    ],
  },
  {
    name: "a refusal",
    share: 1,
    path: "/handle",
    body: () => ({ action: "no such action" }),
    status: 400,
    hops: [hop("broker", "server", /POST \/handle/)],
  },
] as const;

const IN_TURN = KINDS.flatMap((kind) => Array.from({ length: kind.share }, () => kind));

const hex = (bytes: number): string => crypto.getRandomValues(Buffer.alloc(bytes)).toString("hex");

/** What a trace lacks; empty where it is as it should be. */
function lackOf(trace: TraceDetail | undefined, hops: readonly Hop[], parent: string): string[] {
  if (trace === undefined) return ["it is not there"];
  const missing = hops.filter(
    ({ service, kind, name = /(?:)/ }) =>
      !trace.spans.some((span) => span.service === service && span.kind === kind && name.test(span.name)),
  );
  const ids = new Set(trace.spans.map(({ span_id }) => span_id));
  const roots = trace.spans.filter(({ parent_id }) => parent_id === undefined || !ids.has(parent_id));
  return [
    ...missing.map(({ service, kind, name }) => `no ${kind} span ${name ?? ""} of ${service}`),
    ...(trace.whole ? [] : [`parents are missing: ${trace.missing_parents.join(", ")}`]),
    ...(roots.length === 1 && roots[0]?.parent_id === parent ? [] : [`it begins ${roots.length} times`]),
  ];
}

describe.skipIf(!HAS_BACKING)("traces (needs the backing services of `bun run test`)", () => {
  let platform: Platform;
  beforeAll(async () => {
    // All of them, also those that somebody outside begins.
    platform = await startPlatform({ env: { OTEL_TRACES_SAMPLER: "parentbased_always_on", BCRYPT_COST: "4" } });
    expect((await platform.post("broker", "/v1/users", USER)).status).toBe(201);
  }, START_MS);
  afterAll(() => platform?.[Symbol.asyncDispose](), 60_000);

  async function read(id: string): Promise<TraceDetail | undefined> {
    const answer = await fetch(`${platform.url("broker")}/v1/traces/${id}`, {
      // Looking at traces makes none.
      headers: { traceparent: `00-${hex(16)}-${hex(8)}-00` },
    });
    return answer.status === 200 ? ((await answer.json()) as { data: TraceDetail }).data : undefined;
  }

  async function droppedBy(service: "broker" | "auth" | "logger" | "mail" | "listener"): Promise<string[]> {
    const text = await (await fetch(`${platform.url(service)}/metrics`)).text();
    return text
      .split("\n")
      .filter((line) => /^(trace_spans_dropped|logger_trace_spans_dropped)_total\{.* [1-9]/.test(line));
  }

  /** One that was answered as it should be: a busy machine may be too slow for a login, which is another trace then. */
  async function call(kind: (typeof KINDS)[number], index: number): Promise<{ id: string; parent: string }> {
    for (let attempt = 1; ; attempt += 1) {
      const [id, parent] = [hex(16), hex(8)];
      const headers = { traceparent: `00-${id}-${parent}-01` };
      const { status } = await platform.post("broker", kind.path, kind.body(index), headers);
      if (status < 500 || attempt === TRIES) {
        expect([kind.name, status]).toEqual([kind.name, kind.status]);
        return { id, parent };
      }
    }
  }

  test(`${CALLS} of ${CALLS} calls give one whole trace each`, async () => {
    const calls: { readonly id: string; readonly parent: string; readonly kind: (typeof KINDS)[number] }[] = [];
    let next = 0;
    const caller = async (): Promise<void> => {
      for (let index = next++; index < CALLS; index = next++) {
        const kind = IN_TURN[index % IN_TURN.length] as (typeof KINDS)[number];
        calls.push({ kind, ...(await call(kind, index)) });
      }
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, caller));
    const lacking: string[] = [];
    let last = performance.now() + WHOLE_MS;
    for (const { id, parent, kind } of calls) {
      let lack: string[] = [];
      do lack = lackOf(await read(id), kind.hops, parent);
      while (lack.length > 0 && performance.now() < last && (await Bun.sleep(100), true));
      if (lack.length > 0) lacking.push(`${kind.name} ${id}: ${lack.join("; ")}`);
      // Once one has not become whole in its time, the others have had theirs.
      if (lack.length > 0) last = 0;
    }
    expect({ lacking: lacking.slice(0, 10), whole: calls.length - lacking.length }).toEqual({
      lacking: [],
      whole: CALLS,
    });
    for (const service of ["broker", "auth", "logger", "mail", "listener"] as const)
      expect([service, await droppedBy(service)]).toEqual([service, []]);
  }, 600_000);

  test("a trace can be looked at two seconds after its call, and is in the list", async () => {
    const [id, parent] = [hex(16), hex(8)];
    const headers = { traceparent: `00-${id}-${parent}-01` };
    await platform.post("broker", "/handle", { action: "no such action" }, headers);
    const startedAt = performance.now();
    await until("the trace", async () => (await read(id)) !== undefined, 5_000);
    // A busy machine is given as much again.
    expect(performance.now() - startedAt).toBeLessThan(4_000);
    const listed = await fetch(`${platform.url("broker")}/v1/traces?service=broker&limit=100`);
    const { items } = ((await listed.json()) as { data: TracePage }).data;
    expect(items.map(({ trace_id }) => trace_id)).toContain(id);
  }, 30_000);

  test("a trace that its caller does not have recorded is not kept", async () => {
    const id = hex(16);
    await platform.post("broker", "/handle", { action: "x" }, { traceparent: `00-${id}-${hex(8)}-00` });
    const after = hex(16);
    await platform.post("broker", "/handle", { action: "x" }, { traceparent: `00-${after}-${hex(8)}-01` });
    await until("the one after it", async () => (await read(after)) !== undefined, 10_000);
    expect(await read(id)).toBeUndefined();
  }, 30_000);
});
