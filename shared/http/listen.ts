/** Opens and closes the door of an application. */
import type { AnyElysia } from "elysia";
import { StartError } from "#shared/lifecycle";

export interface Listening extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Takes no new connection and waits for the requests in hand. Idempotent. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** @throws StartError where the address is taken or not of this machine. */
export function listen(app: AnyElysia, { HOST, PORT }: { readonly HOST: string; readonly PORT: number }): Listening {
  try {
    app.listen({ hostname: HOST, port: PORT });
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
    const why = code === "EADDRINUSE" ? "is taken by another process" : `cannot be listened on (${code})`;
    throw new StartError(`${HOST}:${PORT} ${why}: stop what holds it, or set PORT`, { cause });
  }
  const port = app.server?.port ?? PORT;
  const shown = HOST === "0.0.0.0" || HOST === "::" ? "127.0.0.1" : HOST;
  let stopped: Promise<unknown> | undefined;
  return {
    url: `http://${shown}:${port}`,
    port,
    [Symbol.asyncDispose]: async () => {
      stopped ??= app.stop();
      await stopped;
    },
  };
}
