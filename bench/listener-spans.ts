/**
 * What spans cost the listener: the same 20,000 events are stored with no sink in use, with one and nothing sampled, and
 * with one and everything sampled. One worker, a real RabbitMQ, a logger in memory that answers at once.
 *
 *     TEST_RABBITMQ_URL=amqp://guest:guest@127.0.0.1:5672 bun bench/listener-spans.ts [rounds, default 3]
 *
 * CPU is that of the whole process: worker, logger and whoever watches them.
 */
import { newTrace, traceparentOf } from "#shared/telemetry";
import { RABBITMQ, setUp, until } from "../listener/listener.test-kit.ts";

const EVENTS = 20_000;
const CASES = ["no sink", "sink, not sampled", "sink, all sampled"] as const;
type Case = (typeof CASES)[number];

async function run(which: Case): Promise<{ ms: number; cpuMs: number }> {
  const openWorker = (): Worker =>
    new Worker(
      new URL(which === "no sink" ? "../listener/worker.ts" : "./counting-worker.fixture.ts", import.meta.url),
    );
  await using kit = await setUp({ WORKERS: "1" }, { openWorker });
  kit.logger.delayMs = 0;
  const { queue } = kit.topology.logs;
  for (const { name, type } of kit.topology.exchanges) await kit.channel.assertExchange(name, type, { durable: true });
  for (const { name, arguments: its, bindings } of kit.topology.queues) {
    await kit.channel.assertQueue(name, { durable: true, arguments: its });
    for (const { exchange, key } of bindings) await kit.channel.bindQueue(name, exchange, key);
  }
  for (let index = 0; index < EVENTS; index += 1) {
    const traceparent = traceparentOf({ ...newTrace(), sampled: which === "sink, all sampled" });
    kit.publish("log.INFO", JSON.stringify({ name: "n", data: { index, text: "x".repeat(100) } }), {
      messageId: `m${index}`,
      persistent: true,
      headers: { traceparent },
    });
    if (index % 500 === 499) await kit.channel.waitForConfirms();
  }
  await kit.channel.waitForConfirms();
  const waiting = await kit.count(queue);
  if (waiting !== EVENTS) throw new Error(`${waiting} of ${EVENTS} events are in the queue`);
  const startedAt = performance.now();
  const cpuBefore = process.cpuUsage();
  await using _app = await kit.listen();
  await until(() => kit.logger.stored.size === EVENTS, 120_000);
  const ms = performance.now() - startedAt;
  const { user, system } = process.cpuUsage(cpuBefore);
  return { ms, cpuMs: (user + system) / 1_000 };
}

if (RABBITMQ === undefined) throw new Error("TEST_RABBITMQ_URL is needed");
const rounds = Number(process.argv[2] ?? 3);
const all = new Map<Case, { ms: number; cpuMs: number }[]>(CASES.map((which) => [which, []]));
for (let round = 0; round < rounds; round += 1) {
  for (const which of CASES) all.get(which)?.push(await run(which));
}
const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
const table = CASES.map((which) => {
  const runs = all.get(which) ?? [];
  return {
    which,
    "events/s": Math.round((EVENTS * 1_000) / median(runs.map(({ ms }) => ms))),
    "CPU µs an event": Math.round((median(runs.map(({ cpuMs }) => cpuMs)) * 1_000) / EVENTS),
  };
});
console.table(table);
process.exit(0);
