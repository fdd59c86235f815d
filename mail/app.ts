/** Composition root of the mail service: opens what it needs, wires it, and closes it in reverse. */
import { corsOriginsOf } from "#shared/config";
import { exposureOf, httpApp, listen } from "#shared/http";
import type { App, Runtime } from "#shared/lifecycle";
import { advertised, announce } from "#shared/discovery";
import { makeDatabase } from "#shared/postgres";
import { makeCallers } from "#shared/service-keys";
import { parseBounce } from "./bounces/dsn.ts";
import { type Config, dkimOptionsOf } from "./config.ts";
import { makeDesk } from "./desk/desk.ts";
import { deskRoutes, UNSUBSCRIBE_PATHS } from "./desk/routes.ts";
import { startEvents } from "./events/events.ts";
import { makeDkim } from "./message/dkim.ts";
import { unsubscribeLinks } from "./message/unsubscribe.ts";
import { MIGRATIONS } from "./migrations.ts";
import { startOutbox } from "./outbox/outbox.ts";
import { keepRetention } from "./outbox/retention.ts";
import { makePrepare } from "./request.ts";
import { CALLERS, routes } from "./routes.ts";
import { makeSend } from "./send.ts";
import { watchServer } from "./smtp/server-watch.ts";
import { makeSmtp } from "./smtp/smtp.ts";
import { CHANNEL, makeStore } from "./outbox/store.ts";
import { templateRoutes } from "./template/routes.ts";
import { openTemplates } from "./template/templates.ts";

export async function start(config: Config, runtime: Runtime): Promise<App> {
  const { log, metrics, health } = runtime;
  await using stack = new AsyncDisposableStack();
  stack.use(metrics);

  const templates = openTemplates({ directory: config.TEMPLATES_DIR, defaultLocale: config.DEFAULT_LOCALE, log });
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
  // Closed after the outbox: what its last attempts came to is told, too.
  const events = stack.use(
    startEvents({
      database,
      rabbitmqUrl: config.RABBITMQ_URL,
      targets: config.WEBHOOK_URLS ?? [],
      keys: config.WEBHOOK_SECRET ?? [],
      types: config.WEBHOOK_EVENTS,
      log,
      metrics,
      health,
    }),
  );
  const store = makeStore(database);
  const links = unsubscribeLinks(config.PUBLIC_URL, config.UNSUBSCRIBE_SECRET);
  const dkimOptions = dkimOptionsOf(config);
  const dkim = dkimOptions === undefined ? undefined : makeDkim(dkimOptions);
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
      ambiguousPolicy: config.AMBIGUOUS_POLICY,
      quotaPerHour: config.SENDER_QUOTA_PER_HOUR,
      onChange: () => events.wake(),
      unsubscribeUrlOf: (recipient, list) => links.urlFor(recipient, list),
      ...(dkim === undefined ? {} : { sign: (bytes: Uint8Array) => dkim.sign(bytes) }),
    }),
  );
  health.backlog("outbox", () => outbox.waiting);
  database.listen(CHANNEL, () => outbox.wake());
  stack.use(keepRetention({ store, log, retentionMs: config.RETENTION_MS }));
  const prepare = makePrepare({
    allowedSenders: config.ALLOWED_SENDERS,
    allowedRecipients: config.ALLOWED_RECIPIENTS,
    quotaPerHour: config.SENDER_QUOTA_PER_HOUR,
    render: (choice) => templates.render(choice),
    listsReady: links.ready,
  });
  const send = makeSend({ prepare, outbox, store, watch, waitMs: config.SEND_WAIT_MS, domain: config.MAIL_DOMAIN });
  const desk = makeDesk({
    database,
    expireAfterMs: config.EXPIRE_AFTER_MS,
    parseBounce,
    verifyUnsubscribe: (token) => links.verify(token),
  });
  const callers = makeCallers(config.SERVICE_CALLERS, CALLERS);
  const app = httpApp(runtime, corsOriginsOf(config), {
    bodiless: [UNSUBSCRIBE_PATHS],
    callers,
    exposure: exposureOf(config),
  })
    .use(routes({ send }))
    .use(deskRoutes(desk))
    .use(templateRoutes(templates));
  const listening = stack.use(listen(app, config));
  // Before the door closes it says so.
  stack.use(
    announce({
      service: "mail",
      rabbitmqUrl: config.RABBITMQ_URL,
      url: advertised(config, listening.url),
      version: runtime.version,
      key: config.ANNOUNCE_KEY,
      log,
    }),
  );
  const opened = stack.move();
  return { url: listening.url, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}
