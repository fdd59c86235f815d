/**
 * A macro: runs while the listener is transpiled or compiled, so that the executable knows the files that it carries.
 * A file of `jobs/` is a job; its name is the job's name.
 */
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** A job's name is a part of the names of queues. */
const JOB_FILE = /^([a-z][a-z0-9_-]{0,63})\.ts$/;
/** Tests, and what only they need, lie beside the file under test. */
const NOT_JOBS = /\.(test|fixture|test-kit)\.ts$/;

/** @throws where a file's name cannot be a job's. */
export function jobNames(): string[] {
  const directory = fileURLToPath(new URL("jobs/", import.meta.url));
  return readdirSync(directory)
    .filter((file) => !NOT_JOBS.test(file))
    .sort()
    .map((file) => {
      const name = JOB_FILE.exec(file)?.[1];
      if (name === undefined) throw new Error(`listener/jobs/${file}: a job's name is small letters, digits, _ and -`);
      return name;
    });
}
