/**
 * Moments of a registration that can be held without a line of test code in the service: by triggers in its database,
 * by a proxy before the mail service that keeps a request or an answer, by a mail server that puts off, and by a
 * network to RabbitMQ that stands still. Who is held where is told by his address: `<moment>.<anything>@example.com`.
 */
import postgres from "postgres";
import { keyOf } from "#shared/saga";
import { type SmtpDouble, startSmtpDouble } from "../../mail/smtp/smtp-double.test-kit.ts";
import { type Proxy, startProxy } from "../../dev/chaos/proxy.ts";
import { type Answered, type Platform, startPlatform, until } from "../kit.ts";

/** In the order in which a registration comes to them. */
export const MOMENTS = [
  /** The transaction has inserted and not committed. */
  "uncommitted",
  /** Committed, and no runner has it yet. */
  "committed",
  /** The request to the mail service has left, and not arrived. */
  "posting",
  /** The mail service has answered, and the answer has not arrived. */
  "posted",
  /** The answer is here, and that is not written yet. */
  "mailed",
  /** The mail is put off by its server. */
  "waiting",
  /** The mail's end is known, and not written. */
  "ended",
  /** The user's row says what became of the mail, the workflow's does not. */
  "marked",
  /** The event has left, and not arrived. */
  "publishing",
  /** RabbitMQ has the event, and that is not written. */
  "published",
  /** Everything is done but the last note. */
  "completed",
] as const;
export type Moment = (typeof MOMENTS)[number];

/** The step that would be noted at a moment, and the one that would follow. */
const NOTES: Readonly<Partial<Record<Moment, readonly [string, string]>>> = {
  mailed: ["welcome_mail", "mail_end"],
  ended: ["mail_end", "mark"],
  marked: ["mark", "event"],
  published: ["event", "complete"],
  completed: ["complete", ""],
};
const LOCK = 4_711;

export interface User {
  readonly email: string;
  readonly key: string;
  readonly body: Readonly<Record<string, string>>;
  /** Ids that were told him, in answers with 201. */
  readonly ids: Set<number>;
}

export interface RegistrationScene extends AsyncDisposable {
  readonly platform: Platform;
  readonly smtp: SmtpDouble;
  /** Holds everybody who comes to his moment from now on. */
  hold(): Promise<void>;
  /** Waits until he is held there. */
  held(moment: Moment, user: User): Promise<void>;
  /** The network to RabbitMQ stands still until `release`. */
  stopEvents(): Promise<void>;
  release(): Promise<void>;
  /** One try. @returns undefined where nobody answered. */
  register(user: User): Promise<Answered | undefined>;
  /**
   * Waits until each of them is registered, whole, and everything of them is there exactly once. @returns what is wrong.
   * @param killed with the mail service, or with the database that it writes to, it may be unknown whether a mail was taken.
   */
  checked(users: readonly User[], withinMs: number, killed?: string): Promise<string[]>;
}

let users = 0;
export function userAt(what: string): User {
  users += 1;
  const email = `${what}.${process.pid}-${users}@example.com`;
  return { email, key: Bun.randomUUIDv7(), body: { email, password: "long enough" }, ids: new Set() };
}

/** Keeps requests, or answers, of mails to those who are held there. */
function startMailProxy(targetOf: () => string) {
  const kept = new Map<string, PromiseWithResolvers<void>>();
  const seen = new Set<string>();
  let holding = false;
  const wait = async (moment: Moment, to: string): Promise<void> => {
    if (!holding || !to.startsWith(`${moment}.`)) return;
    seen.add(`${moment} ${to}`);
    const gate = kept.get(to) ?? Promise.withResolvers<void>();
    kept.set(to, gate);
    await gate.promise;
  };
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 60,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      const body = request.method === "POST" ? await request.text() : undefined;
      const asked = JSON.parse(body ?? "{}") as { to?: string; template?: { name?: string } };
      // The mail that verifies the address is no part of the workflow: nothing holds it.
      const to = asked.template?.name === "welcome" ? String(asked.to) : "";
      await wait("posting", to);
      // Whoever asked is gone: what had not arrived never does.
      if (request.signal.aborted) return new Response(null, { status: 502 });
      const headers = new Headers(request.headers);
      headers.delete("host");
      try {
        const answer = await fetch(`${targetOf()}${pathname}`, {
          method: request.method,
          headers,
          ...(body === undefined ? {} : { body }),
        });
        const text = await answer.text();
        await wait("posted", to);
        return new Response(text, { status: answer.status, headers: { "content-type": "application/json" } });
      } catch {
        return new Response(null, { status: 502 });
      }
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    saw: (moment: Moment, to: string) => seen.has(`${moment} ${to}`),
    hold: () => {
      holding = true;
    },
    release: () => {
      holding = false;
      for (const gate of kept.values()) gate.resolve();
      kept.clear();
    },
    stop: () => server.stop(true),
  };
}

