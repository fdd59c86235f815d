/** Log entries, as every part speaks of them. Owner: the logger. */
import { type Static, Type } from "@sinclair/typebox";

export const SEVERITIES = ["INFO", "WARNING", "ERROR"] as const;
export const Severity = Type.Union([Type.Literal("INFO"), Type.Literal("WARNING"), Type.Literal("ERROR")]);
export type Severity = Static<typeof Severity>;

/** 1 to 255 characters without NUL. */
export const LogName = Type.String({ minLength: 1, maxLength: 255, pattern: "^[^\\u0000]*$" });

/** What a client sends to have something logged. `data` is given back as it was sent, whatever keys it has. */
export const LogRequest = Type.Object({
  name: LogName,
  data: Type.Unknown({ description: "Text or any JSON value" }),
  severity: Type.Optional(Severity),
});
export type LogRequest = Static<typeof LogRequest>;

/** 1 to 128 characters without NUL; ours are UUIDv7. The same id again is success and stores nothing. */
export const EventId = Type.String({ minLength: 1, maxLength: 128, pattern: "^[^\\u0000]*$" });

/** An entry on its way to the store: a request with its identity. */
export const LogEntry = Type.Object({
  name: LogName,
  data: Type.Unknown(),
  severity: Type.Optional(Severity),
  event_id: Type.Optional(EventId),
  created_at: Type.Optional(Type.String({ maxLength: 40, description: "RFC 3339" })),
});
export type LogEntry = Static<typeof LogEntry>;

/** Methods of the logger's RPC. */
export const RPC_LOG_INFO = "RPCServer.LogInfo";
export const RPC_LOG_BATCH = "RPCServer.LogBatch";
/** What `RPCServer.LogInfo` answers. */
export const LOG_SUCCEEDED = "Processing succeeded";
/** Entries in one `RPCServer.LogBatch`. */
export const LOG_BATCH_MAX = 1_000;

/** Per entry of a batch, in order. */
export const LogBatchResult = Type.Array(
  Type.Union([
    Type.Object({ ok: Type.Literal(true) }),
    Type.Object({ error: Type.Object({ code: Type.String(), message: Type.String() }) }),
  ]),
);
export type LogBatchResult = Static<typeof LogBatchResult>;
