/** Mails: sending them, and looking and deciding as the mail service tells. Translates only. */
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import {
  BounceReport,
  BounceRequest,
  CancelRequest,
  faultOf,
  MailContent,
  MailMessage,
  MailPage,
  MailQuery,
  MailView,
  PreviewRequest,
  ResolveRequest,
  Suppression,
  SuppressionPage,
  SuppressionQuery,
  SuppressRequest,
  TemplateList,
} from "#contracts/mail";
import { Failure, orThrow } from "#shared/errors";
import { envelope } from "#shared/http";
import { makeQueryValidator, makeValidator } from "#shared/validation";
import type { Access } from "../access/access.ts";
import { accepted, callOf } from "../calls.ts";
import type { Neighbour } from "../forward.ts";
import { type Operations, replyOf } from "../handle.ts";
import { at, type Desk, NO_QUERY } from "./desk.ts";

const messageOf = makeValidator(MailMessage, { unknown: "refuse" });
const noQuery = makeQueryValidator(NO_QUERY);

/** Of the removal of an address: for the mailing list of this name, else for all mail. */
export const RemovalQuery = Type.Pick(SuppressRequest, ["list"]);

export interface MailRoutes {
  readonly operations: Pick<Operations, "send">;
  readonly access: Pick<Access, "mayAct">;
  readonly desk: Desk;
  readonly mail: Neighbour;
  /** The mail service too, for what changes something there. */
  readonly mailCommands: Neighbour;
}

export function mailRoutes({ operations, access, desk, mail, mailCommands }: MailRoutes) {
  const { reading, removing, doing } = desk;
  return (
    new Elysia({ name: "broker.mails", prefix: "/v1" })
      .post("/mails", async ({ body, request, set }) => {
        orThrow(noQuery(request.url));
        const letter = orThrow(messageOf(body));
        // While the mail service is away, nobody else would say so before it is accepted.
        const fault = faultOf(letter);
        if (fault !== undefined) throw new Failure("invalid", fault);
        const call = callOf(request, "/v1/mails", access);
        const { message, data } = replyOf(accepted(await operations.send(letter, call), set));
        set.status = 202;
        return envelope(message, data);
      })
      .get("/mails", reading(mail, "/mails", MailQuery, MailPage))
      // Who has an id may ask for its receipt; who wrote to whom about what is for operators.
      .get("/mails/:id", reading(mail, at("/mails", "id"), NO_QUERY, MailView))
      .get("/mails/:id/content", reading(mail, at("/mails", "id", "/content"), NO_QUERY, MailContent))
      .post("/mails/:id/resolve", doing(mailCommands, at("/mails", "id", "/resolve"), ResolveRequest, MailView))
      .post("/mails/:id/cancel", doing(mailCommands, at("/mails", "id", "/cancel"), CancelRequest, MailView))
      .get("/suppressions", reading(mail, "/suppressions", SuppressionQuery, SuppressionPage))
      .post("/suppressions", doing(mailCommands, "/suppressions", SuppressRequest, Suppression))
      .delete(
        "/suppressions/:address",
        removing(mailCommands, at("/suppressions", "address"), RemovalQuery, Type.Unknown()),
      )
      .post("/bounces", doing(mailCommands, "/bounces", BounceRequest, BounceReport))
      .get("/templates", reading(mail, "/templates", NO_QUERY, TemplateList))
      .post(
        "/templates/:name/preview",
        doing(mailCommands, at("/templates", "name", "/preview"), PreviewRequest, MailContent),
      )
  );
}
