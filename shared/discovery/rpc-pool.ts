/** A client of the RPC for each instance of its server; each call goes by one of them. */
import { fail, type Result } from "#shared/errors";
import { RPC_CEILING_MS } from "#shared/resilience";
import { makeRpcClient, type RpcClient, type RpcClientOptions } from "#shared/rpc";
import { type CallContext, quietContext } from "#shared/telemetry";
import { serverNameOf, type Endpoint, type Source } from "./endpoint.ts";
import { isLate, makePool, type Outcome, type Pool, type Probed } from "./pool.ts";

/** How long calls of an instance that is none any more may go on (ms): none lasts longer. */
const LINGER_MS = 5_000;
const LOOK_MS = 50;
const RPC_PING = "RPCServer.Ping";

/** Of the whole: connected as long as one of its clients is. */
export type RpcPoolOptions = Omit<RpcClientOptions, "url" | "serverName"> & {
  readonly service: string;
  /** Methods that tell whether it was the first time: one more try is for their edge to make, where it is counted. */
  readonly counted?: readonly string[];
  /** Default 750. */
  readonly everyMs?: number;
};

export interface RpcPool extends RpcClient {
  readonly pool: Pool;
}

/**
 * A call whose instance is lost on the way is made once more at another one: all methods that we call may be done twice
 * with the effect of once. An instance of the configuration is connected to once no announced one answers. That one instance answers badly is for the edge, which tries again.
 */
export function makeRpcPool(source: Source, { service, everyMs, counted = [], ...options }: RpcPoolOptions): RpcPool {
  const { onState, ...own } = options;
  const clients = new Map<string, RpcClient>();
  const leaving = new Set<Promise<void>>();
  let told: boolean | undefined;
  const closing = new AbortController();

  const tell = (error?: unknown): void => {
    const isConnected = [...clients.values()].some((client) => client.connected);
    if (closing.signal.aborted || told === isConnected) return;
    told = isConnected;
    onState?.(isConnected, error);
  };

  async function probe(endpoint: Endpoint, withinMs: number): Promise<Probed> {
    const answered = await clientOf(endpoint).call(RPC_PING, [], quietContext(withinMs));
    return answered.ok ? { state: "up" } : { state: "down", error: answered.error };
  }

  const clientOf = (endpoint: Endpoint): RpcClient => clients.get(endpoint.url) ?? open(endpoint);

  function open(endpoint: Endpoint): RpcClient {
    const { url } = endpoint;
    const serverName = serverNameOf(endpoint);
    const client = makeRpcClient({
      ...own,
      url,
      ...(serverName === undefined ? {} : { serverName }),
      onState(connected, error) {
        if (clients.get(url) !== client) return;
        pool.note(url, connected ? { state: "up" } : { state: "down", error });
        if (connected && endpoint.isFallback !== true) update();
        tell(error);
      },
    });
    clients.set(url, client);
    return client;
  }

  /** What it has in hand it ends. */
  async function close(client: RpcClient): Promise<void> {
    const endsAt = performance.now() + LINGER_MS;
    while (!closing.signal.aborted && client.inFlight > 0 && performance.now() < endsAt) await Bun.sleep(LOOK_MS);
    await client[Symbol.asyncDispose]();
  }

  function update(): void {
    const distinct = pool.distinct();
    for (const { endpoint } of distinct) clientOf(endpoint);
    // Those of the configuration are given up only once others are there.
    const wanted = distinct.some(({ endpoint }) => clients.get(endpoint.url)?.connected) ? distinct : pool.instances();
    const urls = new Set(wanted.map(({ endpoint }) => endpoint.url));
    for (const [url, client] of clients) {
      if (urls.has(url)) continue;
      clients.delete(url);
      const left = close(client).finally(() => leaving.delete(left));
      leaving.add(left);
    }
    if (told !== undefined) tell();
  }

  const pool = makePool({ service, source, log: own.log, probe, ...(everyMs === undefined ? {} : { everyMs }) });
  const watching = pool.onChange(update);
  update();

  async function call(method: string, params: readonly unknown[], context: CallContext): Promise<Result<unknown>> {
    const tried = new Set<string>();
    for (;;) {
      const choice = pool.pick(tried);
      if (choice === undefined) return fail("unavailable", "no instance is known");
      const client = clientOf(choice.endpoint);
      tried.add(choice.endpoint.url);
      const hadMs = context.deadline.remainingMs();
      const startedAt = performance.now();
      const result = await client.call(method, params, context);
      const outcome = outcomeOf(result, client, hadMs, performance.now() - startedAt);
      choice.end(outcome, result.ok ? undefined : result.error);
      if (
        outcome !== "lost" ||
        counted.includes(method) ||
        tried.size > 1 ||
        tried.size >= pool.size ||
        context.deadline.passed
      )
        return result;
    }
  }

  return {
    pool,
    get connected() {
      return [...clients.values()].some((client) => client.connected);
    },
    get inFlight() {
      return [...clients.values()].reduce((sum, client) => sum + client.inFlight, 0);
    },
    // Of one only nothing is to be chosen.
    call(method, params, context) {
      const [only] = clients.values();
      return pool.size === 1 && only !== undefined ? only.call(method, params, context) : call(method, params, context);
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      watching[Symbol.dispose]();
      pool[Symbol.dispose]();
      await Promise.all([...[...clients.values()].map((client) => client[Symbol.asyncDispose]()), ...leaving]);
    },
  };
}

function outcomeOf(result: Result<unknown>, client: RpcClient, hadMs: number, tookMs: number): Outcome {
  if (result.ok) return "well";
  const { code } = result.error;
  if (code === "unavailable") return client.connected ? "sick" : "lost";
  if (code === "deadline") return isLate(Math.min(hadMs, RPC_CEILING_MS), tookMs) ? "late" : "nothing";
  return code === "bad_gateway" || code === "internal" ? "sick" : "well";
}
