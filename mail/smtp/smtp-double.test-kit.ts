/** A mail server for tests, that answers as it is told and remembers what it saw. */
import type { Socket } from "bun";

/** A reply line, or `silent` for nothing at all, or `cut` for the end of the connection. */
export type Answer = string;

export interface Behaviour {
  greeting: Answer;
  /** Extensions named in answer to EHLO. */
  extensions: string[];
  mail: Answer;
  rcpt: Answer | ((recipient: string) => Answer);
  data: Answer;
  /** To the end of the content. */
  end: Answer | ((recipient: string) => Answer);
  auth: Answer;
  /** Cuts the connection once this many bytes of content are there, before its end. */
  cutAfterBytes: number;
  /** Every answer comes this much later (ms). */
  delayMs: number;
}

const WELL: Behaviour = {
  greeting: "220 double",
  extensions: ["8BITMIME"],
  mail: "250 2.1.0 sender ok",
  rcpt: "250 2.1.5 recipient ok",
  data: "354 go on",
  end: "250 2.0.0 taken as 42",
  auth: "235 ok",
  cutAfterBytes: Number.POSITIVE_INFINITY,
  delayMs: 0,
};

export interface SeenMail {
  from: string;
  to: string[];
  content: string;
}

export interface SmtpDouble extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Changed at any time; holds from the next command on. */
  behaviour: Behaviour;
  /** Called when the whole content of a mail is there, before it is answered. */
  onArrived: ((mail: SeenMail) => void) | undefined;
  /** Mails whose whole content arrived, whatever was answered to it. */
  readonly arrived: SeenMail[];
  /** Mails that were answered with 2xx to their content. */
  readonly taken: SeenMail[];
  /** Every RCPT TO, as it stood on the line. */
  readonly rcptLines: string[];
  readonly commands: string[];
  /** Connections so far, and now. */
  readonly sessions: number;
  readonly open: number;
  /** Resolves when `holds` does, looked at after everything that happens here; rejects after 10 s. */
  until(holds: () => boolean): Promise<void>;
  /** Says a line on an open connection, by default the oldest: a late answer of a silent server. */
  say(line: string, connection?: number): void;
  /** Cuts every connection and stops listening. */
  stop(): void;
  /** Listens again on the same port. */
  start(): void;
}

interface State {
  buffer: string;
  mail: SeenMail;
  inContent: boolean;
  dead: boolean;
}

