/** A service's JSON log line as a person reads it. */
import type { Paint } from "./terminal.ts";

/** `12:00:03.120 warn  dependency down  dependency=rabbitmq reason="…"`; a line that is no JSON object stays as it is. */
export function readable(line: string, paint: Paint): string {
  const entry = parse(line);
  if (entry === undefined) return line;
  const { time, level, service: _, message, stack, ...fields } = entry;
  const colours: Record<string, (text: string) => string> = { warn: paint.yellow, error: paint.red, debug: paint.dim };
  const name = textOr(level);
  const colour = colours[name] ?? paint.green;
  const rest = Object.entries(fields).map(([key, value]) => `${paint.dim(`${key}=`)}${plain(value)}`);
  const words = [paint.dim(clock(time)), colour(name.padEnd(5)), textOr(message), ...rest].filter(
    (word) => word !== "",
  );
  return `${words.join(" ")}${typeof stack === "string" ? `\n${stack}` : ""}`;
}

function parse(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/** The time of day (local) of an RFC 3339 time, with milliseconds. */
function clock(time: unknown): string {
  const date = new Date(typeof time === "string" ? time : Number.NaN);
  if (Number.isNaN(date.getTime())) return "";
  const part = (value: number, width = 2) => String(value).padStart(width, "0");
  return `${part(date.getHours())}:${part(date.getMinutes())}:${part(date.getSeconds())}.${part(date.getMilliseconds(), 3)}`;
}

function textOr(value: unknown): string {
  return typeof value === "string" ? value : value === undefined ? "" : JSON.stringify(value);
}

/** Text without spaces as it is, everything else as JSON. */
function plain(value: unknown): string {
  return typeof value === "string" && /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
}
