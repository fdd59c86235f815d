/** Registrations in PostgreSQL. Talks SQL, decides nothing. */
import type { RegistrationState } from "#contracts/auth";
import type { Result } from "#shared/errors";
import type { Database, Sql, WorkContext } from "#shared/postgres";
import { type StoredUser, type UserRow, userColumns, userOf } from "../store.ts";
import { lockAddress, mustBeFree } from "../users/addresses.ts";

export interface NewUser {
  readonly email: string;
  readonly firstName: string;
  readonly lastName: string;
  readonly passwordHash: string;
}

export interface NewRegistration {
  /** UUIDs. */
  readonly sagaId: string;
  readonly mailId: string;
  readonly contentHash: Uint8Array;
}

/** A user together with his registration. */
export interface RegisteredUser {
  readonly user: StoredUser;
  readonly sagaId: string;
  readonly mailId: string;
  readonly contentHash: Uint8Array;
  readonly state: RegistrationState;
}

/** What became of the welcome mail. */
export type MailEnd = "sent" | "refused" | "expired" | "ambiguous";

export interface RegistrationStore {
  /** Whether somebody has the address, without regard to case. */
  isTaken(email: string, context: WorkContext): Promise<Result<boolean>>;
  /**
   * Adds the user, active, and his registration; `andStart` adds the workflow in the same transaction. Twice is once:
   * where the saga's id is there already, that one is given back and nothing is done.
   * @returns failure `conflict` where somebody else has the address, also where he gets it in the same moment.
   */
  create(
    user: NewUser,
    registration: NewRegistration,
    andStart: (sql: Sql, userId: number) => Promise<unknown>,
    context: WorkContext,
  ): Promise<Result<{ readonly created: boolean; readonly registered: RegisteredUser }>>;
  findBySaga(sagaId: string, context: WorkContext): Promise<Result<RegisteredUser | undefined>>;
  findByUser(userId: number, context: WorkContext): Promise<Result<RegisteredUser | undefined>>;
  /** Writes what became of the mail; a user whose mail cannot be delivered is marked. */
  mark(sagaId: string, mail: MailEnd, reason: string | undefined, context: WorkContext): Promise<Result<void>>;
  /** Ends a registration that is still pending. */
  complete(sagaId: string, context: WorkContext): Promise<Result<void>>;
}

interface Row extends UserRow {
  saga_id: string;
  mail_id: string;
  content_hash: Uint8Array;
  state: RegistrationState;
}

export function makeRegistrationStore(database: Database): RegistrationStore {
  async function find(sql: Sql, condition: ReturnType<Sql>): Promise<RegisteredUser | undefined> {
    const [row] = await sql<Row[]>`
      select ${userColumns(sql)}, saga_id, mail_id, content_hash, state
      from users join (select user_id, saga_id, mail_id, content_hash, state from registrations) r on r.user_id = users.id
      where ${condition}`;
    return row === undefined ? undefined : registeredOf(row);
  }

  return {
    isTaken: (email, context) =>
      database.query(async (sql) => (await sql`select 1 from users where lower(email) = lower(${email})`).length > 0, {
        ...context,
        retry: true,
      }),
    create: (user, { sagaId, mailId, contentHash }, andStart, context) =>
      database.transaction(
        async (sql) => {
          await lockAddress(sql, user.email);
          const earlier = await find(sql, sql`saga_id = ${sagaId}`);
          if (earlier !== undefined) return { created: false, registered: earlier };
          await mustBeFree(sql, user.email);
          const [added] = await sql<{ id: number }[]>`
            insert into users (email, first_name, last_name, password, user_active, created_at, updated_at)
            values (${user.email}, ${user.firstName}, ${user.lastName}, ${user.passwordHash}, 1,
              now() at time zone 'UTC', now() at time zone 'UTC')
            returning id`;
          if (added === undefined) throw new Error("an insert returned nothing");
          await sql`
            insert into registrations (user_id, saga_id, mail_id, content_hash)
            values (${added.id}, ${sagaId}, ${mailId}, ${contentHash})`;
          await andStart(sql, added.id);
          const registered = await find(sql, sql`saga_id = ${sagaId}`);
          if (registered === undefined) throw new Error("what was inserted is not there");
          return { created: true, registered };
        },
        { ...context, retry: true },
      ),
    findBySaga: (sagaId, context) =>
      database.query((sql) => find(sql, sql`saga_id = ${sagaId}`), { ...context, retry: true }),
    findByUser: (userId, context) =>
      database.query((sql) => find(sql, sql`users.id = ${userId}`), { ...context, retry: true }),
    mark: (sagaId, mail, reason, context) =>
      database.query(
        async (sql) => {
          const isRefused = mail === "refused" || mail === "expired";
          await sql`
            update registrations set mail = ${mail}, reason = ${reason ?? null}, updated_at = now(),
              state = case when ${isRefused} then 'mail_refused' else state end
            where saga_id = ${sagaId}`;
        },
        { ...context, retry: true },
      ),
    complete: (sagaId, context) =>
      database.query(
        async (sql) => {
          await sql`
            update registrations set state = 'complete', updated_at = now()
            where saga_id = ${sagaId} and state = 'pending'`;
        },
        { ...context, retry: true },
      ),
  };
}

function registeredOf(row: Row): RegisteredUser {
  return {
    user: userOf(row),
    sagaId: row.saga_id,
    mailId: row.mail_id,
    contentHash: row.content_hash,
    state: row.state,
  };
}
