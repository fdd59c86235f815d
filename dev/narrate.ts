/** Tells a person at a terminal what happens: the live status while it starts, one line for each event afterwards. */
import type { Listener, StackEvent } from "./events.ts";
import type { PartEvent } from "./part.ts";
import { readable } from "./log-lines.ts";
import { duration, type Live, type Paint, paintFor } from "./terminal.ts";

export interface Narrator {
  readonly onEvent: Listener;
  /** The start is over: from now on what happens is news. */
  settled(): void;
}

export function narrate(live: Live, paint: Paint, write: (text: string) => void = defaultWrite): Narrator {
  let starting = true;
  const tick = paint.green("✔");
  const cross = paint.red("✘");
  const say = (text: string): void => {
    if (starting) live.line(text);
    else write(`${paint.dim(new Date().toLocaleTimeString())} ${text}\n`);
  };

  const onPart = (part: string, event: PartEvent): void => {
    switch (event.what) {
      case "started":
        if (starting) live.doing(part, "starting");
        return;
      case "ready":
        if (starting) live.done(part, tick, `ready ${paint.dim(`in ${duration(event.tookMs)}`)}`);
        else say(`${tick} ${part} is ready again ${paint.dim(`(${duration(event.tookMs)})`)}`);
        return;
      case "ended":
        say(
          `${cross} ${part} ended (${event.how}); it is started again in ${duration(event.againInMs)}${said(event.lastWords)}`,
        );
        return;
      case "failed to start":
        say(`${cross} ${part} did not start (${event.why}); the next try is in ${duration(event.againInMs)}`);
        return;
      case "gave up":
        if (starting) live.done(part, cross, event.how);
        say(`${cross} ${part} stays down (${event.how}): ${event.why}${said(event.lastWords)}`);
        return;
      case "moved":
        say(`${paint.yellow("!")} ${part} is now at ${event.url}: its port was taken; its users are restarted`);
        return;
      case "stopped":
    }
  };

  const onEvent = (event: StackEvent): void => {
    switch (event.what) {
      case "doing":
        if (starting) live.doing(event.part, event.doing);
        return;
      case "missing":
        live.done(
          event.part,
          paint.yellow("–"),
          `${event.missing.configured ? "it can't be used" : "not to be had on this machine"}, see below`,
        );
        return;
      case "seeded":
        live.done("seed", tick, `development user ${paint.dim(`in ${duration(event.tookMs)}`)}`);
        return;
      case "not seeded":
        live.done("seed", cross, `the development user could not be made: ${event.why}`);
        return;
      case "part":
        onPart(event.part, event.event);
    }
  };

  return {
    onEvent,
    settled: () => {
      starting = false;
    },
  };
}

/** The last lines of a process, one below the other; log lines as people read them. */
function said(lastWords: string): string {
  if (lastWords === "") return "";
  const lines = lastWords.split(" | ").map((line) => `\n    ${readable(line, PLAIN)}`);
  return `. It said:${lines.join("")}`;
}

const PLAIN = paintFor({ isTTY: false });

function defaultWrite(text: string): void {
  process.stdout.write(text);
}
