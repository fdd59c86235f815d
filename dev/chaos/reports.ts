/** Reports of experiments: files of JSON below the data directory, the newest 50; and one as people read it. */
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ChaosReport, type ChaosReportSummary, type ChaosResult } from "#contracts/chaos";
import { makeValidator } from "#shared/validation";

const KEPT = 50;
const ID = /^[0-9a-f-]{36}$/;
const reportOf = makeValidator(ChaosReport, { name: "the report" });

export interface Reports {
  save(report: ChaosReport): Promise<void>;
  /** Newest first. */
  list(): Promise<ChaosReportSummary[]>;
  read(id: string): Promise<ChaosReport | undefined>;
}

/** @param dir made when there is something to keep. */
export function openReports(dir: string): Reports {
  const file = (id: string): string => join(dir, `${id}.json`);

  /** Ids are UUIDs of version 7: their order is that of time. */
  async function ids(): Promise<string[]> {
    const names = await readdir(dir).catch(() => []);
    return names
      .filter((name) => name.endsWith(".json"))
      .map((name) => name.slice(0, -".json".length))
      .filter((id) => ID.test(id))
      .toSorted()
      .toReversed();
  }

  async function read(id: string): Promise<ChaosReport | undefined> {
    if (!ID.test(id)) return undefined;
    const text = await readFile(file(id), "utf8").catch(() => undefined);
    if (text === undefined) return undefined;
    const report = reportOf(JSON.parse(text));
    // One of an older version that had another shape.
    return report.ok ? report.value : undefined;
  }

  return {
    read,
    async save(report) {
      await mkdir(dir, { recursive: true });
      const partial = `${file(report.id)}.partial`;
      await writeFile(partial, `${JSON.stringify(report, null, 2)}\n`);
      await rename(partial, file(report.id));
      for (const old of (await ids()).slice(KEPT)) await rm(file(old), { force: true });
    },
    async list() {
      const reports = await Promise.all((await ids()).map(read));
      return reports.flatMap((report) => (report === undefined ? [] : [summaryOf(report)]));
    },
  };
}

function summaryOf({ id, title, outcome, started_at, took_ms, verdict, results }: ChaosReport): ChaosReportSummary {
  return {
    id,
    title,
    outcome,
    started_at,
    took_ms,
    accepted: verdict?.accepted ?? results.reduce((sum, { counters }) => sum + counters.accepted, 0),
    lost: verdict?.lost.count ?? 0,
    twice: verdict?.twice.count ?? 0,
  };
}

const seconds = (ms: number | undefined): string => (ms === undefined ? "not in time" : `${(ms / 1_000).toFixed(1)} s`);

function rowOf({ fault, part, fault_s, outcome, verdict, counters, error }: ChaosResult): string {
  const refused = counters.refused + counters.unanswered;
  const cells =
    verdict === undefined
      ? [outcome, counters.accepted, "–", "–", "–", "–", refused, "–", "–"]
      : [
          outcome,
          verdict.accepted,
          verdict.stored,
          verdict.delivered,
          verdict.lost.count,
          verdict.twice.count,
          refused,
          seconds(verdict.heal_ms),
          seconds(verdict.drain_ms),
        ];
  return `| ${fault} of ${part}, ${fault_s} s${error === undefined ? "" : ` (${error.replaceAll("|", "/")})`} | ${cells.join(" | ")} |`;
}

/** The report as Markdown. */
export function markdownOf(report: ChaosReport): string {
  const { title, outcome, error, verdict, results, machine, versions, how, seed, rate, started_at, took_ms } = report;
  const sentence =
    verdict === undefined
      ? "It could not be counted."
      : `**${verdict.accepted} accepted = ${verdict.stored} stored + ${verdict.delivered} delivered + ${verdict.dead_lettered} dead-lettered + ${verdict.unrouted} unrouted + ${verdict.queued} queued + ${verdict.spooled} spooled + ${verdict.ambiguous} ambiguous + ${verdict.failed} failed + ${verdict.lost.count} lost; ${verdict.twice.count} twice, ${verdict.altered.count} altered.**`;
  const names = verdict === undefined ? [] : [...verdict.lost.ids, ...verdict.twice.ids, ...verdict.altered.ids];
  return [
    `# ${title}`,
    `${started_at}, ${seconds(took_ms)}, ${outcome}${error === undefined ? "" : `: ${error}`}. ${rate} requests a second, seed ${seed}.`,
    sentence,
    ...(names.length === 0 ? [] : [`Of these: ${names.join(", ")}`]),
    ...(verdict?.dishonest ?? []).map((said) => `- ${said}`),
    [
      "| what | outcome | accepted | stored | delivered | lost | twice | refused | all well after | nothing waits after |",
      "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
      ...results.map(rowOf),
    ].join("\n"),
    "## How it was counted",
    how.map((said) => `- ${said}`).join("\n"),
    `${machine.platform}, ${machine.cores} cores, ${machine.memory_mib} MiB. Platform ${versions.platform}, Bun ${versions.bun}; ${Object.entries(
      versions.backing,
    )
      .map(([name, version]) => `${name}: ${version}`)
      .join(", ")}.`,
    "",
  ].join("\n\n");
}