export function startSmtpDouble(initial: Partial<Behaviour> = {}): SmtpDouble {
  const arrived: SeenMail[] = [];
  const taken: SeenMail[] = [];
  const rcptLines: string[] = [];
  const commands: string[] = [];
  const sockets = new Set<Socket<State>>();
  const watchers = new Set<() => void>();
  let sessions = 0;
  let port = 0;

  function say(socket: Socket<State>, answer: Answer): void {
    if (answer === "silent") return;
    if (answer === "cut") {
      socket.data.dead = true;
      socket.terminate();
      return;
    }
    const speak = (): void => {
      socket.write(`${answer}\r\n`);
      // RFC 5321 §3.8: a server that says 421 closes.
      if (answer.startsWith("421")) socket.end();
    };
    if (double.behaviour.delayMs > 0) setTimeout(speak, double.behaviour.delayMs);
    else speak();
  }

  function content(socket: Socket<State>): boolean {
    const state = socket.data;
    const end = /(^|\r\n)\.\r\n/.exec(state.buffer);
    // Also where the end has come in the same packet.
    if ((end?.index ?? state.buffer.length) >= double.behaviour.cutAfterBytes) {
      say(socket, "cut");
      return false;
    }
    if (end === null) return false;
    const text = state.buffer.slice(0, end.index + (end[1] ?? "").length);
    state.buffer = state.buffer.slice(end.index + end[0].length);
    state.inContent = false;
    const mail = { ...state.mail, content: text.replaceAll(/^\./gm, "") };
    arrived.push(mail);
    double.onArrived?.(mail);
    const { end: answers } = double.behaviour;
    const answer = typeof answers === "string" ? answers : answers(mail.to[0] ?? "");
    if (answer.startsWith("2")) taken.push(mail);
    state.mail = { from: "", to: [], content: "" };
    say(socket, answer);
    return true;
  }

  function command(socket: Socket<State>, line: string): void {
    commands.push(line);
    const { behaviour } = double;
    const { mail } = socket.data;
    const verb = line.split(/[ :]/, 1)[0]?.toUpperCase();
    switch (verb) {
      case "EHLO": {
        const lines = ["double", ...behaviour.extensions];
        return say(socket, lines.map((text, at) => `250${at === lines.length - 1 ? " " : "-"}${text}`).join("\r\n"));
      }
      case "MAIL":
        mail.from = /<(.*)>/.exec(line)?.[1] ?? "";
        return say(socket, behaviour.mail);
      case "RCPT": {
        rcptLines.push(line);
        const recipient = /<(.*)>/.exec(line)?.[1] ?? "";
        const answer = typeof behaviour.rcpt === "string" ? behaviour.rcpt : behaviour.rcpt(recipient);
        if (answer.startsWith("2")) mail.to.push(recipient);
        return say(socket, answer);
      }
      case "DATA": {
        const answer = mail.to.length === 0 ? "503 no recipient" : behaviour.data;
        socket.data.inContent = answer.startsWith("3");
        return say(socket, answer);
      }
      case "RSET":
        socket.data.mail = { from: "", to: [], content: "" };
        return say(socket, "250 reset");
      case "AUTH":
        return say(socket, behaviour.auth);
      case "QUIT":
        say(socket, "221 bye");
        return void socket.end();
      default:
        return say(socket, "502 not here");
    }
  }

  function listen() {
    return Bun.listen<State>({
      hostname: "127.0.0.1",
      port,
      socket: {
        open(socket) {
          sessions += 1;
          sockets.add(socket);
          socket.data = { buffer: "", mail: { from: "", to: [], content: "" }, inContent: false, dead: false };
          say(socket, double.behaviour.greeting);
          look();
        },
        data(socket, bytes) {
          const state = socket.data;
          state.buffer += bytes.toString("latin1");
          while (!state.dead) {
            if (state.inContent) {
              if (!content(socket)) break;
              continue;
            }
            const at = state.buffer.indexOf("\r\n");
            if (at === -1) break;
            const line = state.buffer.slice(0, at);
            state.buffer = state.buffer.slice(at + 2);
            command(socket, line);
          }
          look();
        },
        close(socket) {
          sockets.delete(socket);
          look();
        },
        error: () => look(),
      },
    });
  }

  function look(): void {
    for (const watcher of watchers) watcher();
  }

  let server: ReturnType<typeof listen> | undefined;
  const double: SmtpDouble = {
    behaviour: { ...WELL, ...initial },
    onArrived: undefined,
    arrived,
    taken,
    rcptLines,
    commands,
    get url() {
      return `smtp://127.0.0.1:${port}`;
    },
    get port() {
      return port;
    },
    get sessions() {
      return sessions;
    },
    get open() {
      return sockets.size;
    },
    until: (holds) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          watchers.delete(watcher);
          reject(new Error(`the mail server waited in vain; it saw ${JSON.stringify(commands.slice(-10))}`));
        }, 10_000);
        const watcher = (): void => {
          if (!holds()) return;
          clearTimeout(timer);
          watchers.delete(watcher);
          resolve();
        };
        watchers.add(watcher);
        watcher();
      }),
    say(line, connection = 0) {
      const socket = [...sockets][connection];
      if (socket === undefined) throw new Error(`no connection ${connection}`);
      // A late 354 opens the content as one in time does.
      if (line.startsWith("354")) socket.data.inContent = true;
      socket.write(`${line}\r\n`);
    },
    stop() {
      server?.stop(true);
      server = undefined;
    },
    start() {
      server ??= listen();
      port = server.port;
    },
    async [Symbol.asyncDispose]() {
      double.stop();
    },
  };
  double.start();
  return double;
}
