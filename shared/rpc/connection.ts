/** The server's side of one connection: reads calls, runs them, answers, and keeps each of its limits. */
import { RPC_LIMITS } from "#contracts/limits";
import { Secret } from "#shared/config";
import { FAILURES, Failure, failureOf, type Result } from "#shared/errors";
import type { Log } from "#shared/log";
import type { CallContext } from "#shared/telemetry";
import { contextOf, mayBeFollowed, ServerCall, tellOf, timeOf } from "./call.ts";
import type { Channel } from "./channel.ts";
import { WireError } from "./check.ts";
import { decodeMessage, emptyMessage, type Message } from "./decode.ts";
import type { MethodTally, Refusal, Tally } from "./tally.ts";
import { FRAMES_AT_LEAST, type Turns, type Waiting } from "./turns.ts";
import type { RpcMethod } from "./types.ts";

/** Calls in flight on a connection; while there are so many, it is not read. */
export const MAX_IN_FLIGHT = 4_096;
/** Bytes of answers that a slow reader may leave waiting; while there are more, its calls are not read. */
const WAITING_HIGH_BYTES = 4 * 1_048_576;
/** Reading goes on at half of either limit: stopping and starting costs system calls. */
const WAITING_LOW_BYTES = WAITING_HIGH_BYTES / 2;
/** Answers of calls that were in flight when reading stopped may pile up to this; then the connection is closed. */
const WAITING_MAX_BYTES = 64 * 1_048_576;
/** Longest that a frame may stay incomplete (ms). */
const INCOMPLETE_MS = 10_000;
/** Longest that waiting answers may stay without the peer taking a byte (ms). */
const STUCK_MS = 30_000;
/** Silence without calls in flight after which a connection is closed (ms). */
const IDLE_MS = 60_000;
/** Longest that a peer whose connection is being closed may take to end its side (ms). */
const LINGER_MS = 1_000;
/** What a method that keeps its deadline is given to answer `deadline` in its own words (ms). */
const GRACE_MS = 100;

export interface MethodEntry {
  readonly run: RpcMethod;
  readonly tally: MethodTally;
}

/** What all connections of a server share. */
export interface Serving {
  readonly server: string;
  readonly version: string;
  readonly methods: ReadonlyMap<string, MethodEntry>;
  readonly unknown: MethodTally;
  readonly tally: Tally;
  readonly log: Log;
  readonly token: string | undefined;
  readonly turns: Turns;
  /** New calls are refused. */
  draining: boolean;
  /** A connection has no call in flight any more. */
  onIdle(): void;
}

function sameSecret(given: unknown, secret: string): boolean {
  return typeof given === "string" && new Secret(secret).is(given);
}

function wireError(failure: Failure): { code: string; message: string } {
  return { code: FAILURES[failure.code].rpc, message: failure.message };
}

export class Connection implements Waiting {
  readonly channel: Channel;
  readonly peer: string;
  readonly #serving: Serving;
  readonly #calls = new Map<number, ServerCall>();
  /** Notifications whose methods run; they have no id. */
  readonly #notified = new Set<ServerCall>();
  readonly #message: Message = emptyMessage();
  #trusted: boolean;
  /** Not read: a limit is reached. */
  #paused = false;
  /** Not read: others come first. */
  #waiting = false;
  #endedAt = 0;

  constructor(channel: Channel, peer: string, serving: Serving) {
    this.channel = channel;
    this.peer = peer;
    this.#serving = serving;
    this.#trusted = serving.token === undefined;
  }

  get inFlight(): number {
    return this.#calls.size + this.#notified.size;
  }