export async function startRegistrations(): Promise<RegistrationScene> {
  const smtp = startSmtpDouble();
  let mailUrl = "";
  const mail = startMailProxy(() => mailUrl);
  const rabbit: Proxy = await startProxy();
  const platform = await startPlatform({
    env: {
      AUTH_BCRYPT_COST: "4",
      AUTH_MAIL_URL: mail.url,
      AUTH_RABBITMQ_URL: `amqp://guest:guest@127.0.0.1:${rabbit.port}`,
      MAIL_SMTP_URL: smtp.url,
      MAIL_RETRY_SCHEDULE_MS: "300",
    },
  });
  mailUrl = platform.url("mail");
  rabbit.through(platform.stack.part("rabbitmq").url);
  const sql = postgres(`${platform.stack.part("postgres").url}/users`, { max: 3, onnotice: () => undefined });
  const locker = postgres(`${platform.stack.part("postgres").url}/users`, { max: 1, onnotice: () => undefined });
  await sql.unsafe(`
    create table test_held (moment text primary key);
    create function test_hold() returns trigger language plpgsql as $$
    declare whom text := split_part(new.data->>'email', '.', 1);
    begin
      if not exists (select 1 from test_held h where h.moment = whom) then return new; end if;
      if tg_op = 'INSERT' then
        if whom = 'uncommitted' then perform pg_advisory_xact_lock(${LOCK}); end if;
        return new;
      end if;
      if whom = 'committed' and new.claim is not null then
        perform setval('test_at_committed', 1 + nextval('test_at_committed'));
        return null;
      end if;
      ${Object.entries(NOTES)
        .map(
          ([moment, [from, to]]) => `
      if whom = '${moment}' and old.step = '${from}' and coalesce(new.step, '') = '${to}' then
        perform nextval('test_at_${moment}');
        raise exception 'held by a test' using errcode = '57P03';
      end if;`,
        )
        .join("")}
      return new;
    end $$;
    ${["committed", ...Object.keys(NOTES)].map((moment) => `create sequence test_at_${moment};`).join("\n")}
    create trigger test_hold before insert or update on sagas for each row execute function test_hold();`);

  /** Never rolled back, and so it tells what a statement did that failed. */
  const count = async (moment: Moment): Promise<number> => {
    const [row] = await sql<{ at: string | null }[]>`
      select pg_sequence_last_value(${`test_at_${moment}`}::regclass)::text as at`;
    return Number(row?.at ?? 0);
  };
  const before = new Map<Moment, number>();
  const counted: readonly Moment[] = ["committed", "mailed", "ended", "marked", "published", "completed"];

  async function stepOf({ email }: User): Promise<{ step: string | null; claim: string | null } | undefined> {
    const [row] = await sql<{ step: string | null; claim: string | null }[]>`
      select step, claim from sagas where data->>'email' = ${email}`;
    return row;
  }

  async function isHeld(moment: Moment, user: User): Promise<boolean> {
    switch (moment) {
      case "uncommitted":
        return (
          (await sql`select 1 from pg_locks where locktype = 'advisory' and objid = ${LOCK} and not granted`).length > 0
        );
      case "posting":
      case "posted":
        return mail.saw(moment, user.email);
      case "waiting":
        return smtp.rcptLines.some((line) => line.includes(user.email)) && (await stepOf(user))?.step === "mail_end";
      case "publishing": {
        const at = await stepOf(user);
        return at?.step === "event" && at.claim !== null;
      }
      default:
        return (await count(moment)) > (before.get(moment) ?? 0);
    }
  }

  async function wrongWith(user: User, isMailKilled: boolean): Promise<string[]> {
    const { email } = user;
    const rows = await sql<{ id: number; state: string; mail: string; saga_id: string; saga: string }[]>`
      select u.id, r.state, r.mail, r.saga_id, s.state as saga from users u
      left join registrations r on r.user_id = u.id left join sagas s on s.id = r.saga_id
      where lower(u.email) = lower(${email})`;
    const isRefused = email.startsWith("refused.");
    const events = await platform.entries.find({ name: "user.registered", "data.email": email }).toArray();
    const mails = smtp.taken.filter(({ to }) => to.includes(email));
    const about = (subject: string): number =>
      mails.filter(({ content }) => content.includes(`Subject: ${subject}`)).length;
    const [row] = rows;
    const event = events[0]?.data as { mail?: string; user_id?: number; reason?: string } | undefined;
    const wrong: string[] = [];
    const expect = (what: string, is: unknown, should: unknown): void => {
      if (is !== should) wrong.push(`${email}: ${what} is ${String(is)}, not ${String(should)}`);
    };
    expect("number of users", rows.length, 1);
    expect("workflow", row?.saga, "done");
    expect("registration", row?.state, isRefused ? "mail_refused" : "complete");
    // The mail service died while its server was about to answer: nobody knows whether it took the mail, and it is not sent twice.
    const isUnknown = isMailKilled && row?.mail === "ambiguous";
    const end = isRefused ? "refused" : isUnknown ? "ambiguous" : "sent";
    expect("what became of the mail", row?.mail, end);
    if (isUnknown) expect("one welcome mail at most", about("Welcome") <= 1, true);
    else expect("number of welcome mails", about("Welcome"), isRefused ? 0 : 1);
    expect("number of mails that verify the address", about("Confirm your address"), isRefused ? 0 : 1);
    expect("number of events", events.length, 1);
    expect("event's id", events[0]?.event_id, keyOf(row?.saga_id ?? "", "event"));
    expect("event's mail", event?.mail, end);
    expect("event's user", event?.user_id, row?.id);
    expect("event's reason", event?.reason !== undefined, isRefused);
    expect("ids that were answered", [...user.ids].join(), String(row?.id));
    return wrong;
  }

  const scene: RegistrationScene = {
    platform,
    smtp,
    async hold() {
      for (const moment of counted) before.set(moment, await count(moment));
      await sql`insert into test_held select unnest(${[...MOMENTS]}::text[]) on conflict do nothing`;
      await locker`select pg_advisory_lock(${LOCK})`;
      mail.hold();
      smtp.behaviour.rcpt = (to) => {
        if (to.startsWith("refused.")) return "550 5.1.1 nobody of that name";
        return to.startsWith("waiting.") ? "451 4.7.1 come again" : "250 2.1.5 recipient ok";
      };
    },
    held: async (moment, user) => void (await until(`${user.email} held`, () => isHeld(moment, user), 20_000)),
    stopEvents: () => rabbit.misbehave({ pause: true }),
    async release() {
      smtp.behaviour.rcpt = (to) =>
        to.startsWith("refused.") ? "550 5.1.1 nobody of that name" : "250 2.1.5 recipient ok";
      mail.release();
      await rabbit.heal();
      await until(
        "PostgreSQL back",
        async () => {
          await sql`delete from test_held`;
          // A restart has released it already.
          await locker`select pg_advisory_unlock_all()`;
          return true;
        },
        30_000,
      );
    },
    async register(user) {
      try {
        const answer = await platform.post("auth", "/users", user.body, { "idempotency-key": user.key });
        if (answer.status === 201) user.ids.add((answer.body.data as { id: number }).id);
        return answer;
      } catch {
        return undefined;
      }
    },
    async checked(some, withinMs, killed) {
      const endsAt = performance.now() + withinMs;
      let wrong: string[] = [];
      do {
        await Bun.sleep(100);
        try {
          const all = await Promise.all(
            some.map(async (user) => {
              if (user.ids.size === 0) await scene.register(user);
              return wrongWith(user, killed === "mail" || killed === "postgres");
            }),
          );
          wrong = all.flat();
        } catch (error) {
          // A database that is not back yet.
          wrong = [String(error)];
        }
      } while (wrong.length > 0 && performance.now() < endsAt);
      return wrong;
    },
    async [Symbol.asyncDispose]() {
      mail.release();
      await rabbit.heal();
      await sql.end({ timeout: 2 });
      await locker.end({ timeout: 2 });
      await platform[Symbol.asyncDispose]();
      await rabbit[Symbol.asyncDispose]();
      await smtp[Symbol.asyncDispose]();
      await mail.stop();
    },
  };
  await scene.release();
  return scene;
}
