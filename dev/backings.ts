/** The four backing services as the stack starts them: one by one, from what the environment says. */
import { readFileSync } from "node:fs";
import { startInbox, startMongodb, startPostgres, startRabbitmq } from "./backing/index.ts";
import type { Backing, BackingName, Missing, StartOptions } from "./backing/types.ts";
import type { Environment } from "./services.ts";

const VARIABLES: Readonly<Record<BackingName, string>> = {
  postgres: "DATABASE_URL",
  mongodb: "MONGODB_URL",
  rabbitmq: "RABBITMQ_URL",
  smtp: "SMTP_URL",
};

export const TITLES: Readonly<Record<BackingName, string>> = {
  postgres: "PostgreSQL",
  mongodb: "MongoDB",
  rabbitmq: "RabbitMQ",
  smtp: "an SMTP server",
};

/** Addresses at which nothing ever listens (port 1 is TCPMUX, RFC 1078): for services that are to do without. */
export const NOWHERE: Readonly<Record<BackingName, { readonly url: string }>> = {
  postgres: { url: "postgres://nobody@127.0.0.1:1" },
  mongodb: { url: "mongodb://127.0.0.1:1" },
  rabbitmq: { url: "amqp://127.0.0.1:1" },
  smtp: { url: "smtp://127.0.0.1:1" },
};

/** What the platform does meanwhile where one could not be had. */
export const WITHOUT: Readonly<Record<BackingName, string>> = {
  postgres: "Meanwhile nobody can log in, and mails wait in RabbitMQ.",
  mongodb: "Meanwhile log entries wait in RabbitMQ.",
  rabbitmq: "Meanwhile the broker keeps events on its disk.",
  smtp: "Meanwhile mails wait in the mail service's outbox.",
};

const NO_POSTGRES: Missing = { name: "postgres", tried: [], remedy: "", configured: false };

/** Starts or finds one backing service. `postgres` is the one of the same stack, for what keeps its data there. */
export function startOne(
  name: BackingName,
  options: StartOptions,
  postgres: Promise<Backing | Missing> = Promise.resolve(NO_POSTGRES),
): Promise<Backing | Missing> {
  switch (name) {
    case "postgres":
      return startPostgres(options);
    case "mongodb":
      return startMongodb(options, postgres);
    case "rabbitmq":
      return startRabbitmq(options);
    case "smtp":
      return startInbox(options);
    default:
      return name satisfies never;
  }
}

/** The backing services that the environment configures, by `X` or by `X_FILE`, the path of a file that holds it. */
export function configuredFrom(env: Environment): StartOptions["configured"] {
  const configured: Partial<Record<BackingName, string>> = {};
  for (const [name, variable] of Object.entries(VARIABLES) as [BackingName, string][]) {
    const value = env[variable] || fileOf(env[`${variable}_FILE`]);
    if (value !== undefined && value !== "") configured[name] = value;
  }
  return configured;
}

/** An unreadable file counts as text that is no URL: the message names the variable then. */
function fileOf(path: string | undefined): string | undefined {
  if (path === undefined || path === "") return undefined;
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return `unreadable file ${path}`;
  }
}

/** What was tried to get a backing service, and the one thing that helps most. */
export function explainMissing({ name, tried, remedy, configured }: Missing): string {
  const title = TITLES[name];
  const head = configured ? `${title} can't be used:` : `There is no ${title.replace(/^an /, "")}. Tried:`;
  return [head, ...tried.map((line) => `  - ${line}`), `${configured ? "To mend it" : "To get it"}: ${remedy}`].join(
    "\n",
  );
}
