import { expect, test } from "bun:test";
import { JOB_NAMES, loadJobs } from "./jobs.ts";

test("a job is found by its file, whose name is the job's", async () => {
  expect(JOB_NAMES).toContain("mail");
  const jobs = await loadJobs();
  expect([...jobs.keys()]).toEqual([...JOB_NAMES]);
  expect(jobs.get("mail")?.prefetch).toBe(20);
});
