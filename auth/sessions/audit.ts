import type { OutboxItem } from "../outbox/outbox.ts";
import type { Place } from "../place.ts";

/** An entry `audit` of what somebody did, and from where. */
export function auditOf(
  action: string,
  by: string,
  { address, agent }: Place,
  details: Readonly<Record<string, unknown>> = {},
  severity: "INFO" | "WARNING" = "INFO",
): OutboxItem {
  return {
    kind: "audit",
    severity,
    data: { action, by, ...details, address, ...(agent === undefined ? {} : { agent }) },
  };
}
