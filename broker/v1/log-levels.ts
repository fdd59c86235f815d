/** What the services log, changed while they run: each is asked by itself, and answers for itself. */
import { Elysia } from "elysia";
import { type ServiceLevel, type LevelList, LevelsChange, LevelView } from "#contracts/log-levels";
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

export interface LogLevelRoutes {
  /** The broker's own. */
  readonly log: Log;
  /** The services behind, by their names. */
  readonly services: Readonly<Record<string, JsonClient>>;
}

const changeOf = makeValidator(LevelsChange, { unknown: "refuse" });
const viewOf = makeValidator(LevelView, { name: "the answer" });
const noQuery = makeQueryValidator(NO_QUERY);

export function logLevelRoutes({ log, services }: LogLevelRoutes) {
  /** Asks all side by side; what one cannot do is told in its place. */
  async function each(
    wanted: readonly string[] | undefined,
    ask: (client: JsonClient) => ReturnType<JsonClient["request"]>,
  ): Promise<ServiceLevel[]> {
    const those = Object.entries(services).filter(([service]) => wanted === undefined || wanted.includes(service));
    return Promise.all(
      those.map(async ([service, client]): Promise<ServiceLevel> => {
        const answer = await ask(client);
        if (!answer.ok) return { service, error: answer.error.message };
        if (answer.value.status !== 200) return { service, error: failureOfAnswer(answer.value).message };
        const view = viewOf(answer.value.envelope.data);
        return view.ok ? { service, ...view.value } : { service, error: "it answered off its contract" };
      }),
    );
  }

  const list = (own: readonly ServiceLevel[], others: readonly ServiceLevel[]): LevelList => ({
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
      const { services: wanted, ...change } = orThrow(changeOf(body));
      const actor = actorOf(principalOf(request));
      const isOwn = wanted === undefined || wanted.includes("broker");
      const own = isOwn ? [{ service: "broker", ...changeLevel(log, change, actor) }] : [];
      const headers = { [ACTOR_HEADER]: actor };
      const others = await each(wanted, (client) =>
        client.request("PUT", "/log-level", change, inTime(request), headers),
      );
      return envelope("levels of the logs, as they are now", list(own, others));
    });
}
