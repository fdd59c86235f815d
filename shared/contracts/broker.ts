/** What clients send to the platform's one door. Owner: broker. */
import { type Static, Type } from "@sinclair/typebox";
import { Credentials } from "./auth.ts";
import { LogRequest } from "./logs.ts";
import { MailRequest } from "./mail.ts";

export const AuthAction = Type.Object({ action: Type.Literal("auth"), auth: Credentials });
export const LogAction = Type.Object({ action: Type.Literal("log"), log: LogRequest });
export const MailAction = Type.Object({ action: Type.Literal("mail"), mail: MailRequest });

/** The body of `POST /handle`: one action, or up to 100 of them. */
export const Action = Type.Union([AuthAction, LogAction, MailAction]);
export type Action = Static<typeof Action>;
export const BATCH_MAX = 100;

/** One action's outcome within a batch, in its place. */
export const BatchItem = Type.Object({
  status: Type.Integer(),
  error: Type.Boolean(),
  message: Type.String(),
  data: Type.Optional(Type.Unknown()),
});
export type BatchItem = Static<typeof BatchItem>;

/** What was done in another way than usual, by part; the header `X-Degraded` says the same. */
export const Degraded = Type.Record(Type.String(), Type.String());
export type Degraded = Static<typeof Degraded>;
