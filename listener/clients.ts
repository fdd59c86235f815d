/** The listener's neighbours: the logger by RPC, the mail service by HTTP, the dead-letter exchanges. */
import { HEADER_ERROR, HEADER_ROUTING_KEY } from "#contracts/events";
import { LogBatchResult, RPC_LOG_BATCH } from "#contracts/logs";
import type { IncomingMessage, Publisher } from "#shared/amqp";
import { FAILURES, Failure, type FailureCode, fail, ok, type Result } from "#shared/errors";
import { failureOfAnswer, type JsonClient } from "#shared/client";
import { Deadline, REST_CEILING_MS, RPC_CEILING_MS } from "#shared/resilience";
import type { RpcClient } from "#shared/rpc";
import { type CallContext, newTrace, type Trace, traceOf } from "#shared/telemetry";
import { makeValidator } from "#shared/validation";
import type { Bury, DeliverMail, StoreEntries } from "./consume.ts";

const PROBE_MS = 2_000;
/** Headers that RabbitMQ adds on its way: of no meaning, and confusing to it, on a message that is sent anew. */
const TRANSIT_HEADERS = /^x-(death|first-death-.*|last-death-.*|delivery-count|acquired-count)$/;

const batchResultOf = makeValidator(LogBatchResult, { name: "result" });

function contextFor(trace: Trace, ms: number): CallContext {
  return { requestId: Bun.randomUUIDv7(), trace, deadline: Deadline.after(ms) };
}

export function makeStore(rpc: RpcClient): StoreEntries {
  return async (entries, trace) => {
    const called = await rpc.call(RPC_LOG_BATCH, [entries], contextFor(trace, RPC_CEILING_MS));
    if (!called.ok) return called;
    const checked = batchResultOf(called.value);
    if (!checked.ok || checked.value.length !== entries.length) {
      return fail("bad_gateway", "the logger answered off its contract");
    }
    return ok(checked.value.map((result) => ("ok" in result ? undefined : failureOfCode(result.error))));
  };
}

function failureOfCode({ code, message }: { code: string; message: string }): Failure {
  return new Failure(Object.hasOwn(FAILURES, code) ? (code as FailureCode) : "internal", message);
}

export function probeLogger(rpc: RpcClient): () => Promise<Result<void>> {
  return async () => {
    const called = await rpc.call("RPCServer.Ping", [], contextFor(newTrace(), PROBE_MS));
    return called.ok ? ok() : called;
  };
}

export function makeMailer(mail: JsonClient): DeliverMail {
  return async (request, id, trace) => {
    const headers = { "idempotency-key": id };
    const answered = await mail.request("POST", "/send", request, contextFor(trace, REST_CEILING_MS), headers);
    if (!answered.ok) return answered;
    const { status, envelope } = answered.value;
    if (status < 300) return ok();
    // The same mail is being sent at this moment: its outcome is known in a while.
    if (status === 409) return fail("unavailable", envelope.message);
    return { ok: false, error: failureOfAnswer(answered.value) };
  };
}

export function probeMail(mail: JsonClient): () => Promise<Result<void>> {
  return async () => {
    const answered = await mail.request("GET", "/ready", undefined, contextFor(newTrace(), PROBE_MS));
    if (!answered.ok) return answered;
    return answered.value.status === 200 ? ok() : fail("unavailable", `mail is ${answered.value.envelope.message}`);
  };
}

/** Moves messages to a dead-letter exchange as they came, with the reason. */
export function makeBurying(publisher: Publisher, exchange: string): Bury<IncomingMessage> {
  return async (message, id, reason) => {
    const kept = Object.entries(message.headers).filter(([name]) => !TRANSIT_HEADERS.test(name));
    const ours = { [HEADER_ERROR]: reason.message, [HEADER_ROUTING_KEY]: message.routingKey };
    const send = (headers: Record<string, unknown>): Promise<Result<void>> =>
      publisher.publish(
        {
          exchange,
          routingKey: message.routingKey,
          messageId: message.messageId ?? id,
          body: message.body,
          ...(message.contentType === undefined ? {} : { contentType: message.contentType }),
          ...(message.timestamp === undefined ? {} : { timestamp: message.timestamp }),
          headers,
          properties: message.properties,
        },
        contextFor(traceOf(message.headers["traceparent"]), RPC_CEILING_MS),
      );
    const sent = await send({ ...Object.fromEntries(kept), ...ours });
    // A table of its sender's that we can read and not write: the message matters more.
    return !sent.ok && sent.error.code === "invalid" ? send(ours) : sent;
  };
}
