/** A platform that can be broken: proxies in its ways, and the controller that the broker asks on behalf of the console. */
import { randomBytes, timingSafeEqual } from "node:crypto";
import manifest from "../../package.json" with { type: "json" };
import { ChaosNothing, ChaosRequest } from "#contracts/chaos";
import { SERVICE_KEY_HEADER } from "#contracts/headers";
import { Failure, failureOf, orThrow } from "#shared/errors";
import { makeValidator } from "#shared/validation";
import type { ServiceName } from "../services.ts";
import type { Stack } from "../stack.ts";
import type { ChaosAddress } from "../state.ts";
import { type Controller, makeController } from "./controller.ts";
import { openGrounds } from "./grounds.ts";
import { type Hops, startHops } from "./hops.ts";
import { markdownOf } from "./reports.ts";

export interface Chaos extends AsyncDisposable {
  readonly hops: Hops;
  readonly address: ChaosAddress;
  /** For `startStack`: services go through the proxies, and the broker knows the controller. */
  readonly rewire: (service: ServiceName, environment: Record<string, string>) => Record<string, string>;
  /** From now on there is something to break. */
  attach(stack: Stack): void;
  /** Before the stack is stopped: heals what is broken. */
  settle(): Promise<void>;
}

export interface ChaosOptions {
  /** What happens, for the person at the terminal. Default: nobody is told. */
  readonly onSay?: (line: string) => void;
}

const requestOf = makeValidator(ChaosRequest, { unknown: "refuse" });
const nothingOf = makeValidator(ChaosNothing, { unknown: "refuse" });

/** Listens on 127.0.0.1, for who has the token; before the stack is attached it answers 503. */
export async function openChaos({ onSay = () => undefined }: ChaosOptions = {}): Promise<Chaos> {
  const token = randomBytes(24).toString("base64url");
  const hops = await startHops();
  let grounds: ReturnType<typeof openGrounds> | undefined;
  let controller: Controller | undefined;
  let why = "the platform is starting";

  const ready = (): Controller => {
    if (controller === undefined) throw new Failure("unavailable", why);
    return controller;
  };
  /** Within the handlers `id` is as it stands in the path: it is only compared. */
  const answered = async (request: Request, status: number, work: () => unknown): Promise<Response> => {
    try {
      if (!isSame(request.headers.get(SERVICE_KEY_HEADER) ?? "", token))
        throw new Failure("unauthenticated", "the controller's token is needed");
      return Response.json({ error: false, message: "the experiment", data: await work() }, { status });
    } catch (thrown) {
      const failure = failureOf(thrown);
      return Response.json({ error: true, message: failure.message }, { status: failure.status });
    }
  };

  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    routes: {
      "/": { GET: (request) => answered(request, 200, () => ready().overview()) },
      "/experiments": {
        POST: (request) =>
          answered(request, 202, async () => ready().start(orThrow(requestOf(await request.json().catch(() => null))))),
      },
      "/experiments/:id": {
        GET: (request) => answered(request, 200, () => ready().experiment(request.params.id)),
        DELETE: (request) => answered(request, 200, () => ready().stop(request.params.id)),
      },
      "/experiments/:id/heal": {
        POST: (request) =>
          answered(request, 200, async () => {
            orThrow(nothingOf(await request.json().catch(() => null)));
            return ready().heal(request.params.id);
          }),
      },
      "/reports/:id": { GET: (request) => answered(request, 200, () => ready().report(request.params.id)) },
      "/reports/:id/markdown": {
        GET: (request) =>
          answered(request, 200, async () => ({ markdown: markdownOf(await ready().report(request.params.id)) })),
      },
    },
    fetch: (request) =>
      answered(request, 200, () => {
        throw new Failure("not_found");
      }),
  });
  const address = { url: `http://127.0.0.1:${server.port}`, token };

  return {
    hops,
    address,
    rewire: (service, environment) => ({
      ...hops.rewire(service, environment),
      ...(service === "broker" ? { BROKER_CHAOS_URL: address.url, BROKER_CHAOS_TOKEN: token } : {}),
    }),
    attach(stack) {
      if (stack.missing.size > 0) {
        why = `without ${[...stack.missing.keys()].join(" and ")} nothing could be counted, so nothing is broken`;
        return;
      }
      grounds = openGrounds(stack, hops);
      controller = makeController({ grounds, version: manifest.version, onSay });
    },
    settle: async () => controller?.settle(),
    async [Symbol.asyncDispose]() {
      await server.stop(true);
      await grounds?.[Symbol.asyncDispose]();
      await hops[Symbol.asyncDispose]();
    },
  };
}

function isSame(shown: string, token: string): boolean {
  const [a, b] = [Buffer.from(shown), Buffer.from(token)];
  return a.length === b.length && timingSafeEqual(a, b);
}
