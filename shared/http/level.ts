/** The level of the log, asked and changed while the service runs. */
import { LEVEL_CHANGE_S, LevelChange, type LevelView } from "#contracts/log-levels";
import { orThrow } from "#shared/errors";
import type { Log, LogLevel } from "#shared/log";
import { makeValidator } from "#shared/validation";

const changeOf = makeValidator(LevelChange, { unknown: "refuse" });

export function levelView({ level }: Log): LevelView {
  return {
    level: level.level,
    configured: level.configured,
    ...(level.until === undefined ? {} : { until: level.until.toISOString() }),
  };
}

/** Changes it, and says so in the log, whatever its level is then. @throws Failure `invalid` for what is no LevelChange. */
export function changeLevel(log: Log, body: unknown, actor: string): LevelView {
  const { level, for_s: forS = LEVEL_CHANGE_S } = orThrow(changeOf(body));
  const fields = { from: log.level.level, to: level, by: actor, ...(forS === 0 ? {} : { for_s: forS }) };
  // Before, where what is said afterwards would not be written.
  if (level === "error" || level === "silent") log.warn("log level changed", fields);
  log.level.set(level as LogLevel, forS * 1_000);
  if (level !== "error" && level !== "silent") log.warn("log level changed", fields);
  return levelView(log);
}
