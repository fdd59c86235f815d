/** The way out to the mail server: sessions that are kept for the next mail. Talks, never decides. */
import type { Secret } from "#shared/config";
import { inSpan, type Span } from "#shared/telemetry";
import {
  openSession,
  type Letter,
  type Session,
  type SessionOptions,
  SmtpError,
  type SmtpStage,
  Withheld,
} from "./session.ts";

export interface SmtpOptions {
  url: Secret;
  /** `auto`: STARTTLS is required for every server but one on this machine. */
  tls: "auto" | "required" | "if-offered";
  /** How we call ourselves in EHLO. */
  name: string;
  connectTimeoutMs: number;
  /** Longest silence of the server (ms). */
  idleTimeoutMs: number;
  /** Told when a kept session is lost: the server may be gone. */
  onLost: () => void;
}

/** What came of handing over a mail: facts, to be judged elsewhere. */
export type SmtpResult =
  | { readonly ok: true; readonly code: number; readonly text: string }
  | {
      readonly ok: false;
      readonly stage: SmtpStage;
      /** The server's reply code, where it replied. */
      readonly code: number | undefined;
      readonly text: string;
      /** What it replied to. */
      readonly command: string | undefined;
      /** `begin` said no: nothing was sent. */
      readonly withheld: boolean;
    };

export interface Smtp extends AsyncDisposable {
  /**
   * Hands over one mail. Never throws.
   * @param begin asked when the server wants the content; false holds it back.
   * @param signal cuts the attempt.
   */
  send(letter: Letter, begin: () => Promise<boolean>, signal: AbortSignal): Promise<SmtpResult>;
  /** Opens a session and keeps it for the next mail. @throws SmtpError */
  probe(signal: AbortSignal): Promise<void>;
  /** Says goodbye to the sessions that are kept. Those in use are their callers'. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** A session that nobody used for this long is ended (ms): servers do the same after 5 minutes (RFC 5321 §4.5.3.2.7). */
const KEEP_MS = 60_000;
/** Mails over one session; many servers count. */
const MAILS_PER_SESSION = 100;
/** For the server's answer to QUIT (ms). */
const GOODBYE_MS = 500;

const LOCAL = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/i;

/** What a `smtp://` or `smtps://` URL says. */
export function sessionOptionsOf({ url, tls, name, connectTimeoutMs, idleTimeoutMs }: SmtpOptions): SessionOptions {
  const { protocol, hostname, port, username, password } = new URL(url.reveal());
  const secure = protocol === "smtps:";
  return {
    host: hostname.replace(/^\[(.*)\]$/, "$1"),
    port: port === "" ? (secure ? 465 : 25) : Number(port),
    secure,
    requireTls: !secure && (tls === "required" || (tls === "auto" && !LOCAL.test(hostname))),
    user: username === "" ? undefined : decodeURIComponent(username),
    password: password === "" ? undefined : decodeURIComponent(password),
    name,
    connectTimeoutMs,
    idleTimeoutMs,
  };
}

/** A session that waits for its next mail. */
interface Kept {
  readonly session: Session;
  /** Mails that went over it. */
  readonly mails: number;
  readonly timer: ReturnType<typeof setTimeout>;
}

/** As many sessions as there are callers at once. */
export function makeSmtp(options: SmtpOptions): Smtp {
  const sessionOptions = sessionOptionsOf(options);
  const kept = new Map<Session, Kept>();
  let closed = false;

  async function open(signal: AbortSignal): Promise<Session> {
    const session = await openSession(sessionOptions, signal);
    session.onEnd(() => {
      if (forget(session) !== undefined && !closed) options.onLost();
    });
    return session;
  }

  function keep(session: Session, mails: number): void {
    if (!session.usable) return;
    if (closed || mails >= MAILS_PER_SESSION) {
      session.quit();
      return;
    }
    const timer = setTimeout(() => {
      if (forget(session) !== undefined) session.quit();
    }, KEEP_MS);
    kept.set(session, { session, mails, timer });
  }

  /** @returns undefined where it was not kept. */
  function forget(session: Session): Kept | undefined {
    const entry = kept.get(session);
    clearTimeout(entry?.timer);
    kept.delete(session);
    return entry;
  }

  /** The session that was used last: the others may grow old and end. */
  function take(): Kept | undefined {
    const last = [...kept.keys()].at(-1);
    return last === undefined ? undefined : forget(last);
  }

  async function deliver(letter: Letter, begin: () => Promise<boolean>, signal: AbortSignal): Promise<SmtpResult> {
    for (;;) {
      const used = take();
      const session = used?.session ?? (await open(signal));
      const mails = (used?.mails ?? 0) + 1;
      try {
        const { code, text } = await session.deliver(letter, begin, signal);
        return { ok: true, code, text };
      } catch (error) {
        // The server may have ended a kept session at the very moment: that says nothing about the mail or the server.
        const stale =
          used !== undefined &&
          error instanceof SmtpError &&
          error.stage === "envelope" &&
          (error.code === undefined || error.code === 421);
        if (!stale || signal.aborted) throw error;
      } finally {
        keep(session, mails);
      }
    }
  }

  async function send(letter: Letter, begin: () => Promise<boolean>, signal: AbortSignal): Promise<SmtpResult> {
    try {
      return await deliver(letter, begin, signal);
    } catch (error) {
      if (error instanceof Withheld) {
        return {
          ok: false,
          stage: "envelope",
          code: undefined,
          text: "held back",
          command: undefined,
          withheld: true,
        };
      }
      if (!(error instanceof SmtpError)) throw error;
      const { stage, code, message, command } = error;
      return { ok: false, stage, code, text: message, command, withheld: false };
    }
  }

  /** Neither addresses nor what the server says: both may be about a person. */
  function tell(span: Span, result: SmtpResult): void {
    span.set({ "smtp.response_code": result.code });
    if (result.ok || result.withheld) return;
    span.set({ "smtp.stage": result.stage, "smtp.command": result.command });
    span.fail(result.code === undefined ? "unavailable" : String(result.code));
  }

  const { host, port } = sessionOptions;
  const attributes = { "server.address": host, "server.port": port };

  return {
    async send(letter, begin, signal) {
      const { trace } = letter;
      if (trace === undefined) return send(letter, begin, signal);
      const size = { "smtp.message.size": letter.bytes.byteLength };
      const options = { kind: "client", attributes: { ...attributes, ...size } } as const;
      return inSpan({ trace }, "SMTP send", options, async (_, span) => {
        const result = await send(letter, begin, signal);
        tell(span, result);
        return result;
      });
    },

    async probe(signal) {
      keep(await open(signal), 0);
    },

    async [Symbol.asyncDispose]() {
      closed = true;
      const goodbyes = [...kept.keys()].map((session) => {
        forget(session);
        return new Promise<void>((resolve) => {
          const cut = setTimeout(() => session.close(), GOODBYE_MS);
          session.onEnd(() => {
            clearTimeout(cut);
            resolve();
          });
          session.quit();
        });
      });
      await Promise.all(goodbyes);
    },
  };
}
