import type { OutboxItem } from "../outbox/outbox.ts";

/** An entry `audit` of what somebody did; where he was is added from the request that it comes of (outbox.ts). */
export function auditOf(
  action: string,
  by: string,
  details: Readonly<Record<string, unknown>> = {},
  severity: "INFO" | "WARNING" = "INFO",
): OutboxItem {
  return { kind: "audit", severity, data: { action, by, ...details } };
}
