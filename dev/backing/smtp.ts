import { join } from "node:path";
import { docker } from "./docker.ts";
import { plainEnvironment } from "./processes.ts";
import { answers } from "./ports.ts";
import { probeSmtp } from "./probes.ts";
import { claim, portFor } from "./records.ts";
import { serve } from "./servers.ts";
import type { Backing, Missing, StartOptions } from "./types.ts";
import { firstThatWorks, type Kind, type Opened } from "./ways.ts";

/** The development inbox as a child process. */

const USUAL_PORT = 1025;
const USUAL_WEB_PORT = 8025;
/** A second on a busy machine (ms). */
const START_MS = 20_000;

const SMTP: Kind = {
  name: "smtp",
  title: "SMTP server",
  variable: "SMTP_URL",
  probe: probeSmtp,
  tidy: (url) => url,
  usual: ["smtp://127.0.0.1:1025"],
  remedy: () => "set SMTP_URL=smtp://…",
};

export function startInbox(options: StartOptions): Promise<Backing | Missing> {
  return firstThatWorks(SMTP, options, [
    { what: "built-in inbox", open: () => startOwn(options) },
    docker(SMTP, options, {
      image: "axllent/mailpit:v1.27.11",
      port: USUAL_PORT,
      environment: [],
      dataAt: "/data",
      url: (port) => `smtp://127.0.0.1:${port}`,
    }),
  ]);
}

async function startOwn(options: StartOptions): Promise<Opened> {
  await claim(options.dataDir, "smtp");
  const port = await portFor(options, "smtp", "main", USUAL_PORT);
  const webPort = await portFor(options, "smtp", "web", USUAL_WEB_PORT);
  const url = `smtp://127.0.0.1:${port}`;
  const server = await serve(options, "smtp", {
    launch: {
      // The very runtime we run in; `bun` may not be on PATH.
      command: process.execPath,
      args: [
        join(import.meta.dir, "inbox.ts"),
        `--smtp-port=${port}`,
        `--http-port=${webPort}`,
        `--data=${join(options.dataDir, "mail")}`,
      ],
      env: plainEnvironment(),
      log: join(options.dataDir, "logs", "inbox.log"),
    },
    endBy: "SIGTERM",
    deadlineMs: START_MS,
    probe: async () => {
      if (!(await answers(port)) || !(await answers(webPort))) throw new Error("not listening yet");
      await probeSmtp(url);
    },
  });
  return { url, web: `http://127.0.0.1:${webPort}`, source: "built-in inbox", ...server };
}
