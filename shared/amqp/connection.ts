/** A connection to RabbitMQ that is opened again for ever, with jitter, and given up as soon as it is of no use. */
import type { EventEmitter } from "node:events";
import type { Duplex } from "node:stream";
import { type ChannelModel, connect } from "amqplib";
import type { Secret } from "#shared/config";
import type { Log } from "#shared/log";
import { reconnectBackoff, sleep } from "#shared/resilience";
import { currentTls } from "#shared/tls";

/** Both sides speak this often at least (s). A peer that is silent for two to three times as long is given up. */
const HEARTBEAT_S = 10;
const CONNECT_MS = 5_000;
/** Longest for opening channels and declaring (ms): a server that does not answer is no server. */
const OPEN_MS = 10_000;
/** Longest for saying good-bye (ms). */
const CLOSE_MS = 1_000;
/** A connection that lasted this long was well: the next backoff begins anew. */
const STABLE_MS = 10_000;

export interface KeptConnectionOptions {
  url: Secret;
  /** As RabbitMQ's tools show the connection. */
  name: string;
  log: Log;
  /**
   * Opens what lives on the connection. When it fails, the connection is closed and opened anew after a while.
   * `drop` gives the connection up without a word to the server, for what makes it useless; another one follows.
   */
  open: (model: ChannelModel, drop: (reason: Error) => void) => Promise<void>;
  /** The connection, or an attempt to open one, has come to its end. */
  onLost: (reason: unknown) => void;
}

/** What amqplib's connection has beyond its types (lib/connection.js). */
type RawConnection = EventEmitter & { readonly stream: Duplex };

/** Disposing closes the connection and opens no other. Idempotent. */
export function keepConnected(options: KeptConnectionOptions): AsyncDisposable {
  const { log, name } = options;
  const stopping = new AbortController();
  let current: ChannelModel | undefined;
  let openedAt = Number.POSITIVE_INFINITY;

  const finished = live();

  async function live(): Promise<void> {
    for (let attempt = 0; !stopping.signal.aborted; attempt += 1) {
      openedAt = Number.POSITIVE_INFINITY;
      const reason = await once().catch((error: unknown) => error);
      if (stopping.signal.aborted) return;
      options.onLost(reason);
      if (performance.now() - openedAt >= STABLE_MS) attempt = 0;
      const waitMs = reconnectBackoff(attempt);
      log.debug("RabbitMQ: connection lost or not opened", { connection: name, reason, wait_ms: waitMs });
      // Rejects only when this connection is disposed of, which ends the loop.
      await sleep(waitMs, stopping.signal).catch(() => undefined);
    }
  }

  /** One connection, from its opening to its end. @returns why it ended. */
  async function once(): Promise<unknown> {
    const model = await dial(options.url, name);
    current = model;
    const closed = Promise.withResolvers<unknown>();
    let lastError: unknown;
    model.on("error", (error) => {
      lastError = error;
    });
    model.on("close", (error) => closed.resolve(lastError ?? error ?? new Error("the connection was closed")));
    rawOf(model).on("handler-error", (error) => log.error("RabbitMQ: a handler failed: this is a bug", { error }));
    try {
      stopping.signal.throwIfAborted();
      const late = sleep(OPEN_MS, stopping.signal).then(() => new Error(`no answer within ${OPEN_MS} ms`));
      const open = options.open(model, (reason) => rawOf(model).stream.destroy(reason));
      const failure = await Promise.race([open.then(() => undefined), closed.promise, late]);
      // Whatever of it fails later is over with the connection.
      open.catch(() => undefined);
      late.catch(() => undefined);
      if (failure !== undefined) return failure;
      openedAt = performance.now();
      return await closed.promise;
    } finally {
      current = undefined;
      await hangUp(model, closed.promise);
    }
  }

  return {
    async [Symbol.asyncDispose]() {
      stopping.abort(new Error("stopped"));
      // While connecting there is nothing to wait for: what comes of it is closed at once.
      if (current === undefined) return;
      await hangUp(current);
      await finished;
    },
  };
}

/** One connection, by TLS for `amqps://` (as the process trusts); whoever opens it listens to its `error` and closes it with `hangUp`. @throws when it can't be had within 5 s. */
export function dial(url: Secret, name: string): Promise<ChannelModel> {
  return connect(withHeartbeat(url), {
    timeout: CONNECT_MS,
    noDelay: true,
    keepAlive: true,
    keepAliveDelay: 15_000,
    clientProperties: { connection_name: name },
    ...currentTls().client,
  });
}

/** Says good-bye if the server still listens; in any case nothing of the connection is left. */
export async function hangUp(model: ChannelModel, closed?: Promise<unknown>): Promise<void> {
  const patience = new AbortController();
  const goodbye = model.close().catch(() => undefined); // It is closed already.
  await Promise.race([goodbye, closed, sleep(CLOSE_MS, patience.signal).catch(() => undefined)]);
  patience.abort(new Error("closed"));
  rawOf(model).stream.destroy();
}

function rawOf(model: ChannelModel): RawConnection {
  return model.connection as unknown as RawConnection;
}

function withHeartbeat(secret: Secret): string {
  const url = new URL(secret.reveal());
  if (!url.searchParams.has("heartbeat")) url.searchParams.set("heartbeat", String(HEARTBEAT_S));
  return url.href;
}
