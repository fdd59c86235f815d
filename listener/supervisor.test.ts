import { expect, test } from "bun:test";
import { silentLog } from "#shared/log";
import type { WorkerReport } from "./protocol.ts";
import { type SupervisorOptions, superviseWorkers } from "./supervisor.ts";

async function until(condition: () => boolean, ms = 10_000): Promise<void> {
  const endsAt = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > endsAt) throw new Error("it did not come to pass");
    await Bun.sleep(10);
  }
}

/** Threads of a few lines: `first` for the first one, then a well-behaved one. */
function supervised(first: string, silentMs: number) {
  const well = `
    const report = { dependencies: {}, queues: [], cautious: false, spans: [] };
    setInterval(() => postMessage({ type: "beat", report }), 20);
    addEventListener("message", ({ data }) => data.type === "stop" && postMessage({ type: "stopped", report }));`;
  const seen = { opened: 0, restarts: 0, reports: [] as (WorkerReport | undefined)[] };
  const options: SupervisorOptions = {
    workers: 1,
    settings: {
      version: "0",
      rabbitmqUrl: "",
      logsQueue: "",
      logsBindings: [],
      retryTiers: [],
      prefix: "",
      prefetch: 1,
      loggerUrls: [],
      loggerToken: undefined,
      serviceKey: undefined,
      mailUrls: [],
      discovery: { ENVIRONMENT: "development", DISCOVERY: "static", SERVICE_ANNOUNCERS: undefined },
      tls: {},
      tracing: undefined,
    },
    log: silentLog,
    silentMs,
    onReport: (_, report) => seen.reports.push(report),
    onRestart: () => (seen.restarts += 1),
    onMismatch: () => undefined,
    open() {
      seen.opened += 1;
      const code = seen.opened === 1 ? first : well;
      return new Worker(URL.createObjectURL(new Blob([code], { type: "application/javascript" })));
    },
  };
  return { supervisor: superviseWorkers(options), seen };
}

test.each([
  ["throws", `throw new Error("broken");`],
  ["leaves a rejection unhandled, which ends it with code 0", `Promise.reject(new Error("broken"));`],
  ["exits", `process.exit(7);`],
])("a worker that %s is started again", async (_, code) => {
  const { supervisor, seen } = supervised(code, 5_000);
  await until(() => seen.restarts === 1);
  expect(seen.reports.at(-1)).toBeUndefined();
  await until(() => seen.reports.at(-1) !== undefined);
  expect(seen.opened).toBe(2);
  expect(supervisor.running).toBe(1);
  await supervisor[Symbol.asyncDispose]();
  expect(supervisor.running).toBe(0);
  expect(seen.opened).toBe(2);
});

test("a worker that spins and answers no more is replaced", async () => {
  const { supervisor, seen } = supervised(`for (;;);`, 300);
  await until(() => seen.restarts === 1);
  await until(() => seen.reports.at(-1) !== undefined);
  expect(supervisor.running).toBe(1);
  await supervisor[Symbol.asyncDispose]();
});
