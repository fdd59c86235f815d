/** Traces as they are taken, kept and given back, by a whole logger. */
import { expect, test } from "bun:test";
import type { TraceDetail, TracePage } from "#contracts/traces";
import {
  type Logger,
  makeDatabase,
  mongoUrl,
  NEEDS_MONGODB,
  startLogger,
  TEST_MONGODB_URL,
  until,
} from "../testing.ts";

const skip = TEST_MONGODB_URL === undefined;
const START = 1_790_000_000_000;

const hex = (digits: number): string => crypto.getRandomValues(Buffer.alloc(digits / 2)).toString("hex");

interface Given {
  spanId?: string;
  parentSpanId?: string;
  name?: string;
  at?: number;
  ms?: number;
  kind?: number;
  attributes?: unknown[];
  status?: unknown;
  links?: unknown[];
  events?: unknown[];
}

/** Spans of one trace by one service, as OTLP has them. */
function request(traceId: string, service: string, spans: readonly Given[]) {
  const nanos = (ms: number): string => String(BigInt(Math.round(ms * 1_000)) * 1_000n);
  return {
    resourceSpans: [
      {
        resource: { attributes: [{ key: "service.name", value: { stringValue: service } }] },
        scopeSpans: [
          {
            spans: spans.map(({ at = START, ms = 5, spanId = hex(16), name = "work", ...rest }) => ({
              traceId,
              spanId,
              name,
              startTimeUnixNano: nanos(at),
              endTimeUnixNano: nanos(at + ms),
              ...rest,
            })),
          },
        ],
      },
    ],
  };
}

const send = (logger: Logger, body: unknown, headers = {}) => logger.post(body, "/otlp/v1/traces", headers);

async function read(logger: Logger, id: string): Promise<TraceDetail | undefined> {
  const answer = await fetch(`${logger.app.url}/traces/${id}`);
  return answer.status === 200 ? ((await answer.json()) as { data: TraceDetail }).data : undefined;
}

async function list(logger: Logger, query = ""): Promise<TracePage> {
  const answer = await fetch(`${logger.app.url}/traces${query}`);
  return ((await answer.json()) as { data: TracePage }).data;
}

async function started(environment: Record<string, string> = {}) {
  const database = await makeDatabase();
  const logger = await startLogger(mongoUrl(database.name), environment);
  await logger.ready();
  return {
    logger,
    database,
    async [Symbol.asyncDispose]() {
      await logger[Symbol.asyncDispose]();
      await database[Symbol.asyncDispose]();
    },
  };
}

test.skipIf(skip)(`a trace is put together from what its services send, in any order ${NEEDS_MONGODB}`, async () => {
  await using scene = await started();
  const { logger } = scene;
  const id = hex(32);
  const [root, call, served] = [hex(16), hex(16), hex(16)];
  const link = { traceId: hex(32), spanId: hex(16) };
  const behind = request(id, "auth", [
    {
      spanId: served,
      parentSpanId: call,
      name: "POST /authenticate",
      kind: 2,
      at: START + 2.5,
      ms: 3,
      status: { code: 2 },
      attributes: [
        { key: "error.type", value: { stringValue: "unauthenticated" } },
        { key: "http.response.status_code", value: { intValue: "401" } },
        { key: "a.list", value: { arrayValue: { values: [{ boolValue: true }, { doubleValue: 0.5 }] } } },
      ],
      events: [{ name: "retry", timeUnixNano: String((BigInt(START) + 4n) * 1_000_000n) }],
      links: [link],
    },
  ]);
  const front = request(id, "broker", [
    { spanId: root, name: "POST /handle", kind: 2, ms: 10 },
    { spanId: call, parentSpanId: root, name: "POST", kind: 3, at: START + 1, ms: 8 },
  ]);

  const taken = await send(logger, behind);
  expect([taken.status, await taken.json()]).toEqual([200, {}]);
  await until(async () => (await read(logger, id)) !== undefined, "the first part");
  expect(await read(logger, id)).toMatchObject({ whole: false, missing_parents: [call], services: ["auth"] });

  await send(logger, front);
  await send(logger, front);
  await until(async () => (await read(logger, id))?.whole === true, "the whole trace");
  const trace = (await read(logger, id)) as TraceDetail;
  expect(trace).toMatchObject({
    duration_ms: 10,
    services: ["auth", "broker"],
    error: true,
    missing_parents: [],
    cut: false,
  });
  expect(
    trace.spans.map(({ span_id, parent_id, name, kind, service, offset_ms, duration_ms }) => ({
      span_id,
      parent_id,
      name,
      kind,
      service,
      offset_ms,
      duration_ms,
    })),
  ).toEqual([
    {
      span_id: root,
      parent_id: undefined,
      name: "POST /handle",
      kind: "server",
      service: "broker",
      offset_ms: 0,
      duration_ms: 10,
    },
    { span_id: call, parent_id: root, name: "POST", kind: "client", service: "broker", offset_ms: 1, duration_ms: 8 },
    {
      span_id: served,
      parent_id: call,
      name: "POST /authenticate",
      kind: "server",
      service: "auth",
      offset_ms: 2.5,
      duration_ms: 3,
    },
  ]);
  expect(trace.spans[2]).toMatchObject({
    error: "unauthenticated",
    attributes: { "http.response.status_code": 401, "a.list": [true, 0.5] },
    events: [{ name: "retry", offset_ms: 4 }],
    links: [{ trace_id: link.traceId, span_id: link.spanId }],
  });
  expect(trace.spans[2]?.attributes["error.type"]).toBeUndefined();
});

