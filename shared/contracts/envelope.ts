/** The one shape of every JSON answer of every service. */
import { type Static, type TSchema, Type } from "@sinclair/typebox";

export const Envelope = Type.Object({
  error: Type.Boolean(),
  message: Type.String(),
  data: Type.Optional(Type.Unknown()),
});
export type Envelope = Static<typeof Envelope>;

/** The schema of an envelope whose `data` is `data`, for the API description. */
export const envelopeOf = <S extends TSchema>(data: S) =>
  Type.Object({ error: Type.Literal(false), message: Type.String(), data });
