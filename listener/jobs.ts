/** The jobs that there are: one for each file of `jobs/`. No list of them is kept anywhere. */
import type { Job } from "./job.ts";
import { jobNames } from "./job-files.ts" with { type: "macro" };

/** Names of all jobs: routing keys of the exchange `jobs`. */
export const JOB_NAMES: readonly string[] = jobNames();

/** Names that `/ready` has for something else. */
const RESERVED = new Set(["rabbitmq", "logger"]);

/** @throws for a file that exports no job: a mistake of who wrote it. */
export async function loadJobs(): Promise<ReadonlyMap<string, Job>> {
  const jobs = new Map<string, Job>();
  for (const name of JOB_NAMES) {
    // Its place beside this file is the same in the executable, where it is an entry of its own (deploy/build.ts).
    const { job } = (await import(new URL(`jobs/${name}.ts`, import.meta.url).href)) as { job?: Job };
    if (typeof job?.run !== "function") throw new TypeError(`listener/jobs/${name}.ts exports no job`);
    if (RESERVED.has(name)) throw new TypeError(`listener/jobs/${name}.ts: a job cannot have this name`);
    jobs.set(name, job);
  }
  return jobs;
}