test.skipIf(skip)(`a parent that is somebody's outside is not missed ${NEEDS_MONGODB}`, async () => {
  await using scene = await started();
  const { logger } = scene;
  const id = hex(32);
  const attributes = [{ key: "platform.parent.outside", value: { boolValue: true } }];
  await send(logger, request(id, "broker", [{ parentSpanId: hex(16), name: "POST /handle", attributes }]));
  await until(async () => (await read(logger, id)) !== undefined, "the trace");
  expect(await read(logger, id)).toMatchObject({ whole: true, missing_parents: [], spans: [{ attributes: {} }] });
  expect((await list(logger)).items).toMatchObject([{ trace_id: id, name: "POST /handle", service: "broker" }]);
});

test.skipIf(skip)(`the list: newest first, by pages, and what is asked of a trace ${NEEDS_MONGODB}`, async () => {
  await using scene = await started();
  const { logger } = scene;
  const ids: string[] = [];
  for (let index = 0; index < 7; index += 1) {
    const id = hex(32);
    ids.unshift(id);
    const isBad = index === 3;
    await send(
      logger,
      request(id, index % 2 === 0 ? "broker" : "mail", [
        {
          name: index === 5 ? "GET /slow" : "GET /ping",
          at: START + index * 10,
          ms: index === 5 ? 900 : 1,
          ...(isBad ? { status: { code: 2 } } : {}),
        },
      ]),
    );
  }
  await until(async () => (await list(logger)).items.length === 7, "all of them");
  const shown = async (query: string): Promise<string[]> =>
    (await list(logger, query)).items.map((item) => item.trace_id);
  expect(await shown("")).toEqual(ids);
  const first = await list(logger, "?limit=3");
  const second = await list(logger, `?limit=3&cursor=${first.next_cursor}`);
  const third = await list(logger, `?limit=3&cursor=${second.next_cursor}`);
  expect([first, second, third].flatMap(({ items }) => items.map((item) => item.trace_id))).toEqual(ids);
  expect(third.next_cursor).toBeUndefined();
  expect(await shown("?error=true")).toEqual([ids[3] as string]);
  expect(await shown("?error=false")).toEqual(ids.filter((id) => id !== ids[3]));
  expect(await shown("?min_duration_ms=500")).toEqual([ids[1] as string]);
  expect(await shown("?name=GET%20%2Fslow")).toEqual([ids[1] as string]);
  expect(await shown("?service=mail&limit=2")).toEqual([ids[1] as string, ids[3] as string]);
  for (const query of ["?cursor=x", "?limit=0", "?service=a.b", "?other=1", "?min_duration_ms=-1"])
    expect([query, (await fetch(`${logger.app.url}/traces${query}`)).status]).toEqual([query, 422]);
});

test.skipIf(skip)(`what is too much of one trace is not kept, and is told ${NEEDS_MONGODB}`, async () => {
  await using scene = await started({ TRACE_MAX_SPANS: "5" });
  const { logger } = scene;
  const id = hex(32);
  const root = hex(16);
  await send(
    logger,
    request(id, "broker", [{ spanId: root }, ...Array.from({ length: 9 }, () => ({ parentSpanId: root }))]),
  );
  await until(async () => (await read(logger, id)) !== undefined, "the trace");
  expect(await read(logger, id)).toMatchObject({ cut: true, whole: false, missing_parents: [] });
  expect((await read(logger, id))?.spans.length).toBe(5);
  expect(await logger.metric('logger_trace_spans_dropped_total{reason="trace_full"')).toBe(5);
});

test.skipIf(skip)(
  `what is no request is refused as OTLP says, and what is no span alone ${NEEDS_MONGODB}`,
  async () => {
    await using scene = await started();
    const { logger } = scene;
    const refused = async (body: unknown, headers = {}) => {
      const answer = await send(logger, body, headers);
      return [answer.status, typeof ((await answer.json()) as { message: unknown }).message];
    };
    expect(await refused("{")).toEqual([400, "string"]);
    expect(await refused({ resourceSpans: 1 })).toEqual([400, "string"]);
    expect(await refused("[]")).toEqual([400, "string"]);
    expect(await refused({}, { "content-type": "application/x-protobuf" })).toEqual([415, "string"]);
    expect(await refused({}, { "content-encoding": "br" })).toEqual([415, "string"]);
    expect(await refused("x".repeat(1_048_577))).toEqual([413, "string"]);
    const id = hex(32);
    const partly = await send(logger, request(id, "x", [{ spanId: "0".repeat(16) }, {}, { spanId: "nonsense" }]));
    expect(await partly.json()).toMatchObject({ partialSuccess: { rejectedSpans: "2" } });
    await until(async () => (await read(logger, id))?.spans.length === 1, "the one");
    expect((await fetch(`${logger.app.url}/traces/${hex(32)}`)).status).toBe(404);
  },
);

test.skipIf(skip)(
  `with 0 as their number traces are not kept, and whoever sends them hears so ${NEEDS_MONGODB}`,
  async () => {
    await using scene = await started({ TRACES_MAX: "0" });
    const answer = await send(scene.logger, request(hex(32), "x", [{}, {}]));
    expect(await answer.json()).toMatchObject({ partialSuccess: { rejectedSpans: "2" } });
  },
);
