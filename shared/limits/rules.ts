/** What `RATE_LIMITS` says: which requests are counted together, and how many of them are let in. */
import type { Field } from "#shared/config";

/** So many in any window of that length. */
export interface Limit {
  readonly quota: number;
  /** Milliseconds. */
  readonly windowMs: number;
}

export interface LimitRule extends Limit {
  /** As it was written, without the numbers: its policy's name in headers and metrics. */
  readonly name: string;
  /** Absent: every method. */
  readonly method?: string;
  /** Segments of the path, `*` for any one, and whether more may follow; absent: every path. */
  readonly path?: { readonly segments: readonly string[]; readonly open: boolean };
}

const UNIT_MS = { s: 1_000, min: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const RULE = /^(?:(\*)|(?:(GET|POST|PUT|PATCH|DELETE) +)?(\/[\w.~:*/-]*)) *= *(\d{1,7})\/(\d{0,4})(s|min|h|d)$/;
const MAX_RULES = 32;
const MAX_QUOTA = 1_000_000;
const OFF = "off";

function ruleOf(text: string): LimitRule | undefined {
  const [, everything, method, path, quota = "", count, unit = ""] = RULE.exec(text) ?? [];
  const windowMs = Number(count || "1") * (UNIT_MS[unit as keyof typeof UNIT_MS] ?? 0);
  const limit = { quota: Number(quota), windowMs };
  if (limit.quota < 1 || limit.quota > MAX_QUOTA || windowMs < 1_000 || windowMs > UNIT_MS.d) return undefined;
  if (everything !== undefined) return { ...limit, name: "*" };
  if (path === undefined) return undefined;
  const open = path.endsWith("/*");
  const segments = segmentsOf(open ? path.slice(0, -2) : path).map((part) => (part.startsWith(":") ? "*" : part));
  return {
    ...limit,
    name: method === undefined ? path : `${method} ${path}`,
    ...(method === undefined ? {} : { method }),
    path: { segments, open },
  };
}

/** @returns the rules, none for `off`; undefined where the text is not of that form. */
export function parseLimits(text: string): readonly LimitRule[] | undefined {
  if (text.trim() === OFF) return [];
  const rules = text.split(",").map((part) => ruleOf(part.trim()));
  const names = new Set(rules.map((rule) => rule?.name));
  return rules.length <= MAX_RULES && names.size === rules.length && rules.every((rule) => rule !== undefined)
    ? rules
    : undefined;
}

export const rateLimitsField: Field<readonly LimitRule[] | undefined> = {
  about:
    "Requests that are let in from each address, and of each credential: docs/limits.md. Default: off in development, some that hurt nobody in production",
  allowed: `off, or up to ${MAX_RULES} rules such as *=200/s,POST /v1/sessions=10/min,/v1/logs/*=50/10s (a path once; s, min, h, d, at most a day)`,
  default: undefined,
  required: false,
  secret: false,
  parse: parseLimits,
};

/** A router takes `/a/` for `/a`, and so do we. */
function segmentsOf(path: string): string[] {
  return path.split("/").filter((segment) => segment !== "");
}

/** Whether a request is counted under a rule. HEAD counts as GET. */
export function ruleFits(rule: LimitRule, method: string, path: string): boolean {
  if (rule.method !== undefined && rule.method !== (method === "HEAD" ? "GET" : method)) return false;
  if (rule.path === undefined) return true;
  const { segments, open } = rule.path;
  const given = segmentsOf(path);
  if (open ? given.length < segments.length : given.length !== segments.length) return false;
  return segments.every((segment, index) => segment === "*" || segment === given[index]);
}
