/**
 * Logs of the services themselves: one JSON object a line on stdout (twelve-factor XI), written by us
 * because logging libraries' worker transports do not survive `bun build --compile`.
 * Secrets are redacted by the names of their keys, whatever the depth.
 */
import { messageOf } from "#shared/errors";

export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Values by name. Errors become their message chain (and a stack for a bug at level error). */
export type LogFields = Record<string, unknown>;

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** The same log with `fields` in every line. */
  child(fields: LogFields): Log;
}

/** Keys whose values never reach a log, compared without case and separators. */
const SECRET_KEYS =
  /^(.*(password|passwd|secret|token|authorization|cookie|apikey|servicekey|privatekey|credentials?))$/;
const REDACTED = "[redacted]";
/** Credentials inside any URL that ends up in a text: `scheme://user:password@host`, up to the last `@` of the authority. */
const URL_CREDENTIALS = /\b([a-z][a-z0-9+.-]*:\/\/)[^\s/?#]*@/gi;
const MAX_TEXT = 8_192;
const MAX_DEPTH = 6;

/** Text without the credentials of URLs in it; any length. */
export function withoutCredentials(text: string): string {
  return text.replace(URL_CREDENTIALS, "$1***@");
}

function printable(value: unknown, depth: number): unknown {
  if (typeof value === "string") {
    const text = withoutCredentials(value);
    return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}… (${text.length} characters)` : text;
  }
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Error) return withoutCredentials(messageOf(value));
  if (value instanceof Date) return value;
  if (depth >= MAX_DEPTH) return "[…]";
  if (Array.isArray(value)) return value.slice(0, 100).map((item) => printable(item, depth + 1));
  return redacted(value, depth + 1);
}

function redacted(fields: object, depth: number): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    out[key] = SECRET_KEYS.test(key.toLowerCase().replaceAll(/[^a-z]/g, "")) ? REDACTED : printable(value, depth);
  }
  return out;
}

export interface LogOptions {
  service: string;
  /** Lines below this level are not written (default `info`). */
  level?: LogLevel;
  /** Where a line goes, newline included (default: stdout). */
  write?: (line: string) => void;
  fields?: LogFields;
}

/** A line below the level costs a call. */
function unwritten(): void {}

function toStdout(line: string): void {
  process.stdout.write(line);
}

/** A log that writes lines `{time, level, service, message, …fields}`; `time` is RFC 3339 in UTC. */
export function makeLog({ service, level = "info", write = toStdout, fields = {} }: LogOptions): Log {
  const threshold = LOG_LEVELS.indexOf(level);
  const emit = (at: LogLevel, message: string, extra: LogFields = {}): void => {
    const bug = Object.values(extra).find((value) => value instanceof Error && value.name !== "Failure");
    const stack = at === "error" && bug instanceof Error ? { stack: withoutCredentials(bug.stack ?? "") } : {};
    const line = { time: new Date(), level: at, service, message, ...redacted({ ...fields, ...extra }, 0), ...stack };
    write(`${JSON.stringify(line)}\n`);
  };
  const at = (line: LogLevel): ((message: string, extra?: LogFields) => void) =>
    LOG_LEVELS.indexOf(line) < threshold ? unwritten : (message, extra) => emit(line, message, extra);
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (more) => makeLog({ service, level, write, fields: { ...fields, ...more } }),
  };
}

/** A log that writes nothing. */
export const silentLog: Log = makeLog({ service: "silent", level: "silent" });