  onData(chunk: Buffer): void {
    const now = performance.now();
    this.channel.receivedAt = now;
    if (this.channel.ending) return;
    this.channel.reader.push(chunk, now);
    if (!this.#waiting) this.#read(now, this.#serving.turns.until(now));
  }

  goOn(now: number, until: number): void {
    const { channel } = this;
    this.#waiting = false;
    if (channel.ending || channel.closed) return;
    channel.reader.restartClock(now);
    this.#read(now, until);
    if (!this.#waiting && !this.#paused) channel.resume();
  }

  onDrain(): void {
    this.channel.onDrain();
    this.#goOn();
  }

  /** The peer has gone: nobody waits for what is in flight. */
  onClose(): void {
    this.channel.onClose();
    this.#serving.turns.leave(this);
    for (const call of this.#calls.values()) call.abort();
    for (const call of this.#notified) call.abort();
  }

  /** Closes what has taken too long; answers calls whose methods overran their time. Called a few times a second. */
  sweep(now: number): void {
    const { channel } = this;
    if (this.#endedAt !== 0) {
      if (now - this.#endedAt > LINGER_MS) channel.terminate();
      return;
    }
    for (const call of this.#calls.values()) {
      if (call.expired || now < call.endsAt + GRACE_MS) continue;
      call.expired = true;
      this.#answer(call.id, new Failure("deadline"), call.tally);
    }
    if (channel.stuckSince(now - STUCK_MS)) this.#close("stuck", "answers are not taken", true);
    else if (this.#paused || this.#waiting) channel.reader.restartClock(now);
    else if (channel.reader.incompleteSince !== 0 && now - channel.reader.incompleteSince > INCOMPLETE_MS) {
      this.#close("incomplete", "a frame stayed incomplete");
    } else if (this.inFlight === 0 && now - channel.receivedAt > IDLE_MS) this.end();
  }

  /** Ends the connection once what waits is written. */
  end(): void {
    if (this.#endedAt !== 0) return;
    this.#endedAt = performance.now();
    this.channel.end();
  }

  #read(now: number, until: number): void {
    const { channel } = this;
    for (;;) {
      const stopped = this.#readSome(now, until);
      if (stopped === "late") {
        this.#waiting = true;
        channel.pause();
        this.#serving.turns.wait(this);
        return;
      }
      if (stopped !== "full") return;
      // Writing the answers may have made room at once; else the kernel's buffers, then the peer, do the waiting.
      if (!this.#full()) continue;
      this.#paused = true;
      channel.pause();
      return;
    }
  }

  /** @returns why frames may be left: a limit was reached, or the time is up; undefined where none is. */
  #readSome(now: number, until: number): "full" | "late" | undefined {
    const { channel } = this;
    let stopped: "full" | "late" | undefined;
    let frames = 0;
    channel.corked(() => {
      try {
        while (!channel.ending && stopped === undefined && channel.reader.next()) {
          this.#handleFrame(now);
          frames += 1;
          if (this.#full()) stopped = "full";
          else if (frames % FRAMES_AT_LEAST === 0 && performance.now() >= until) stopped = "late";
        }
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
        this.#refuseFrame(error);
      }
    });
    return channel.ending ? undefined : stopped;
  }

  #full(): boolean {
    return this.inFlight >= MAX_IN_FLIGHT || this.channel.waitingBytes > WAITING_HIGH_BYTES;
  }

  /** Reads on where reading was stopped and there is room again. */
  #goOn(): void {
    if (!this.#paused || this.inFlight > MAX_IN_FLIGHT / 2 || this.channel.waitingBytes > WAITING_LOW_BYTES) return;
    const now = performance.now();
    this.#paused = false;
    this.channel.reader.restartClock(now);
    this.channel.resume();
    // Frames that were held may fill it again, which pauses it again.
    this.#read(now, this.#serving.turns.until(now));
  }

  #handleFrame(now: number): void {
    const { reader } = this.channel;
    const message = this.#message;
    try {
      decodeMessage(reader.bytes, reader.from, reader.to, message);
    } catch (error) {
      if (!(error instanceof WireError) || error.fatal) throw error;
      if (message.type === 0) this.#answer(message.id, new Failure("invalid", error.message), this.#serving.unknown);
      return;
    }
    if (message.type === 1) throw new WireError("a response, where only requests and notifications are read", true);
    this.#take(message, now);
  }

  #refuseFrame(error: WireError): void {
    const { id, type } = this.#message;
    if (type === 0 && id >= 0) this.#answer(id, new Failure("invalid", error.message), this.#serving.unknown);
    this.#close("frame", error.message);
  }

  #close(reason: Refusal, why: string, atOnce = false): void {
    this.#serving.tally.refuse(reason);
    this.#serving.log.warn("RPC connection closed", { peer: this.peer, reason: why });
    this.end();
    if (atOnce) this.channel.terminate();
  }

  #take({ type, id, method, params, meta }: Message, now: number): void {
    const serving = this.#serving;
    const answers = type === 0;
    switch (method) {
      case "RPCServer.Ping":
        if (answers) this.channel.send([1, id, null, "OK"]);
        return;
      case "RPCServer.Hello":
        if (answers) this.#hello(id, params[0]);
        return;
      case "RPCServer.Cancel":
        if (!answers) this.#calls.get(params[0] as number)?.abort();
        else this.#answer(id, new Failure("invalid", "RPCServer.Cancel is a notification"), serving.unknown);
        return;
      default:
    }
    const entry = serving.methods.get(method);
    const tally = entry?.tally ?? serving.unknown;
    const ms = timeOf(meta);
    const refusal = this.#refusal(id, entry, meta, ms);
    if (refusal !== undefined || entry === undefined) {
      if (answers) this.#answer(id, refusal ?? new Failure("not_found"), tally);
      else tally.fail(refusal?.code ?? "not_found");
      return;
    }
    const call = new ServerCall(answers ? id : -1, tally, now, ms);
    const context = contextOf(call, meta, ms);
    if (mayBeFollowed(meta) && context.trace.sampled) {
      call.trace = context.trace;
      call.method = method;
    }
    this.#run(call, entry.run, params, context);
  }

  #refusal(id: number, entry: MethodEntry | undefined, meta: Message["meta"], ms: number): Failure | undefined {
    const { token, draining } = this.#serving;
    if (!this.#trusted && token !== undefined && !sameSecret(meta?.["token"], token)) {
      return new Failure("unauthenticated", "a token is needed, in RPCServer.Hello or in meta");
    }
    if (entry === undefined) return new Failure("not_found", "no such method");
    if (draining) return new Failure("unavailable", "the server is stopping");
    if (Number.isNaN(ms)) return new Failure("invalid", "meta.deadline_ms is a number of milliseconds");
    if (ms <= 0) return new Failure("deadline", "no time left");
    if (id >= 0 && this.#calls.has(id)) return new Failure("invalid", "a call with this id is in flight");
    return undefined;
  }

  #hello(id: number, options: unknown): void {
    const { server, version, token, log, unknown } = this.#serving;
    const { token: given, client } = (options ?? {}) as { token?: unknown; client?: unknown };
    if (token !== undefined) {
      this.#trusted = sameSecret(given, token);
      if (!this.#trusted) {
        this.#answer(id, new Failure("unauthenticated", "wrong token"), unknown);
        log.warn("RPC client with a wrong token", { peer: this.peer });
        return;
      }
    }
    log.debug("RPC client", { peer: this.peer, client: typeof client === "string" ? client.slice(0, 128) : "" });
    this.channel.send([1, id, null, { server, version, max_frame: RPC_LIMITS.bytes, max_in_flight: MAX_IN_FLIGHT }]);
  }

  #run(call: ServerCall, method: RpcMethod, params: readonly unknown[], context: CallContext): void {
    let outcome: Promise<Result<unknown>> | Result<unknown>;
    try {
      outcome = method(params, context);
    } catch (bug) {
      this.#finish(call, this.#bug(bug));
      return;
    }
    if (!(outcome instanceof Promise)) {
      this.#finish(call, outcome);
      return;
    }
    if (call.id >= 0) this.#calls.set(call.id, call);
    else this.#notified.add(call);
    outcome.then(
      (result) => this.#settle(call, result),
      (bug: unknown) => this.#settle(call, this.#bug(bug)),
    );
  }

