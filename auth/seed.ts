/** The development user, so that there is somebody to log in as. Added by the command `auth seed`, never by the service. */
import { Secret } from "#shared/config";
import { messageOf } from "#shared/errors";
import { EXIT } from "#shared/lifecycle";
import type { Log } from "#shared/log";
import { openForCommand } from "#shared/postgres";
import { Deadline } from "#shared/resilience";
import type { Config } from "./config.ts";
import { DEVELOPMENT_USER } from "./development-user.ts";
import { MIGRATIONS } from "./migrations.ts";

const COST = 12;
/** Longest wait for the database (ms). */
const WAIT_MS = 30_000;

/**
 * Adds the development user, active, after bringing the schema up to date. A user of that address is left as he is.
 * @returns what was found or done.
 * @throws Failure `unavailable` where the database is not there within 30 s; its cause says why.
 */
export async function seedDevelopmentUser(databaseUrl: string): Promise<"created" | "present"> {
  await using opened = openForCommand({ name: "auth seed", url: new Secret(databaseUrl), migrations: MIGRATIONS });
  const { database } = opened;
  const deadline = Deadline.after(WAIT_MS);
  const ready = await database.ready(deadline);
  if (!ready.ok) throw ready.error;
  const { email, password } = DEVELOPMENT_USER;
  const hash = await Bun.password.hash(password, { algorithm: "bcrypt", cost: COST });
  const added = await database.query(
    (sql) => sql`
      insert into users (email, first_name, last_name, password, user_active, role, email_verified_at)
      select ${email}, 'Admin', 'User', ${hash}, 1, 'admin', now()
      where not exists (select 1 from users where lower(email) = lower(${email}))
      on conflict do nothing
      returning id`,
    { deadline, retry: true },
  );
  if (!added.ok) throw added.error;
  return added.value.length === 1 ? "created" : "present";
}

/** The command `auth seed`. @returns the exit code. */
export async function seed({ DATABASE_URL, ENVIRONMENT }: Config, log: Log): Promise<number> {
  if (ENVIRONMENT === "production") {
    log.error("the development user is not for production");
    return EXIT.configuration;
  }
  try {
    const outcome = await seedDevelopmentUser(DATABASE_URL.reveal());
    log.info("development user", { email: DEVELOPMENT_USER.email, outcome });
    return EXIT.drained;
  } catch (error) {
    log.error("no development user", { reason: messageOf(error) });
    return EXIT.bug;
  }
}
