/** Composition root of the mail service: opens what it needs, wires it, and closes it in reverse. */
import { corsOriginsOf } from "#shared/config";
import { fail } from "#shared/errors";
import { httpApp, listen } from "#shared/http";
import type { App, Runtime } from "#shared/lifecycle";
import { makeDatabase } from "#shared/postgres";
import type { Config } from "./config.ts";
import { makeDesk } from "./desk/desk.ts";
import { deskRoutes, UNSUBSCRIBE_PATHS } from "./desk/routes.ts";
import { MIGRATIONS } from "./migrations.ts";
import { startOutbox } from "./outbox/outbox.ts";
import { routes } from "./routes.ts";
import { makeSend } from "./send.ts";
import { watchServer } from "./smtp/server-watch.ts";
import { makeSmtp } from "./smtp/smtp.ts";
import { makeStore } from "./outbox/store.ts";

export async function start(config: Config, runtime: Runtime): Promise<App> {
  const { log, metrics, health } = runtime;
  await using stack = new AsyncDisposableStack();
  stack.use(metrics);

  const database = stack.use(
    makeDatabase({
      url: config.DATABASE_URL,
      name: "mail",
      log,
      metrics,
      dependency: health.dependency("postgres"),
      migrations: MIGRATIONS,
    }),
  );
  const store = makeStore(database);
  const smtp = stack.use(
    makeSmtp({
      url: config.SMTP_URL,
      tls: config.SMTP_TLS,
      name: config.MAIL_DOMAIN,
      connectTimeoutMs: config.SMTP_CONNECT_TIMEOUT_MS,
      idleTimeoutMs: config.SMTP_ATTEMPT_TIMEOUT_MS,
      onLost: () => watch.suspect(),
    }),
  );
  const watch = stack.use(
    watchServer({
      probe: (signal) => smtp.probe(signal),
      // Without it mails are still accepted, and wait.
      dependency: health.dependency("smtp", { required: false }),
      onUp: () => outbox.wake(),
    }),
  );
  const outbox = stack.use(
    startOutbox({
      store,
      smtp,
      watch,
      log,
      metrics,
      connections: config.SMTP_CONNECTIONS,
      attemptMs: config.SMTP_ATTEMPT_TIMEOUT_MS,
      scheduleMs: config.RETRY_SCHEDULE_MS,
      expireAfterMs: config.EXPIRE_AFTER_MS,
      pollMs: config.OUTBOX_POLL_MS,
    }),
  );
  const send = makeSend({ outbox, store, watch, waitMs: config.SEND_WAIT_MS, domain: config.MAIL_DOMAIN });
  const desk = makeDesk({
    database,
    expireAfterMs: config.EXPIRE_AFTER_MS,
    parseBounce: () => Promise.resolve(fail("unavailable", "there is nothing here that reads notifications")),
    verifyUnsubscribe: () => fail("not_found", "this link is not valid"),
  });
  const app = httpApp(runtime, corsOriginsOf(config), { bodiless: [UNSUBSCRIBE_PATHS] })
    .use(routes({ send }))
    .use(deskRoutes(desk));
  const listening = stack.use(listen(app, config));
  const opened = stack.move();
  return { url: listening.url, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}
