import { connect, createServer } from "node:net";

/** Ports on the loopback interface: which are free, and which one a service gets. */

/** How long a connection attempt to a local port may take before it counts as refused (ms). */
const LOOK_MS = 300;
/**
 * Where free ports are taken from: below the ranges that systems take the near end of outgoing connections from (a
 * client could sit on the port before a server that starts slowly gets to it), and past everything well known.
 */
const FIRST = 20_000;
const LAST = 26_999;
/** Ports this process has given out: two services that are started side by side never get the same one. */
const given = new Set<number>();

/** A port that nothing listens on, never given twice by this process; at random, so that two processes rarely meet. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST + 1));
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port on 127.0.0.1 from ${FIRST} to ${LAST}`);
}

/** Tells whether a server could listen there now: nobody answers on it (on whatever interface), and binding works. */
export async function isFree(port: number): Promise<boolean> {
  return !(await answers(port)) && (await canBind(port));
}

/** Tells whether anything accepts connections at this port of 127.0.0.1. */
export function answers(port: number, host = "127.0.0.1", ms = LOOK_MS): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const done = (open: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(open);
    };
    const timer = setTimeout(() => done(false), ms);
    socket.once("connect", () => done(true));
    socket.once("error", () => done(false));
  });
}

function canBind(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ host: "127.0.0.1", port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

export interface PortWish {
  /** The one it had the last time: clients may have it in their configuration. */
  readonly remembered: number | undefined;
  /** The one everybody expects (5432), where that may be used. */
  readonly usual: number | undefined;
}

/**
 * How long the remembered port is waited for (ms): a server that was killed holds its port until the last of its
 * threads is gone, and its clients would all have to be told of another.
 */
const RELEASE_MS = 2_000;
const LOOK_EVERY_MS = 50;

/** The port a service gets: the remembered one, else the usual one, else any that is free. */
export async function choosePort(
  wish: PortWish,
  free: (port: number) => Promise<boolean> = isFree,
  any: () => Promise<number> = freePort,
  releaseMs = RELEASE_MS,
): Promise<number> {
  const { remembered, usual } = wish;
  if (remembered !== undefined) {
    const endsAt = performance.now() + releaseMs;
    do {
      if (await free(remembered)) return remembered;
      await Bun.sleep(LOOK_EVERY_MS);
    } while (performance.now() < endsAt);
  }
  return usual !== undefined && (await free(usual)) ? usual : any();
}
