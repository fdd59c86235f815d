/** The faces of the RPC: what a server is given, what a client offers. The wire is docs/rpc.md. */
import type { Result } from "#shared/errors";
import type { Log } from "#shared/log";
import type { CallContext, Metrics } from "#shared/telemetry";

/** A method: parameters as decoded (unchecked values), answered with a result that MessagePack can carry. */
export type RpcMethod = (
  params: readonly unknown[],
  context: CallContext,
) => Promise<Result<unknown>> | Result<unknown>;

export interface RpcServerOptions {
  host: string;
  /** 0 for any free port. */
  port: number;
  /** As `RPCServer.Hello` tells it. */
  server: string;
  version: string;
  methods: Readonly<Record<string, RpcMethod>>;
  log: Log;
  metrics: Metrics;
  /** Needed in `RPCServer.Hello` or in each call's `meta.token` where set. */
  token?: string;
  /** Connections at a time; one more is closed at once, and logged (default 1,024). */
  maxConnections?: number;
  /** How long `[Symbol.asyncDispose]` waits for the calls in hand and their answers (ms, default 5,000). */
  drainMs?: number;
  /** TLS instead of plain TCP, asked for each connection (default: what the process shows, see `#shared/tls`). */
  tls?: () => RpcTls | undefined;
}

/** TLS, each in PEM. */
export interface RpcTls {
  /** Certificates that the peer's is verified by. A server that is given some refuses clients without a certificate. */
  ca?: string | undefined;
  /** Own certificate with its chain; a server needs one, a client where the server asks for it. */
  cert?: string | undefined;
  key?: string | undefined;
}

export interface RpcServer extends AsyncDisposable {
  readonly port: number;
  readonly connections: number;
  /** Takes no new connection and no new call, waits for the calls in hand to be answered, then closes. Idempotent. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface RpcClientOptions {
  /** `tcp://host:port`, or `tls://host:port`. */
  url: string;
  /** Whose certificate the server has to show, where `url` has an address in place of the name (default: the host of `url`). */
  serverName?: string;
  /** Told to the server in `Hello`. */
  client: string;
  log: Log;
  metrics: Metrics;
  token?: string;
  /** For `tls://` (default: as the process trusts); without `ca` the certificates that the system trusts count. */
  tls?: RpcTls;
  /** Told of every change: connected, or lost and why. */
  onState?: (connected: boolean, error?: unknown) => void;
}

export interface RpcClient extends AsyncDisposable {
  readonly connected: boolean;
  /** Calls sent or waiting to be sent. */
  readonly inFlight: number;
  /**
   * One call; it ends in exactly one way and leaves nothing behind. Never throws.
   * @returns the result as decoded (unchecked), or a failure: the server's; `deadline`; `unavailable` when not
   * connected or when the connection was lost (the peer may have done it: repeat only what is idempotent);
   * `exhausted` when the queue to the peer is full; `invalid` or `too_large` when the params cannot be sent.
   */
  call(method: string, params: readonly unknown[], context: CallContext): Promise<Result<unknown>>;
}
