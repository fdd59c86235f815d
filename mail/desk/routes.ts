/** The routes of whoever looks after mails: where they stand, decisions, suppressions, bounces. In: translates, never decides. */
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import {
  BounceRequest,
  CancelRequest,
  MailQuery,
  ResolveRequest,
  SuppressionQuery,
  SuppressRequest,
} from "#contracts/mail";
import { Failure, type Result } from "#shared/errors";
import { actorOf, contextOf, envelope } from "#shared/http";
import { makeQueryValidator, makeValidator } from "#shared/validation";
import type { TakeBounce } from "./bounces.ts";
import type { Asking, Mails } from "./mails.ts";
import { CSP_UNSUBSCRIBE, donePage, failurePage, questionPage } from "./page.ts";
import type { Suppressions } from "./suppressions.ts";

export interface Desk {
  readonly mails: Mails;
  readonly suppressions: Suppressions;
  readonly takeBounce: TakeBounce;
}

/** For `httpApp`: one click of a mail program (RFC 8058 §3.2) comes as a form, not as JSON. */
export const UNSUBSCRIBE_PATHS = "/unsubscribe/*";

const noQuery = makeQueryValidator(Type.Object({}));
const mailQuery = makeQueryValidator(MailQuery);
const suppressionQuery = makeQueryValidator(SuppressionQuery);
const listQuery = makeQueryValidator(
  Type.Object({ list: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })) }),
);
const resolveOf = makeValidator(ResolveRequest, { unknown: "refuse" });
const cancelOf = makeValidator(CancelRequest, { unknown: "refuse" });
const suppressOf = makeValidator(SuppressRequest, { unknown: "refuse" });
const bounceOf = makeValidator(BounceRequest, { unknown: "refuse" });

function valueOf<T>(result: Result<T>): T {
  if (!result.ok) throw result.error;
  return result.value;
}

const askedBy = (call: { readonly request: Request }): Asking => ({
  actor: actorOf(call.request),
  deadline: contextOf(call.request).deadline,
});

const wantsPage = (request: Request): boolean => request.headers.get("accept")?.includes("text/html") ?? false;

interface Settable {
  status?: number | string;
  headers: Record<string, string | number>;
}

function sendPage(set: Settable, status: number, text: string): string {
  set.status = status;
  set.headers["content-type"] = "text/html; charset=utf-8";
  set.headers["content-security-policy"] = CSP_UNSUBSCRIBE;
  return text;
}

function sendFailure(set: Settable, error: Failure): string {
  if (error.retryAfterS !== undefined) set.headers["retry-after"] = String(Math.ceil(error.retryAfterS));
  return sendPage(set, error.status, failurePage(error.message));
}

export function deskRoutes({ mails, suppressions, takeBounce }: Desk) {
  return new Elysia({ name: "mail.desk.routes" })
    .get("/mails", async ({ request }) => {
      const page = valueOf(await mails.list(valueOf(mailQuery(request.url)), contextOf(request).deadline));
      return envelope(`${page.items.length} mails`, page);
    })
    .get("/mails/:id", async ({ params, request }) => {
      const mail = valueOf(await mails.view(params.id, contextOf(request).deadline));
      return envelope(mail.state, mail);
    })
    .get("/mails/:id/content", async ({ params, request }) => {
      valueOf(noQuery(request.url));
      return envelope("content", valueOf(await mails.content(params.id, contextOf(request).deadline)));
    })
    .post("/mails/:id/resolve", async (call) => {
      valueOf(noQuery(call.request.url));
      const mail = valueOf(await mails.resolve(call.params.id, valueOf(resolveOf(call.body)), askedBy(call)));
      return envelope(mail.state, mail);
    })
    .post("/mails/:id/cancel", async (call) => {
      valueOf(noQuery(call.request.url));
      const mail = valueOf(await mails.cancel(call.params.id, valueOf(cancelOf(call.body)), askedBy(call)));
      return envelope(mail.state, mail);
    })
    .get("/suppressions", async ({ request }) => {
      const query = valueOf(suppressionQuery(request.url));
      const page = valueOf(await suppressions.list(query, contextOf(request).deadline));
      return envelope(`${page.items.length} suppressions`, page);
    })
    .post("/suppressions", async (call) => {
      valueOf(noQuery(call.request.url));
      const { suppression, isNew } = valueOf(await suppressions.add(valueOf(suppressOf(call.body)), askedBy(call)));
      call.set.status = isNew ? 201 : 200;
      return envelope(isNew ? "suppressed" : "suppressed already", suppression);
    })
    .delete("/suppressions/:address", async ({ params, request }) => {
      const { list } = valueOf(listQuery(request.url));
      valueOf(await suppressions.remove(params.address, list, contextOf(request).deadline));
      return envelope("no longer suppressed");
    })
    .post("/bounces", async ({ body, request }) => {
      valueOf(noQuery(request.url));
      const report = valueOf(await takeBounce(valueOf(bounceOf(body)), contextOf(request).deadline));
      return envelope(`${report.recipients.length} recipients`, report);
    })
    .get("/unsubscribe/:token", ({ params, set }) => {
      const found = suppressions.subscription(params.token);
      return found.ok ? sendPage(set, 200, questionPage(found.value)) : sendFailure(set, found.error);
    })
    .post("/unsubscribe/:token", async ({ params, request, set }) => {
      const done = await suppressions.unsubscribe(params.token, contextOf(request).deadline);
      if (!wantsPage(request)) {
        valueOf(done);
        return envelope("unsubscribed");
      }
      return done.ok ? sendPage(set, 200, donePage(done.value)) : sendFailure(set, done.error);
    });
}
