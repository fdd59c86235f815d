/** The API description (OpenAPI 3.1), made from the schemas that requests and answers are checked with. */
import { ACTIONS, OPERATIONS } from "./actions.ts";
import { limited } from "./limited.ts";
import { COMPONENTS } from "./parts.ts";
import { secured } from "./secured.ts";
import { V1 } from "./v1.ts";

export function openApi(version: string) {
  return {
    openapi: "3.1.0",
    info: {
      title: "Platform",
      version,
      description:
        "The one door of the platform. Every JSON answer is an envelope {error, message, data?}; every answer carries X-Request-Id and X-Trace-Id. What was accepted is durable before it is answered, and has a receipt. Under /v1 a field or query parameter that is not known is refused. Whoever shows a credential is judged by it, also where one can do without; one that is not valid is 401.",
    },
    tags: [
      { name: "Actions", description: "What clients ask for: log in, log an entry, send a mail" },
      { name: "Sessions", description: "Logging in, going on, logging out; who is logged in" },
      { name: "Users", description: "Registering, proving an address, managing users" },
      { name: "Keys", description: "API keys of people and services" },
      { name: "Mails", description: "Sending mails with all that they may have; leaving a mailing list" },
      { name: "Receipts", description: "What became of what was accepted" },
      { name: "Logs", description: "Asking for log entries" },
      { name: "Operators", description: "Queues, dead letters, completeness; mails, templates, suppressions" },
      { name: "Health", description: "How the platform is" },
      { name: "Chaos", description: "Breaking a platform that runs for development, and counting what was accepted" },
    ],
    components: COMPONENTS,
    paths: limited(secured({ ...ACTIONS, ...V1, ...OPERATIONS })),
  };
}