  #settle(call: ServerCall, result: Result<unknown>): void {
    if (call.id >= 0) this.#calls.delete(call.id);
    else this.#notified.delete(call);
    this.#finish(call, result);
    if (this.#paused) this.#goOn();
    if (this.inFlight === 0) this.#serving.onIdle();
  }

  #finish(call: ServerCall, result: Result<unknown>): void {
    const { tally } = this.#serving;
    if (tally.timing()) tally.time(call.tally, performance.now() - call.startedAt);
    if (call.trace !== undefined) tellOf(call, result.ok ? undefined : result.error.code);
    if (call.expired) return;
    if (call.id < 0) {
      if (result.ok) call.tally.succeeded += 1;
      else call.tally.fail(result.error.code);
      return;
    }
    if (!result.ok) {
      this.#answer(call.id, result.error, call.tally);
      return;
    }
    const failure = this.channel.send([1, call.id, null, result.value ?? null]);
    if (failure === undefined) call.tally.succeeded += 1;
    else this.#answer(call.id, this.#bug(failure).error, call.tally);
    this.#limitWaiting();
  }

  #answer(id: number, failure: Failure, tally: MethodTally): void {
    tally.fail(failure.code);
    this.channel.send([1, id, wireError(failure), null]);
    this.#limitWaiting();
  }

  #limitWaiting(): void {
    if (this.channel.waitingBytes > WAITING_MAX_BYTES) this.#close("stuck", "too many answers wait", true);
  }

  /** A method that throws, or whose result has no form on the wire: the caller learns no more than `internal`. */
  #bug(bug: unknown): { ok: false; error: Failure } {
    this.#serving.log.error("RPC method failed", { peer: this.peer, bug });
    const failure = failureOf(bug);
    return { ok: false, error: failure === bug ? new Failure("internal", undefined, { cause: bug }) : failure };
  }
}
