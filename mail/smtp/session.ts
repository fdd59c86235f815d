/**
 * One SMTP session (RFC 5321 §3), as promises over nodemailer's connection. Used instead of its transports,
 * because those send a mail again by themselves after a lost connection and do not tell when its content begins.
 */
import { connect, type Socket } from "node:net";
import { Readable } from "node:stream";
import SMTPConnection from "nodemailer/lib/smtp-connection";
import type { Trace } from "#shared/telemetry";
import { currentTls } from "#shared/tls";

export interface SessionOptions {
  readonly host: string;
  readonly port: number;
  /** TLS from the first byte (smtps). */
  readonly secure: boolean;
  /** Without TLS by STARTTLS there is no session. */
  readonly requireTls: boolean;
  readonly user: string | undefined;
  readonly password: string | undefined;
  /** How we call ourselves in EHLO. */
  readonly name: string;
  /** For the connection, and again for greeting and TLS (ms). */
  readonly connectTimeoutMs: number;
  /** Longest silence of the server (ms). */
  readonly idleTimeoutMs: number;
}

/** How far a mail had come. Only in `content` can the server have taken it. */
export type SmtpStage = "session" | "envelope" | "content";

/** An SMTP dialogue that did not come to its end. `message` is the server's text or the system's. */
export class SmtpError extends Error {
  override readonly name = "SmtpError";
  readonly stage: SmtpStage;
  /** The server's reply code, where the last thing that happened is a reply. */
  readonly code: number | undefined;
  /** What was answered: `MAIL FROM`, `RCPT TO`, `DATA`, … */
  readonly command: string | undefined;

  constructor(stage: SmtpStage, message: string, code?: number, command?: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.stage = stage;
    this.code = code;
    this.command = command;
  }
}

export interface Reply {
  readonly code: number;
  readonly text: string;
}

export interface Letter {
  readonly from: string;
  readonly to: string;
  /** The message as it goes over the wire (RFC 5322), dots not yet doubled. */
  readonly bytes: Uint8Array;
  /** The span that handing it over is a part of. Default: none is told of. */
  readonly trace?: Trace;
}

export interface Session {
  /** Fit for another mail. */
  readonly usable: boolean;
  /**
   * Hands over one mail. The content leaves after `begin` resolved to true, which is asked once the server
   * wants it (354); false leaves the mail with us and ends the session.
   * @throws SmtpError
   */
  deliver(letter: Letter, begin: () => Promise<boolean>, signal: AbortSignal): Promise<Reply>;
  /** Says goodbye; for a session that is idle. */
  quit(): void;
  /** Cuts the connection. */
  close(): void;
  /** Once, when the session is over for whatever reason. */
  onEnd(listener: () => void): void;
}

/** What nodemailer puts into its errors. */
interface NodemailerFields {
  code?: unknown;
  responseCode?: unknown;
  response?: unknown;
  command?: unknown;
}

function smtpErrorOf(error: unknown, stage: SmtpStage): SmtpError {
  if (error instanceof SmtpError) return error;
  const fields = (typeof error === "object" && error !== null ? error : {}) as NodemailerFields;
  // The server named its limit in the greeting (RFC 1870): it would answer 552, so it is not asked.
  if (stage === "envelope" && fields.code === "EMESSAGE" && fields.responseCode === undefined) {
    return new SmtpError(stage, "552 larger than the mail server takes", 552, "MAIL FROM", error);
  }
  // After the content began, only a reply to the content itself is an answer: EMESSAGE.
  const answered = typeof fields.responseCode === "number" && (stage !== "content" || fields.code === "EMESSAGE");
  const text = answered && typeof fields.response === "string" ? fields.response : undefined;
  const message = text ?? (error instanceof Error ? error.message : String(error));
  return new SmtpError(
    stage,
    message,
    answered ? Number(fields.responseCode) : undefined,
    typeof fields.command === "string" ? fields.command : undefined,
    error,
  );
}

/**
 * A TCP connection. Opened here and not by nodemailer, which keeps addresses for minutes: a server that came back
 * under another address would not be found.
 */
function openSocket({ host, port, connectTimeoutMs }: SessionOptions, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, autoSelectFamily: true });
    const settle = (error: Error | undefined): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
      socket.removeListener("connect", connected);
      if (error === undefined) {
        socket.removeListener("error", settle);
        resolve(socket);
      } else {
        // A late error of a socket that nobody uses any more is of no interest.
        socket.on("error", () => undefined);
        socket.destroy();
        reject(smtpErrorOf(error, "session"));
      }
    };
    const connected = (): void => settle(undefined);
    const abort = (): void => settle(new Error("cut while connecting"));
    const timer = setTimeout(() => settle(new Error(`no connection within ${connectTimeoutMs} ms`)), connectTimeoutMs);
    signal.addEventListener("abort", abort, { once: true });
    socket.once("connect", connected);
    socket.once("error", settle);
    if (signal.aborted) abort();
  });
}

