/** One trace from a job for the mail service, through the listener's worker and the outbox, to the mail server. */
import { describe, expect, test } from "bun:test";
import { MAIL_JOB } from "#contracts/events";
import { makePublisher } from "#shared/amqp";
import { Secret } from "#shared/config";
import { makeHealth } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { asSpan, makeMetrics, newContext } from "#shared/telemetry";
import { RABBITMQ, setUp, until } from "../../listener/listener.test-kit.ts";
import { allSpans, openWorker } from "../../listener/spans.test-kit.ts";
import { makeWorld, POSTGRES_URL } from "../../mail/service.test-kit.ts";

describe.skipIf(RABBITMQ === undefined || POSTGRES_URL === undefined)(
  "a mail's trace (needs TEST_RABBITMQ_URL and TEST_POSTGRES_URL)",
  () => {
    test("job, outbox and both tries at the mail server hang together, and tell of nobody", async () => {
      using seen = allSpans();
      // "Not now": the mail waits in the outbox, and is tried once more.
      await using world = await makeWorld({}, { rcpt: "451 4.7.1 come back later" });
      await using kit = await setUp({ WORKERS: "1", MAIL_URL: world.app.url }, { openWorker });
      await using _listener = await kit.listening();
      await using publisher = makePublisher({
        url: new Secret(RABBITMQ ?? ""),
        name: "test",
        log: silentLog,
        metrics: makeMetrics("test", "0"),
        dependency: makeHealth(silentLog).dependency("rabbitmq"),
        topology: kit.topology,
      });
      await until(() => publisher.state === "connected");

      const context = newContext();
      const { traceId, spanId } = context.trace;
      const mail = { from: "a@example.com", to: "canary@example.com", subject: "canary", message: "canary" };
      const body = new TextEncoder().encode(JSON.stringify(mail));
      const messageId = Bun.randomUUIDv7();
      const { exchange } = kit.topology.jobs;
      await asSpan(context, "request", {}, (own) =>
        publisher.publish({ exchange, routingKey: MAIL_JOB, messageId, body }, own),
      );
      const of = (name: string) => seen.named(context.trace, name);
      await until(() => of("SMTP send").length === 1);
      world.double.behaviour = { ...world.double.behaviour, rcpt: "250 2.1.5 ok" };
      await world.until(messageId, "sent");
      await until(() => of("SMTP send").length === 2 && of("outbox mail").length === 2);

      const { arrived } = world.double;
      expect(arrived.at(-1)?.content).toContain(`Traceparent: 00-${traceId}-`);
      expect(
        of("SMTP send").map(({ kind, error, attributes }) => [kind, error, attributes["smtp.response_code"]]),
      ).toEqual([
        ["client", "451", 451],
        ["client", undefined, 250],
      ]);
      expect(of("outbox mail").map(({ attributes }) => attributes["platform.attempt"])).toEqual([1, 2]);
      const waited = of("outbox mail").map(({ attributes }) => Number(attributes["platform.waited_ms"]));
      expect(waited[1]).toBeGreaterThan(waited[0] ?? Number.NaN);
      for (const [index, sent] of of("SMTP send").entries()) {
        expect(sent.trace.parentId).toBe(of("outbox mail")[index]?.trace.spanId ?? "");
      }
      const [run] = of("run mail");
      const [processed] = of(`process ${kit.topology.jobs.queues.get(MAIL_JOB)}`);
      const [sent] = of(`send ${exchange}`);
      expect(run?.trace.parentId).toBe(processed?.trace.spanId ?? "");
      expect(processed?.trace.parentId).toBe(sent?.trace.spanId ?? "");
      expect(sent?.trace.parentId).toBe(spanId);
      expect(JSON.stringify(seen.spans)).not.toContain("canary");
    }, 120_000);
  },
);
