/** The variable that every service with Redis reads. */
import { type Field, optional, type Secret, secretUrl } from "#shared/config";

/** @param use what this service has it for. */
export const redisUrlField = (use: string): Field<Secret | undefined> =>
  optional(
    secretUrl(
      `Redis, optional: ${use}. Without it, and while it is away, each replica has its own. A number after the host (redis://host:6379/1) keeps platforms on one server apart`,
      "",
      ["redis", "rediss"],
    ),
  );
