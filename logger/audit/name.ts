/** Which entries are the audit trail. */

/** Entries of this name are chained, and kept: nothing deletes them by their age. */
export const AUDIT_NAME = "audit";

export function isAudit(name: string): boolean {
  return name === AUDIT_NAME;
}

/** What finds all of them. */
export const AUDIT_FILTER = { name: AUDIT_NAME } as const;
