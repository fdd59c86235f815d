/** Prints docs/configuration.md from what the services really read: `bun run docs`. A test sees that the page is up to date. */
import { join } from "node:path";
import { configTable } from "#shared/config";
import { fields as auth } from "../auth/config.ts";
import { fields as broker } from "../broker/config.ts";
import { fields as listener } from "../listener/config.ts";
import { fields as logger } from "../logger/config.ts";
import { fields as mail } from "../mail/config.ts";
import { ROOT } from "./paths.ts";

const SERVICES = { broker, auth, logger, mail, listener };
export const PAGE = join(ROOT, "docs", "configuration.md");

export function configurationPage(): string {
  const tables = Object.entries(SERVICES).map(([name, fields]) => `## ${name}\n\n${configTable(fields)}\n`);
  return `# Configuration

The environment is the configuration. It is checked once at start: a wrong value stops the service before it listens,
with exit code 2 and one message that names every bad variable and what is allowed. \`<service> --check-config\` does only that.

- A service reads \`<SERVICE>_X\` before \`X\`, so that one environment can serve all five: \`BROKER_PORT\`, \`MAIL_DATABASE_URL\`.
- Every secret \`X\` (URLs that may hold a password among them) can be given as \`X_FILE\`, the path of a mounted file.
- Empty counts as absent.

${tables.join("\n")}`;
}

if (import.meta.main) {
  await Bun.write(PAGE, configurationPage());
  process.stdout.write(`wrote ${PAGE}\n`);
}
