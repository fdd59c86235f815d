/** For how long entries are kept: rules by name and severity, of which the most specific one holds. */
import { SEVERITIES, type Severity } from "#contracts/logs";
import { AUDIT_NAME } from "../audit/name.ts";

/** Entries of this name are a chain: none of them is ever removed. */
export const AUDIT = AUDIT_NAME;

/** One rule of RETENTION. */
export interface Rule {
  /** As it was written. */
  readonly text: string;
  /** Whole names, or what they begin with; absent: any. */
  readonly name?: { readonly text: string; readonly isPrefix: boolean };
  readonly severity?: Severity;
  /** Milliseconds; `Infinity` for ever. */
  readonly keepMs: number;
}

export interface Policy {
  readonly rules: readonly Rule[];
  /** Nothing is ever removed by it. */
  readonly keepsAll: boolean;
  /** The same for rules that mean the same. */
  readonly fingerprint: string;
  /** How long such an entry is kept (ms); `Infinity` for ever. */
  readonly keepMs: (name: string, severity: string) => number;
}

const RULES_MAX = 100;
/** Below it, what is on its way to the store would meet its own removal. */
const KEEP_MIN_MS = 60_000;
const KEEP_MAX_MS = 100 * 365 * 86_400_000;
const UNITS: Readonly<Record<string, number>> = {
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
  y: 365 * 86_400_000,
};
const FORM = "a rule is <which>=<how long>, as INFO=30d, name:debug*=1d, ERROR+name:debug*=7d or *=90d";

/** @returns what is wrong with it, in words. */
function ruleOf(text: string): Rule | string {
  // The last one: names may have the sign in them.
  const at = text.lastIndexOf("=");
  if (at < 1) return FORM;
  const keepMs = durationOf(text.slice(at + 1));
  if (keepMs === undefined) {
    return `"${text.slice(at + 1)}" is no time: a number with m, h, d, w or y (1m to 100y), or forever`;
  }
  const which = text.slice(0, at);
  if (which === "*") return { text, keepMs };
  const [, first, name] = /^(?:([A-Z]+)(?:\+|$))?(?:name:(.+))?$/s.exec(which) ?? [];
  const severity = SEVERITIES.find((known) => known === first);
  if (first !== undefined && severity === undefined) return `"${first}" is no severity: ${SEVERITIES.join(", ")}`;
  if (first === undefined && name === undefined) return FORM;
  if (name === AUDIT && keepMs !== Number.POSITIVE_INFINITY) return `entries named ${AUDIT} are kept for ever`;
  return {
    text,
    keepMs,
    ...(name === undefined ? {} : { name: { text: name.replace(/\*$/, ""), isPrefix: name.endsWith("*") } }),
    ...(severity === undefined ? {} : { severity }),
  };
}

function durationOf(text: string): number | undefined {
  if (text === "forever") return Number.POSITIVE_INFINITY;
  const [, count, unit = ""] = /^(\d{1,6})([mhdwy])$/.exec(text) ?? [];
  const ms = Number(count) * (UNITS[unit] ?? Number.NaN);
  return ms >= KEEP_MIN_MS && ms <= KEEP_MAX_MS ? ms : undefined;
}

/** How much a rule says of an entry: its whole name most, then the longer beginning, then its severity. */
function weightOf({ name, severity }: Rule): number {
  const ofName = name === undefined ? 0 : name.isPrefix ? 1 + name.text.length : 1_000;
  return ofName * 2 + Number(severity !== undefined);
}

function holds({ name, severity }: Rule, entryName: string, entrySeverity: string): boolean {
  if (severity !== undefined && severity !== entrySeverity) return false;
  if (name === undefined) return true;
  return name.isPrefix ? entryName.startsWith(name.text) : entryName === name.text;
}

/** What two rules must not have in common. */
const selectorOf = ({ name, severity }: Rule): string =>
  JSON.stringify([severity ?? "", name?.isPrefix ?? "", name?.text ?? ""]);

/** The rules that could be read, and what is wrong with the others: a line each, which names the rule. */
export function readRules(texts: readonly string[]): { rules: readonly Rule[]; problems: readonly string[] } {
  const rules = new Map<string, Rule>();
  const problems: string[] = [];
  if (texts.length > RULES_MAX) problems.push(`has ${texts.length} rules: at most ${RULES_MAX} are taken`);
  for (const text of texts.slice(0, RULES_MAX)) {
    const rule = ruleOf(text);
    if (typeof rule === "string") {
      problems.push(`has a rule that cannot be used, "${text}": ${rule}`);
      continue;
    }
    const before = rules.get(selectorOf(rule));
    if (before !== undefined) problems.push(`has two rules for the same entries, "${before.text}" and "${text}"`);
    else rules.set(selectorOf(rule), rule);
  }
  return { rules: [...rules.values()], problems };
}

/** @param texts rules of which `readRules` knows nothing wrong. */
export function makePolicy(texts: readonly string[]): Policy {
  const rules = readRules(texts).rules.toSorted((a, b) => weightOf(b) - weightOf(a));
  const plain = rules.map((rule) => `${selectorOf(rule)}=${rule.keepMs}`).sort();
  return {
    rules,
    keepsAll: rules.every(({ keepMs }) => keepMs === Number.POSITIVE_INFINITY),
    fingerprint: new Bun.CryptoHasher("sha256").update(plain.join("\n")).digest("base64url"),
    keepMs: (name, severity) => {
      if (name === AUDIT) return Number.POSITIVE_INFINITY;
      return rules.find((rule) => holds(rule, name, severity))?.keepMs ?? Number.POSITIVE_INFINITY;
    },
  };
}

const HOUR_MS = 3_600_000;
const GRAIN_MIN_MS = 1_000;

/**
 * When an entry that was stored at `storedAt` (ms since 1970) has been kept for `keepMs`, up to a 24th of that time or an
 * hour later, whichever is less: so that those stored one after the other are removed together.
 */
export function expiryOf(storedAt: number, keepMs: number): number {
  const grain = Math.min(HOUR_MS, Math.max(GRAIN_MIN_MS, keepMs / 24));
  return Math.ceil((storedAt + keepMs) / grain) * grain;
}
