import { parseArgs } from "node:util";
import { serveSmtp } from "./inbox-smtp.ts";
import { InboxStore } from "./inbox-store.ts";
import { inboxHandler } from "./inbox-web.ts";

/**
 * The development inbox, a program of its own: an SMTP server that keeps every mail instead of sending it on, and a
 * page to read them. `bun dev/backing/inbox.ts --smtp-port 1025 --http-port 8025 --data <directory>`.
 */

const { values } = parseArgs({
  options: { "smtp-port": { type: "string" }, "http-port": { type: "string" }, data: { type: "string" } },
});
const smtpPort = Number(values["smtp-port"] ?? 1025);
const httpPort = Number(values["http-port"] ?? 8025);
const store = await InboxStore.open(values.data ?? ".data/mail");

const web = Bun.serve({ hostname: "127.0.0.1", port: httpPort, fetch: inboxHandler(store, httpPort) });
const closeSmtp = await serveSmtp(smtpPort, (raw, recipients) => store.add(raw, recipients));
process.stdout.write(`inbox: SMTP at 127.0.0.1:${smtpPort}, page at http://127.0.0.1:${httpPort}\n`);

let leaving = false;
async function leave(): Promise<void> {
  if (leaving) return;
  leaving = true;
  await Promise.all([closeSmtp(), web.stop()]);
  process.exit(0);
}
process.on("SIGTERM", () => void leave());
process.on("SIGINT", () => void leave());
