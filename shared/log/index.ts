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

/** Which lines are written: as configured, or otherwise for a while. */
export interface LevelSwitch {
  /** Lines below it are not written now. */
  readonly level: LogLevel;
  /** What it goes back to. */
  readonly configured: LogLevel;
  /** When it goes back; undefined where it is as configured, or stays as it is until the process ends. */
  readonly until: Date | undefined;
  /** @param ms how long (at most 24 h); 0: until the process ends. */
  set(level: LogLevel, ms: number): void;
  /** Told of every change, also of the one back. */
  onChange(told: (level: LogLevel) => void): void;
}

export interface Log {
  /** Of this log and all its children. */
  readonly level: LevelSwitch;
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
  /** Lines below this level are not written (default `info`); or the switch of another log. */
  level?: LogLevel | LevelSwitch;
  /** Where a line goes, newline included (default: stdout). */
  write?: (line: string) => void;
  fields?: LogFields;
}

/** Longest that a level is changed for, unless it is for good (ms). */
export const MAX_LEVEL_CHANGE_MS = 24 * 3_600_000;

/** A switch of the level, which is `configured` until it is set. */
function makeLevelSwitch(configured: LogLevel): LevelSwitch {
  const listeners: ((level: LogLevel) => void)[] = [];
  let level = configured;
  let until: Date | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function change(to: LogLevel, back: Date | undefined): void {
    level = to;
    until = back;
    for (const told of listeners) told(to);
  }

  return {
    get level() {
      return level;
    },
    configured,
    get until() {
      return until;
    },
    set(to, ms) {
      clearTimeout(timer);
      const forMs = to === configured ? 0 : Math.min(ms, MAX_LEVEL_CHANGE_MS);
      change(to, forMs === 0 ? undefined : new Date(Date.now() + forMs));
      if (forMs === 0) return;
      timer = setTimeout(() => change(configured, undefined), forMs);
      timer.unref();
    },
    onChange: (told) => void listeners.push(told),
  };
}

function toStdout(line: string): void {
  process.stdout.write(line);
}

/** A log that writes lines `{time, level, service, message, …fields}`; `time` is RFC 3339 in UTC. */
export function makeLog({ service, level = "info", write = toStdout, fields = {} }: LogOptions): Log {
  const levels = typeof level === "string" ? makeLevelSwitch(level) : level;
  const emit = (at: LogLevel, message: string, extra: LogFields = {}): void => {
    const bug = Object.values(extra).find((value) => value instanceof Error && value.name !== "Failure");
    const stack = at === "error" && bug instanceof Error ? { stack: withoutCredentials(bug.stack ?? "") } : {};
    const line = { time: new Date(), level: at, service, message, ...redacted({ ...fields, ...extra }, 0), ...stack };
    write(`${JSON.stringify(line)}\n`);
  };
  const at =
    (line: LogLevel) =>
    (message: string, extra?: LogFields): void => {
      if (LOG_LEVELS.indexOf(line) >= LOG_LEVELS.indexOf(levels.level)) emit(line, message, extra);
    };
  return {
    level: levels,
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (more) => makeLog({ service, level: levels, write, fields: { ...fields, ...more } }),
  };
}

/** A log that writes nothing. */
export const silentLog: Log = makeLog({ service: "silent", level: "silent" });
