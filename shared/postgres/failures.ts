/** What PostgreSQL and its driver report, as failures of ours and as words for whoever operates it. */
import { Failure, failureOf, messageOf } from "#shared/errors";

/** When trying again makes sense (s): the database is looked for about this often. */
export const RETRY_AFTER_S = 2;

/** Codes of the driver and of the socket that mean: there is no connection (any more). */
const NO_CONNECTION = new Set([
  "CONNECTION_CLOSED",
  "CONNECTION_DESTROYED",
  "CONNECTION_ENDED",
  "CONNECT_TIMEOUT",
  "EAI_AGAIN",
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOENT",
  "ENOTFOUND",
  "EPIPE",
  "ETIMEDOUT",
  "PROBE_TIMEOUT",
]);
/** SQLSTATE (PostgreSQL manual, appendix A): connection exceptions, shutdown, crash, starting up, idle session ended. */
const LOST = /^(08...|57P0[1235])$/;
/** The server does not let us in, or cannot work now: its memory, disk or connections are used up, or it is read-only. */
const REFUSED = /^(28...|3D000|53...|25006|55P03|58...)$/;
/** The server rolled the transaction back so that another could go on: nothing of it was done. */
const ROLLED_BACK = /^(40001|40P01)$/;

/** The driver's or the server's code of an error; empty where it has none. */
export function codeOf(error: unknown): string {
  if (error instanceof AggregateError && !("code" in error && error.code)) return codeOf(error.errors[0]);
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

/** Whether the connection was lost or could not be had: the same on another connection may succeed. */
export function isConnectionLoss(error: unknown): boolean {
  const code = codeOf(error);
  return NO_CONNECTION.has(code) || LOST.test(code);
}

export function isRolledBack(error: unknown): boolean {
  return ROLLED_BACK.test(codeOf(error));
}

export function away(cause: unknown): Failure {
  return new Failure("unavailable", "the database is not available", { cause, retryAfterS: RETRY_AFTER_S });
}

/** The failure that an error from inside some work on the database stands for. */
export function failureOfWork(error: unknown): Failure {
  if (error instanceof Failure) return error;
  const code = codeOf(error);
  if (isConnectionLoss(error) || REFUSED.test(code) || isRolledBack(error)) return away(error);
  // Statement timeout, or a transaction that was left idle.
  if (code === "57014" || code === "25P03")
    return new Failure("deadline", "the database took too long", { cause: error });
  if (code === "23505" || code === "23P01") return new Failure("conflict", undefined, { cause: error });
  if (/^2[23]...$/.test(code)) return new Failure("invalid", undefined, { cause: error });
  return failureOf(error);
}

/** Where a database is, without its password. */
export interface Target {
  host: string;
  port: number;
  user: string;
  database: string;
}

/** An error whose message says what is wrong and how to mend it; the driver's own words are its cause. */
export function explained(error: unknown, { host, port, user, database }: Target): Error {
  const code = codeOf(error);
  const at = `PostgreSQL at ${host}:${port}`;
  const because = (text: string): Error => new Error(text, { cause: error });
  switch (code) {
    case "28P01":
      return because(`${at} refuses the password of user "${user}": correct it in DATABASE_URL`);
    case "28000":
      return because(`${at} does not let user "${user}" in: check the user in DATABASE_URL, and pg_hba.conf`);
    case "3D000":
      return because(
        `${at} has no database "${database}": create it (createdb -h ${host} -p ${port} -U ${user} ${database}), or correct DATABASE_URL`,
      );
    case "42501":
      return because(`user "${user}" may not do this in database "${database}" at ${host}:${port}: grant it the right`);
    case "53300":
      return because(`${at} has no connection left: raise max_connections, or run fewer replicas`);
    case "57P03":
      return because(`${at} is starting up or shutting down`);
    case "CONNECT_TIMEOUT":
    case "PROBE_TIMEOUT":
    case "ETIMEDOUT":
      return because(`${at} does not answer in time`);
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return because(`the host "${host}" of DATABASE_URL is not known`);
    default:
      if (isConnectionLoss(error)) return because(`no answer from ${at}: start it, or correct DATABASE_URL`);
      return error instanceof Error ? error : new Error(messageOf(error));
  }
}
