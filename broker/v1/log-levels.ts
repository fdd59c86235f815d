/** What the services log, changed while they run: each instance of each is asked by itself, and answers for itself. */
import { Elysia } from "elysia";
import { type InstanceLevel, type LevelList, LevelsChange, LevelView } from "#contracts/log-levels";
import { ACTOR_HEADER } from "#contracts/headers";
import { type JsonClient, failureOfAnswer } from "#shared/client";
import { orThrow } from "#shared/errors";
import { changeLevel, contextOf, envelope, levelView } from "#shared/http";
import type { Log } from "#shared/log";
import { type CallContext, within } from "#shared/telemetry";
import { makeQueryValidator, makeValidator } from "#shared/validation";
import { actorOf, principalOf } from "../access/principal.ts";
import { NO_QUERY } from "./desk.ts";

/** Longest that one of them may take (ms). */
const WITHIN_MS = 2_000;

/** One that can be asked, and what it is called by. */
export interface Instance {
  readonly instance: string;
  readonly client: JsonClient;
}

export interface LogLevelRoutes {
  /** The broker's own. */
  readonly log: Log;
  /** The instances that are known now, by the names of their services. */
  readonly instances: () => ReadonlyMap<string, readonly Instance[]>;
}

const changeOf = makeValidator(LevelsChange, { unknown: "refuse" });
const viewOf = makeValidator(LevelView, { name: "the answer" });
const noQuery = makeQueryValidator(NO_QUERY);

export function logLevelRoutes({ log, instances }: LogLevelRoutes) {
  /** Asks all side by side; what one cannot do is told in its place. */
  async function each(
    services: readonly string[] | undefined,
    ask: (client: JsonClient) => ReturnType<JsonClient["request"]>,
  ): Promise<InstanceLevel[]> {
    const wanted = [...instances()].filter(([service]) => services === undefined || services.includes(service));
    const asked = wanted.flatMap(([service, all]) =>
      all.map(async ({ instance, client }): Promise<InstanceLevel> => {
        const which = { service, instance };
        const answer = await ask(client);
        if (!answer.ok) return { ...which, error: answer.error.message };
        if (answer.value.status !== 200) return { ...which, error: failureOfAnswer(answer.value).message };
        const view = viewOf(answer.value.envelope.data);
        return view.ok ? { ...which, ...view.value } : { ...which, error: "it answered off its contract" };
      }),
    );
    return Promise.all(asked);
  }

  const list = (own: readonly InstanceLevel[], others: readonly InstanceLevel[]): LevelList => ({
    items: [...own, ...others],
  });
  const inTime = (request: Request): CallContext => within(contextOf(request), WITHIN_MS);

  return new Elysia({ name: "broker.log-levels", prefix: "/v1" })
    .get("/log-levels", async ({ request }) => {
      orThrow(noQuery(request.url));
      const others = await each(undefined, (client) => client.request("GET", "/log-level", undefined, inTime(request)));
      return envelope("levels of the logs", list([{ service: "broker", ...levelView(log) }], others));
    })
    .put("/log-levels", async ({ request, body }) => {
      orThrow(noQuery(request.url));
      const { services, ...change } = orThrow(changeOf(body));
      const actor = actorOf(principalOf(request));
      const isOwn = services === undefined || services.includes("broker");
      const own = isOwn ? [{ service: "broker", ...changeLevel(log, change, actor) }] : [];
      const headers = { [ACTOR_HEADER]: actor };
      const others = await each(services, (client) =>
        client.request("PUT", "/log-level", change, inTime(request), headers),
      );
      return envelope("levels of the logs, as they are now", list(own, others));
    });
}
