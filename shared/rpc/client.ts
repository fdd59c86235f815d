/** RPC client: many calls in flight over one connection, matched to their answers by id. */
import { FAILURES, Failure, type FailureCode, fail, ok, type Result } from "#shared/errors";
import {
  type CallContext,
  childOf,
  isRecorded,
  preciseNow,
  recordSpan,
  type Trace,
  traceparentOf,
} from "#shared/telemetry";
import { rpcAttributes } from "./call.ts";
import type { Channel } from "./channel.ts";
import type { Message } from "./decode.ts";
import { addressOf, makeLink } from "./link.ts";
import { endOf, isOver, type Pending, PendingCalls } from "./pending.ts";
import { tallyOf } from "./tally.ts";
import type { RpcClient, RpcClientOptions } from "./types.ts";

/** Calls that have not ended; below the server's limit, so that pings and cancellations are always read. */
const MAX_CALLS = 4_000;
/** Bytes that wait for the socket. */
const MAX_WAITING_BYTES = 32 * 1_048_576;
/** Longest that a call waits for a connection that is being opened (ms). */
const OPENING_MS = 1_000;
/** How late the end of a call may be noticed (ms): one timer for all calls, none for each. */
const SWEEP_MS = 20;

/** Connects at once and for ever, until disposed. @throws TypeError at a malformed url. */
export function makeRpcClient(options: RpcClientOptions): RpcClient {
  const { metrics, onState } = options;
  const { host, port } = addressOf(options.url);
  const pending = new PendingCalls();
  const tally = tallyOf(metrics, "client");
  let channel: Channel | undefined;
  /** The first connection is being opened, or a lost one is opened again: calls wait for the outcome. */
  let opening = true;
  let closed = false;
  let told: boolean | undefined;
  let sweeper: Timer | undefined;

  const settle = (id: number, result: Result<unknown>, now: number): void => {
    const call = pending.take(id);
    if (call === undefined) return;
    if (result.ok) call.tally.succeeded += 1;
    else call.tally.fail(result.error.code);
    if (tally.timing()) tally.time(call.tally, now - call.startedAt);
    if (call.trace !== call.context.trace) tellOf(call.trace, call.method, call.startedAt, result);
    call.resolve(result);
  };
  /** A call that is followed is over. @param startedAt by `performance.now()`. */
  const tellOf = (trace: Trace, method: string, startedAt: number, result: Result<unknown>): void => {
    const endedAt = preciseNow();
    recordSpan(trace, {
      name: method,
      kind: "client",
      startedAt: endedAt - (performance.now() - startedAt),
      endedAt,
      attributes: { ...rpcAttributes(method), "server.address": host, "server.port": port },
      ...(result.ok ? {} : { error: result.error.code }),
    });
  };
  const settleAll = (error: Failure): void => {
    const now = performance.now();
    pending.each((call) => settle(call.id, { ok: false, error }, now));
  };

  const send = (to: Channel, call: Pending, now: number): void => {
    call.sent = true;
    const { context } = call;
    const meta = {
      deadline_ms: Math.ceil(call.endsAt - now),
      traceparent: traceparentOf(call.trace),
      request_id: context.requestId,
    };
    const failure =
      to.waitingBytes > MAX_WAITING_BYTES
        ? new Failure("exhausted", "too much waits to be sent to the RPC server")
        : to.send([0, call.id, call.method, call.params, meta]);
    if (failure !== undefined) settle(call.id, { ok: false, error: failure }, now);
  };

  const sweep = (): void => {
    if (pending.size === 0) {
      clearInterval(sweeper);
      sweeper = undefined;
      return;
    }
    const now = performance.now();
    pending.each((call) => {
      if (isOver(call, now)) {
        if (call.sent) channel?.send([2, "RPCServer.Cancel", [call.id]]);
        settle(call.id, fail("deadline", `${call.method} took too long`), now);
      } else if (!call.sent && now - call.startedAt > OPENING_MS) {
        settle(call.id, fail("unavailable", "the RPC server is not connected"), now);
      }
    });
  };

  const source = {
    get inFlight() {
      return pending.size;
    },
    get connections() {
      return channel === undefined ? 0 : 1;
    },
  };
  tally.sources.add(source);

  const tell = (connected: boolean, error?: Failure): void => {
    if (connected === told) return;
    told = connected;
    onState?.(connected, error);
  };

  const link = makeLink(options, {
    onUp(to) {
      channel = to;
      opening = false;
      const now = performance.now();
      pending.each((call) => send(to, call, now));
      tell(true);
    },
    onDown(error) {
      channel = undefined;
      opening = !closed;
      settleAll(error);
      tell(false, error);
    },
    onFailed(error) {
      opening = false;
      settleAll(error);
      tell(false, error);
    },
    onResponse({ id, error, result }) {
      settle(id, error === null ? ok(result) : { ok: false, error: failureFrom(error) }, channel?.receivedAt ?? 0);
    },
    onTick: () => tally.refill(),
  });

  const call = (method: string, params: readonly unknown[], context: CallContext): Promise<Result<unknown>> => {
    const now = performance.now();
    const methodTally = tally.of(method);
    const endsAt = endOf(context, now);
    const refusal = refusalOf(endsAt);
    if (refusal !== undefined || endsAt === undefined) {
      const failed = { ok: false, error: refusal ?? new Failure("deadline") } as const;
      methodTally.fail(failed.error.code);
      if (isRecorded(context.trace)) tellOf(childOf(context.trace), method, now, failed);
      return Promise.resolve(failed);
    }
    const { trace } = context;
    return new Promise((resolve) => {
      const made: Pending = {
        method,
        params,
        context,
        trace: isRecorded(trace) ? childOf(trace) : trace,
        tally: methodTally,
        startedAt: now,
        endsAt,
        resolve,
        sent: false,
        id: 0,
      };
      pending.add(made);
      sweeper ??= setInterval(sweep, SWEEP_MS);
      if (channel !== undefined) send(channel, made, now);
    });
  };

  const refusalOf = (endsAt: number | undefined): Failure | undefined => {
    if (closed) return new Failure("unavailable", "the RPC client is closed");
    if (endsAt === undefined) return new Failure("deadline", "no time left to call");
    if (pending.size >= MAX_CALLS) return new Failure("exhausted", "too many calls wait for the RPC server");
    if (channel === undefined && !opening) return new Failure("unavailable", "the RPC server is not connected");
    return undefined;
  };

  return {
    get connected() {
      return channel !== undefined;
    },
    get inFlight() {
      return pending.size;
    },
    call,
    async [Symbol.asyncDispose]() {
      closed = true;
      await link.close();
      clearInterval(sweeper);
      tally.sources.delete(source);
    },
  };
}

/** The failure that a response's error stands for; a code that is not of the contract makes it `bad_gateway`. */
function failureFrom(error: Message["error"]): Failure {
  const { code, message } = (typeof error === "object" && error !== null ? error : {}) as Record<string, unknown>;
  const known: FailureCode =
    typeof code === "string" && Object.hasOwn(FAILURES, code) ? (code as FailureCode) : "bad_gateway";
  return new Failure(known, typeof message === "string" ? message.slice(0, 1_000) : undefined);
}
