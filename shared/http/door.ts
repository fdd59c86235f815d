/** What is known of a request's connection: whose it is, and, for a guard before the door, when it is answered. */
import { Failure } from "#shared/errors";
import type { Guard } from "./guard.ts";

/** What of the runtime's server tells whose a request is. */
export interface Peers {
  /** Absent for a socket of this machine. */
  readonly port?: number | undefined;
  requestIP(request: Request): { readonly address: string; readonly port: number } | null;
}

/** By the port that the guard hands on to: servers that take over from each other share it. */
const guards = new Map<number, Guard>();

/** Requests to `serverPort` come through `guard` from now on, until disposed. */
export function guardPort(serverPort: number, guard: Guard): Disposable {
  guards.set(serverPort, guard);
  return { [Symbol.dispose]: () => void guards.delete(serverPort) };
}

function guardOf(server: Peers | null): Guard | undefined {
  return server?.port === undefined ? undefined : guards.get(server.port);
}

/**
 * Address of the other end of a request's connection, which may be a proxy's; undefined where there is none (tests that
 * hand a request to the application) or it is gone.
 */
export function socketAddressOf(request: Request, server: Peers | null): string | undefined {
  const peer = server?.requestIP(request);
  if (peer === null || peer === undefined) return undefined;
  const guard = guardOf(server);
  return guard === undefined ? peer.address : guard.addressAt(peer.port);
}

/**
 * Tells the guard, if there is one, that the request is here. @returns what to call once it is answered.
 * @throws Failure `forbidden` for a request that came past the guard, from this machine.
 */
export function arrivedAt(request: Request, server: Peers | null): (() => void) | undefined {
  const guard = guardOf(server);
  const port = guard === undefined ? undefined : server?.requestIP(request)?.port;
  if (guard === undefined || port === undefined) return undefined;
  if (guard.addressAt(port) === undefined) throw new Failure("forbidden", "this port is not for requests");
  guard.dispatched(port);
  return () => guard.answered(port);
}
