/** A mail server that misbehaves on request, and a mail service of a case's own that sends to it. */
import { join } from "node:path";
import postgres from "postgres";
import { MailView } from "#contracts/mail";
import { makeValidator } from "#shared/validation";
import { freePort } from "../../dev/backing/ports.ts";
import { makeService } from "../../dev/service.ts";
import { programOf } from "../../dev/services.ts";
import { startSmtpDouble } from "../../mail/smtp/smtp-double.test-kit.ts";
import { type Platform, until } from "../kit.ts";

export type { Behaviour, SmtpDouble } from "../../mail/smtp/smtp-double.test-kit.ts";

const READY_MS = 30_000;
const CLIENT_MS = 15_000;

export interface MailAnswer {
  /** 0 where no answer came. */
  readonly status: number;
  readonly message: string;
  readonly state: string | undefined;
}

export interface MailService extends AsyncDisposable {
  /** POST /send under a key, which is the id of the mail. Never throws. */
  send(id: string, to: string): Promise<MailAnswer>;
  /** The same until it is answered: as a job does, whose first call was cut. */
  sendUntilAnswered(id: string, to: string): Promise<MailAnswer>;
  /** GET /mails/:id; undefined where it is not known. */
  view(id: string): Promise<MailView | undefined>;
  /** Kills it (-9) and starts it again at once; resolves when it is ready. */
  killAndStart(): Promise<void>;
}

const viewOf = makeValidator(MailView);

/**
 * A mail service as a process of its own, started again when it dies, on a database of its own in the platform's
 * PostgreSQL: the platform's mail service would take its mails else.
 */
export async function startMailService(
  platform: Platform,
  smtpUrl: string,
  env: Record<string, string> = {},
): Promise<MailService> {
  const admin = postgres(platform.stack.part("postgres").url, { max: 1, onnotice: () => undefined });
  const database = `mail_${process.pid}_${Date.now()}`;
  await admin.unsafe(`CREATE DATABASE ${database}`);
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const service = makeService({
    name: "mail",
    url,
    launch: () => ({
      ...programOf("mail", undefined),
      env: {
        ...platform.hops.environment("mail"),
        MAIL_PORT: String(port),
        MAIL_DATABASE_URL: Object.assign(new URL(platform.stack.part("postgres").url), { pathname: `/${database}` })
          .href,
        MAIL_SMTP_URL: smtpUrl,
        MAIL_SMTP_CONNECT_TIMEOUT_MS: "500",
        MAIL_SMTP_ATTEMPT_TIMEOUT_MS: "3000",
        MAIL_OUTBOX_POLL_MS: "200",
        MAIL_RETRY_SCHEDULE_MS: "300,600,1000",
        ...env,
      },
      log: join(platform.stack.dataDir, "logs", "mail-of-a-case.log"),
    }),
    onEvent: () => undefined,
  });
  await service.start();
  const untilReady = async (): Promise<void> => {
    await until("the mail service is ready", async () => (await fetch(`${url}/ready`)).ok, READY_MS);
  };
  await untilReady();

  const send: MailService["send"] = async (id, to) => {
    try {
      const answer = await fetch(`${url}/send`, {
        method: "POST",
        headers: { "content-type": "application/json", "idempotency-key": id },
        body: JSON.stringify({ from: "me@example.com", to, subject: id, message: "a mail of a case" }),
        signal: AbortSignal.timeout(CLIENT_MS),
      });
      const body = (await answer.json()) as { message: string; data?: { state: string } };
      return { status: answer.status, message: body.message, state: body.data?.state };
    } catch (error) {
      return { status: 0, message: error instanceof Error ? error.message : String(error), state: undefined };
    }
  };

  return {
    send,
    sendUntilAnswered: (id, to) =>
      until(
        "an answer",
        async () => {
          const answer = await send(id, to);
          return answer.status !== 0 && answer.status < 500 ? answer : undefined;
        },
        READY_MS,
      ),
    async view(id) {
      const answer = await fetch(`${url}/mails/${id}`, { signal: AbortSignal.timeout(CLIENT_MS) });
      if (answer.status === 404) return undefined;
      const view = viewOf(((await answer.json()) as { data: unknown }).data);
      if (!view.ok) throw view.error;
      return view.value;
    },
    async killAndStart() {
      service.kill("SIGKILL");
      // Not when the supervisor thinks fit, which waits longer each time.
      await service.stop();
      await service.start();
      await untilReady();
    },
    async [Symbol.asyncDispose]() {
      await service.stop();
      await admin.unsafe(`DROP DATABASE ${database} WITH (FORCE)`);
      await admin.end();
    },
  };
}

/** A double and a mail service that sends to it. */
export async function startMailing(platform: Platform, env: Record<string, string> = {}) {
  const double = startSmtpDouble();
  const mail = await startMailService(platform, double.url, env);
  return {
    double,
    mail,
    /** How often each mail arrived with its whole content, by its subject, which is its id; also those whose answer was lost. */
    arrivals(): Map<string, number> {
      const times = new Map<string, number>();
      for (const { content } of double.arrived) {
        const id = /^Subject: (\S+)\r?$/m.exec(content)?.[1] ?? "";
        times.set(id, (times.get(id) ?? 0) + 1);
      }
      return times;
    },
    async [Symbol.asyncDispose]() {
      await mail[Symbol.asyncDispose]();
      await double[Symbol.asyncDispose]();
    },
  };
}
