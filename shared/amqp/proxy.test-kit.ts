/** A TCP proxy for tests that misbehaves on request. */
import { connect, createServer, type Socket } from "node:net";

export interface Proxy extends AsyncDisposable {
  readonly port: number;
  /** Forwards nothing more, in both directions, and tells nobody. */
  stall(): void;
  resume(): void;
  /** Resets every connection. */
  cut(): void;
  /** Refuses new connections, or takes them again. */
  refuse(on: boolean): void;
  /** Sends bytes to every client, as if they came from the server. */
  inject(bytes: Uint8Array): void;
}

export async function startProxy(target: URL): Promise<Proxy> {
  const pairs = new Set<{ client: Socket; server: Socket }>();
  let stalled = false;
  let refusing = false;
  const listener = createServer((client) => {
    if (refusing) {
      client.destroy();
      return;
    }
    const server = connect(Number(target.port || 5672), target.hostname);
    const pair = { client, server };
    pairs.add(pair);
    const end = (): void => {
      pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      from.on("data", (bytes) => !stalled && to.write(bytes));
      from.on("error", end);
      from.on("close", end);
    }
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const address = listener.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const cut = (): void => {
    for (const { client, server } of pairs) {
      client.resetAndDestroy();
      server.destroy();
    }
    pairs.clear();
  };
  return {
    port: address.port,
    stall: () => {
      stalled = true;
    },
    // What was dropped meanwhile cannot be made good: the connections are broken.
    resume: () => {
      stalled = false;
      cut();
    },
    cut,
    refuse: (on) => {
      refusing = on;
    },
    inject: (bytes) => {
      for (const { client } of pairs) client.write(bytes);
    },
    async [Symbol.asyncDispose]() {
      cut();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}
