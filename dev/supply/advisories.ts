/** What `bun audit --json` says, in the words of `bun run audit`. */

export type Severity = "low" | "moderate" | "high" | "critical";

export interface Advisory {
  readonly package: string;
  readonly severity: Severity;
  readonly title: string;
  readonly versions: string;
  /** Whether it runs in the services, or is only used by developers. */
  readonly runs: boolean;
}

/** From the worst to the least. */
const SEVERITIES: readonly Severity[] = ["critical", "high", "moderate", "low"];

/**
 * @param output what was printed: an object with a list of advisories a package.
 * @param running names of packages that run in the services.
 * @returns undefined where it is no answer: the registry could not be asked, or knows no advisories.
 */
export function readAdvisories(output: string, running: ReadonlySet<string>): Advisory[] | undefined {
  let answer: unknown;
  try {
    answer = JSON.parse(output);
  } catch {
    return undefined;
  }
  if (typeof answer !== "object" || answer === null || Array.isArray(answer)) return undefined;
  const advisories: Advisory[] = [];
  for (const [name, list] of Object.entries(answer)) {
    if (!Array.isArray(list)) return undefined;
    for (const one of list as readonly Partial<Record<string, unknown>>[]) {
      advisories.push({
        package: name,
        severity: SEVERITIES.find((severity) => severity === one["severity"]) ?? "critical",
        title: textOf(one["title"]) ?? "without a title",
        versions: textOf(one["vulnerable_versions"]) ?? "*",
        runs: running.has(name),
      });
    }
  }
  return advisories.sort((a, b) => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity));
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** What keeps a release back: high or worse, wherever it is. */
export function isGrave({ severity }: Advisory): boolean {
  return severity === "critical" || severity === "high";
}
