/**
 * The workflow `user.registration`, which begins in the transaction that adds the user (register.ts):
 *
 *     welcome_mail ──► mail_end ──► mark ──► event ──► complete
 *
 * A mail that cannot be delivered is no reason to take the user back: he is marked, and the event says so. That is the
 * compensation here, on the way forward. Nothing here is given up: an outage lasts as long as it lasts.
 */
import type { MailMessage, MailReply, MailView } from "#contracts/mail";
import { FAILURES, fail, type Result } from "#shared/errors";
import { again, defineSaga, done, type Saga, type StepOutcome } from "#shared/saga";
import { type CallContext, within } from "#shared/telemetry";
import type { MailEnd, RegistrationStore } from "./registration-store.ts";

export const WELCOME_MAIL = "welcome_mail";
/** Between two looks at a mail that is on its way: a quarter of how long that has lasted, within these bounds (ms). */
const LOOK_MIN_MS = 200;
const LOOK_MAX_MS = 60_000;
/** For one statement (ms). */
const STATEMENT_MS = 3_000;

export interface RegistrationData {
  readonly user_id: number;
  readonly email: string;
  /** The key of the step that sends it, and so the id of the mail. */
  readonly mail_id: string;
  /**
   * As it was when the user registered: another one under the same key would be refused. Of a workflow that began before
   * there were templates it has a subject and a message.
   */
  readonly letter: MailMessage;
  /** What the mail service said, where it took no such mail. */
  readonly refusal?: string;
  readonly mail?: MailEnd;
  readonly reason?: string;
  /** When the mail's end was seen: the event's time, the same each time that it is published. */
  readonly decided_at?: string;
}

/** Longest reason that is kept (characters). */
const REASON_MAX = 500;

/** Whether it will not reach him. There is one recipient, so that `partial` is no more than that. */
function isRefused(state: MailView["state"]): boolean {
  return state === "failed" || state === "bounced" || state === "partial";
}

/** What a server said, without what neither JSON nor a log line should carry. */
function plain(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, " ").slice(0, REASON_MAX);
}

/** No step of this workflow can be refused: where that seems so, it is a bug of ours, and an operator looks at it. */
function orBug<T>(result: Result<T>): Result<T> {
  if (result.ok || FAILURES[result.error.code].queue !== "dead") return result;
  return fail("internal", undefined, { cause: result.error });
}

/** Data of the event `user.registered`. */
export interface UserRegistered {
  readonly user_id: number;
  readonly email: string;
  readonly mail: MailEnd;
  readonly mail_id: string;
  /** Why it was not delivered. */
  readonly reason?: string;
}

/** The mail service took the mail, or refuses this one, in words. */
export type Sent = { readonly reply: MailReply } | { readonly refusal: string };

export interface WelcomePorts {
  sendMail(letter: MailMessage, id: string, context: CallContext): Promise<Result<Sent>>;
  /** @returns undefined where the mail service has no such mail. */
  findMail(id: string, context: CallContext): Promise<Result<MailView | undefined>>;
  publish(id: string, at: string, data: UserRegistered, context: CallContext): Promise<Result<void>>;
  store: Pick<RegistrationStore, "mark" | "complete">;
}

/**
 * Nothing that was typed in but the address goes into it: who registers somebody else must not choose what he reads. The
 * version is named, since another one may ask for other variables; what it says can be put in its place (TEMPLATES_DIR).
 */
export function welcomeLetter(from: string, to: string): MailMessage {
  return { from, to, template: { name: "welcome", version: 1, locale: "en", variables: { address: to } } };
}

export function makeRegistrationSaga(ports: WelcomePorts): Saga<RegistrationData> {
  const ended = (mail: MailEnd, reason?: string): Result<StepOutcome<RegistrationData>> =>
    done<RegistrationData>({
      mail,
      ...(reason === undefined ? {} : { reason: plain(reason) }),
      decided_at: new Date().toISOString(),
    });
  const onItsWay = (ageMs: number) => again(Math.min(LOOK_MAX_MS, Math.max(LOOK_MIN_MS, ageMs / 4)));

  return defineSaga<RegistrationData>({
    name: "user.registration",
    steps: [
      {
        name: WELCOME_MAIL,
        async run({ letter }, context) {
          const sent = await ports.sendMail(letter, context.key, context);
          if (!sent.ok) return sent;
          // Whether it was refused by the server, or has no place there at all, is told by its state.
          return done<RegistrationData>("refusal" in sent.value ? { refusal: plain(sent.value.refusal) } : {});
        },
      },
      {
        name: "mail_end",
        async run({ letter, mail_id, refusal }, context) {
          const found = await ports.findMail(mail_id, context);
          if (!found.ok) return found;
          if (found.value !== undefined) {
            const { state, reply } = found.value;
            if (state === "sent" || state === "ambiguous") return ended(state);
            // What the server said of an earlier try is not why it was taken back.
            if (state === "cancelled") return ended("refused", "the mail was cancelled");
            if (isRefused(state)) return ended("refused", reply?.text ?? refusal);
            return state === "expired" ? ended("expired", reply?.text) : onItsWay(context.ageMs);
          }
          if (refusal !== undefined) return ended("refused", refusal);
          // It was accepted and is gone: the mail service's database was put back to an older state.
          const sent = await ports.sendMail(letter, mail_id, context);
          if (!sent.ok) return sent;
          if ("refusal" in sent.value) return ended("refused", sent.value.refusal);
          const { state } = sent.value.reply;
          if (state === "queued") return onItsWay(context.ageMs);
          // One recipient: there is nobody else whom it could have been refused for.
          return ended(state === "partial" ? "refused" : state);
        },
      },
      {
        name: "mark",
        async run({ mail = "ambiguous", reason }, context) {
          const marked = orBug(await ports.store.mark(context.sagaId, mail, reason, within(context, STATEMENT_MS)));
          return marked.ok ? done() : marked;
        },
      },
      {
        name: "event",
        async run({ user_id, email, mail = "ambiguous", mail_id, reason, decided_at }, context) {
          const data = { user_id, email, mail, mail_id, ...(reason === undefined ? {} : { reason }) };
          const published = orBug(
            await ports.publish(context.key, decided_at ?? new Date().toISOString(), data, context),
          );
          return published.ok ? done() : published;
        },
      },
      {
        name: "complete",
        async run(_data, context) {
          const completed = orBug(await ports.store.complete(context.sagaId, within(context, STATEMENT_MS)));
          return completed.ok ? done() : completed;
        },
      },
    ],
  });
}
