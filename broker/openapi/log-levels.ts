/** The versioned API: what the services log, changed while they run. */
import { answer, AT, BEHIND, body, BODY_REFUSALS, NO_QUERY, ref } from "./parts.ts";

const LIST = {
  items: [
    { service: "broker", level: "debug", configured: "info", until: AT },
    { service: "auth", level: "debug", configured: "info", until: AT },
    { service: "logger", error: "the logger is not reachable" },
  ],
};

export const LOG_LEVELS = {
  "/v1/log-levels": {
    get: {
      tags: ["Operators"],
      summary: "What each instance of each service logs",
      description: "One that could not be asked has `error` in place of its level.",
      responses: {
        "200": answer("All that are known", {
          schema: ref("LevelList"),
          example: { message: "levels of the logs", data: LIST },
        }),
        ...NO_QUERY,
        ...BEHIND,
      },
    },
    put: {
      tags: ["Operators"],
      summary: "Change what services log, without restarting them",
      description:
        "All services, or those in `services`; for 15 minutes where `for_s` does not say otherwise, so that nobody forgets it. Each change is a line in the log of the service.",
      requestBody: body(ref("LevelsChange"), {
        debugging: { services: ["auth"], level: "debug", for_s: 300 },
        back: { level: "info" },
      }),
      responses: {
        "200": answer("As they are now", {
          schema: ref("LevelList"),
          example: { message: "levels of the logs, as they are now", data: LIST },
        }),
        ...BODY_REFUSALS,
        ...BEHIND,
      },
    },
  },
};
