/** Looks mails up, and decides by hand what becomes of one. Knows no HTTP and no SQL. */
import type {
  CancelRequest,
  MailContent,
  MailPage,
  MailQuery,
  MailState,
  MailView,
  ResolveRequest,
} from "#contracts/mail";
import { fail, ok, type Result } from "#shared/errors";
import { isUuid } from "#shared/ids";
import type { Deadline } from "#shared/resilience";
import { timeOf } from "#shared/validation";
import { htmlOf } from "../message/message.ts";
import { readCursor, writeCursor } from "./cursor.ts";
import type { Decided, Decision, DeskStore, Filter } from "./store.ts";
import { viewOf } from "./view.ts";

/** Who asks, and how long he waits. */
export interface Asking {
  /** Printable ASCII, for the mail's history. */
  readonly actor: string;
  readonly deadline: Deadline;
}

/** Failures of all: `unavailable`, `deadline`. An id that is no UUID is `not_found` like one that is not known. */
export interface Mails {
  /** @returns the mail as it stands now, each recipient with what happened. Failure `not_found`. */
  view(id: string, deadline: Deadline): Promise<Result<MailView>>;
  /** @returns a page, newest first. Failure `invalid` for a cursor that is none, and for a time that is none. */
  list(query: MailQuery, deadline: Deadline): Promise<Result<MailPage>>;
  /** @returns what the mail looks like to who gets it: the parts of the bytes that are sent. Failure `not_found`. */
  content(id: string, deadline: Deadline): Promise<Result<MailContent>>;
  /**
   * `sent` and `failed` say of an ambiguous mail what became of it; `resend` begins anew with one that is done with and not sent.
   * @returns the mail afterwards. Failures `not_found`, `conflict` (no recipient is in a state for it, or who is, is suppressed).
   */
  resolve(id: string, request: ResolveRequest, asking: Asking): Promise<Result<MailView>>;
  /** Takes back what waits. @returns and failures as of `resolve`. */
  cancel(id: string, request: CancelRequest, asking: Asking): Promise<Result<MailView>>;
}

export interface MailsOptions {
  readonly store: DeskStore;
  /** Age at which a mail that is sent again is given up (ms), counted from now. */
  readonly expireAfterMs: number;
}

/** For the database to answer (ms). */
const QUERY_MS = 3_000;
const DEFAULT_LIMIT = 50;
/** Recipients that a failure names. */
const NAMED_MAX = 5;

const RESENDABLE = ["ambiguous", "failed", "expired", "bounced", "cancelled"] as const satisfies readonly MailState[];

function decisionOf(as: ResolveRequest["as"], actor: string, expireAfterMs: number): Decision {
  const told = { outcome: "resolved", text: `${actor}: ${as}` } as const;
  return as === "resend"
    ? { ...told, from: RESENDABLE, to: "queued", renewedForMs: expireAfterMs }
    : { ...told, from: ["ambiguous"], to: as };
}

/** Why nothing was changed, in words. */
function standing(recipients: readonly Decided[]): string {
  const named = recipients
    .slice(0, NAMED_MAX)
    .map(({ recipient, state, suppressed }) =>
      suppressed ? `${recipient} is on the suppression list` : `${recipient} is ${state}`,
    );
  const more = recipients.length - named.length;
  return `${named.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

function filterOf({ state, to, from, list, template, since, until }: MailQuery): Result<Filter> {
  const after = since === undefined ? undefined : timeOf("since", since);
  if (after?.ok === false) return after;
  const before = until === undefined ? undefined : timeOf("until", until);
  if (before?.ok === false) return before;
  return ok({
    ...(state === undefined ? {} : { state }),
    ...(to === undefined ? {} : { to }),
    ...(from === undefined ? {} : { from }),
    ...(list === undefined ? {} : { list }),
    ...(template === undefined ? {} : { template }),
    ...(after === undefined ? {} : { since: after.value }),
    ...(before === undefined ? {} : { until: before.value }),
  });
}

const noSuchMail = fail("not_found", "no such mail");

export function makeMails({ store, expireAfterMs }: MailsOptions): Mails {
  async function decide(
    id: string,
    to: string | undefined,
    verb: string,
    decision: Decision,
    deadline: Deadline,
  ): Promise<Result<MailView>> {
    const lower = id.toLowerCase();
    if (!isUuid(lower)) return noSuchMail;
    const decided = await store.decide(lower, to, decision, deadline.within(QUERY_MS));
    if (!decided.ok) return decided;
    if (decided.value === undefined) return to === undefined ? noSuchMail : fail("not_found", `no such mail to ${to}`);
    const { recipients, mail } = decided.value;
    if (recipients.some(({ changed }) => changed)) return ok(viewOf(mail));
    return fail("conflict", `there is nothing to ${verb}: ${standing(recipients)}`);
  }

  return {
    async view(id, deadline) {
      const lower = id.toLowerCase();
      if (!isUuid(lower)) return noSuchMail;
      const found = await store.look(lower, deadline.within(QUERY_MS));
      if (!found.ok) return found;
      return found.value === undefined ? noSuchMail : ok(viewOf(found.value));
    },

    async list(query, deadline) {
      const { limit = DEFAULT_LIMIT, cursor } = query;
      const filter = filterOf(query);
      if (!filter.ok) return filter;
      const after = cursor === undefined ? undefined : readCursor(cursor, isUuid);
      if (after?.ok === false) return after;
      const page = await store.page(filter.value, after?.value, limit, deadline.within(QUERY_MS));
      if (!page.ok) return page;
      const { mails, next } = page.value;
      return ok({ items: mails.map(viewOf), ...(next === undefined ? {} : { next_cursor: writeCursor(next) }) });
    },

    async content(id, deadline) {
      const lower = id.toLowerCase();
      if (!isUuid(lower)) return noSuchMail;
      const found = await store.content(lower, deadline.within(QUERY_MS));
      if (!found.ok) return found;
      if (found.value === undefined) return noSuchMail;
      const { subject, html, template } = found.value;
      const text = found.value.text.replaceAll(/\r\n?/g, "\n");
      return ok({ subject, text, html: html ?? htmlOf(subject, text), ...(template === null ? {} : { template }) });
    },

    resolve: (id, { as, to }, { actor, deadline }) =>
      decide(id, to, as === "resend" ? "send again" : "resolve", decisionOf(as, actor, expireAfterMs), deadline),

    cancel: (id, { to }, { actor, deadline }) =>
      decide(
        id,
        to,
        "cancel",
        { from: ["queued", "deferred"], to: "cancelled", outcome: "cancelled", text: actor },
        deadline,
      ),
  };
}