/** Connects, greets, turns to TLS and logs in, as far as wanted. @throws SmtpError of stage `session`. */
export async function openSession(options: SessionOptions, signal: AbortSignal): Promise<Session> {
  const { host, port, secure, requireTls, user, password, name, connectTimeoutMs, idleTimeoutMs } = options;
  const socket = await openSocket(options, signal);
  const connection = new SMTPConnection({
    host,
    port,
    secure,
    requireTLS: requireTls,
    name,
    connection: socket,
    connectionTimeout: connectTimeoutMs,
    greetingTimeout: connectTimeoutMs,
    socketTimeout: idleTimeoutMs,
    socketCloseTimeout: 0,
    tls: { minVersion: "TLSv1.2", ...currentTls().client },
  });
  let ended = false;
  // What goes wrong between two steps ends the session; the next step finds that out.
  connection.on("error", () => undefined);
  connection.once("end", () => {
    ended = true;
  });

  /** One step of the dialogue: ends by its callback, an error, the end of the session, or the signal. */
  function step<T>(
    stage: () => SmtpStage,
    cut: AbortSignal,
    run: (done: (error?: Error | null, value?: T) => void) => void,
  ): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      const clear = (): void => {
        connection.removeListener("error", lost);
        connection.removeListener("end", over);
        cut.removeEventListener("abort", abort);
      };
      const lost = (error: unknown): void => {
        clear();
        reject(smtpErrorOf(error, stage()));
      };
      // The step's own callback knows more, and is called in the same turn.
      const over = (): void => queueMicrotask(() => lost(new Error("the connection was closed")));
      const abort = (): void => {
        lost(new Error("cut: it took too long, or the service is stopping"));
        connection.close();
      };
      connection.once("error", lost);
      connection.once("end", over);
      cut.addEventListener("abort", abort, { once: true });
      if (cut.aborted) return abort();
      run((error, value) => {
        if (error) return lost(error);
        clear();
        resolve(value);
      });
    });
  }

  try {
    await step(
      () => "session",
      signal,
      (done) => connection.connect(done),
    );
    if (user !== undefined) {
      await step(
        () => "session",
        signal,
        (done) => connection.login({ user, pass: password ?? "" }, done),
      );
    }
  } catch (error) {
    connection.close();
    throw error;
  }

  /** After a refusal (§4.1.1.5); a server that does not even do that is of no use. */
  async function reset(signal: AbortSignal): Promise<void> {
    try {
      await step(
        () => "session",
        signal,
        (done) => connection.reset(done),
      );
    } catch {
      // The mail's own fate is known; the session is not used again.
      connection.close();
    }
  }

  return {
    get usable() {
      return !ended;
    },

    async deliver({ from, to, bytes }, begin, cut) {
      let stage: SmtpStage = "envelope";
      let withheld = false;
      const content = gated(bytes, async () => {
        const granted = await begin();
        if (granted && !ended) stage = "content";
        else withheld = true;
        return !withheld;
      });
      try {
        const info = await step<{ response?: string | undefined; rejected?: readonly unknown[] }>(
          () => stage,
          cut,
          (done) => connection.send({ from, to: [to], size: bytes.byteLength }, content, done),
        );
        const text = info?.response ?? "";
        // One recipient: a server that takes the mail and not him would lose it without a word.
        if ((info?.rejected ?? []).length > 0) {
          connection.close();
          throw new SmtpError("content", `taken without its recipient: ${text}`);
        }
        return { code: Number(/^\d{3}/.exec(text)?.[0] ?? 250), text };
      } catch (thrown) {
        const error = smtpErrorOf(thrown, stage);
        if (error.code === undefined || error.code === 421) connection.close();
        else await reset(AbortSignal.any([cut, AbortSignal.timeout(connectTimeoutMs)]));
        throw withheld ? new Withheld() : error;
      }
    },

    quit: () => (ended ? undefined : connection.quit()),
    close: () => connection.close(),
    onEnd: (listener) => {
      if (ended) listener();
      else connection.once("end", listener);
    },
  };
}

/** We held the content back: the server asked for it and got nothing. */
export class Withheld extends Error {
  override readonly name = "Withheld";
}

/** `bytes`, once `open` says so: a stream is not read before the server answered 354. */
function gated(bytes: Uint8Array, open: () => Promise<boolean>): Readable {
  let asked = false;
  return new Readable({
    read() {
      if (asked) return;
      asked = true;
      open().then(
        (granted) => {
          if (granted) {
            this.push(bytes);
            this.push(null);
          } else {
            this.destroy(new Withheld());
          }
        },
        (error: unknown) => this.destroy(error instanceof Error ? error : new Error(String(error))),
      );
    },
  });
}
