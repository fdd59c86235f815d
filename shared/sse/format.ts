/** Server-sent events as bytes (WHATWG HTML §9.2.5, §9.2.6): writing them, and reading them back. */

/** Headers of an answer that is a stream of events. Proxies that buffer (nginx) are told not to. */
export const EVENT_STREAM_HEADERS: Readonly<Record<string, string>> = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-store",
  "x-accel-buffering": "no",
};

export interface EventFields {
  /** What a client sends as `Last-Event-ID` when it comes back. One line. Alone, it is remembered without an event. */
  readonly id?: string;
  /** Name; clients that see none call it `message`. One line. */
  readonly event?: string;
  /** Any text; each of its lines travels by itself. */
  readonly data?: string;
  /** When to come back after the connection was lost (ms). */
  readonly retryMs?: number;
}

const encoder = new TextEncoder();

/** One event; a line break within `id` or `event` would begin another field, so it is left out. */
export function eventBytes({ id, event, data, retryMs }: EventFields): Uint8Array {
  let text = "";
  if (retryMs !== undefined) text += `retry: ${Math.round(retryMs)}\n`;
  if (id !== undefined) text += `id: ${oneLine(id)}\n`;
  if (event !== undefined) text += `event: ${oneLine(event)}\n`;
  if (data !== undefined) for (const line of data.split(/\r\n|\r|\n/)) text += `data: ${line}\n`;
  return encoder.encode(`${text}\n`);
}

/** NUL in an id makes clients ignore it. */
function oneLine(text: string): string {
  return /[\r\n\0]/.test(text) ? text.replaceAll(/[\r\n\0]/g, "") : text;
}

/** A comment: nothing happens at the client, and whoever is between sees that the connection is alive. */
export const HEARTBEAT = encoder.encode(":\n\n");

export interface ReceivedEvent {
  readonly event: string;
  readonly data: string;
  /** The last id that was told, by this event or one before. */
  readonly id: string;
}

export interface EventReader {
  /**
   * Takes the next text of the stream, cut anywhere.
   * @throws Error where a line or an event is longer than is read.
   */
  push(text: string): void;
  /** The last id that was told, also by what was no event. */
  readonly lastId: string;
  /** What `retry` said last (ms). */
  readonly retryMs: number | undefined;
}

/** @param maxChars most of one event; more is no stream of ours. */
export function makeEventReader(onEvent: (event: ReceivedEvent) => void, maxChars = 4 * 1_048_576): EventReader {
  let rest = "";
  let isFirst = true;
  let data: string[] = [];
  let size = 0;
  let event = "";
  let id = "";
  let lastId = "";
  let retryMs: number | undefined;

  function dispatch(): void {
    lastId = id;
    if (data.length > 0) onEvent({ event: event === "" ? "message" : event, data: data.join("\n"), id });
    data = [];
    size = 0;
    event = "";
  }

  function take(line: string): void {
    if (line === "") return dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") {
      size += value.length;
      if (size > maxChars) throw new Error(`an event of more than ${maxChars} characters`);
      data.push(value);
    } else if (field === "event") event = value;
    else if (field === "id" && !value.includes("\0")) id = value;
    else if (field === "retry" && /^\d{1,9}$/.test(value)) retryMs = Number(value);
  }

  return {
    push(text) {
      let all = rest + text;
      if (isFirst && all !== "") {
        if (all.startsWith("\uFEFF")) all = all.slice(1);
        isFirst = false;
      }
      // A CR at the end may be the first half of CR LF.
      const held = all.endsWith("\r") ? "\r" : "";
      const lines = (held === "" ? all : all.slice(0, -1)).split(/\r\n|\r|\n/);
      const last = lines.pop() ?? "";
      if (last.length > maxChars) throw new Error(`a line of more than ${maxChars} characters`);
      rest = last + held;
      for (const line of lines) take(line);
    },
    get lastId() {
      return lastId;
    },
    get retryMs() {
      return retryMs;
    },
  };
}
