/**
 * A transaction that survives the loss of its connection. postgres.js (3.4.9) sends what comes next, be it the next
 * statement, the commit or its own rollback, on a connection that is closed: that throws where nobody can catch it, and
 * ends the process. So nothing is sent after a loss, and the driver is never told that the work has ended.
 */
import type { Sql as PoolSql } from "postgres";
import { isConnectionLoss } from "./failures.ts";
import type { Sql } from "./types.ts";

/** @throws what `work` throws, or the driver's error; that the connection was closed, as soon as it is. */
export async function runTransaction<T>(sql: PoolSql, work: (sql: Sql) => Promise<T>): Promise<T> {
  const loss = Promise.withResolvers<never>();
  let lost: unknown;
  const lose = (error: unknown): Promise<never> => {
    lost ??= error;
    loss.reject(lost);
    return new Promise(() => undefined);
  };
  const done = sql.begin(async (tx) => {
    const guarded = new Proxy<Sql>(tx, {
      apply(target, self, args: unknown[]) {
        if (lost !== undefined) throw lost;
        const query: unknown = Reflect.apply(target as unknown as (...given: unknown[]) => unknown, self, args);
        if (isQuery(query)) {
          // Noted as the driver rejects it: before anybody who waits for it can go on to the next statement.
          const reject = query.reject.bind(query);
          query.reject = (error) => {
            if (isConnectionLoss(error)) lost ??= error;
            reject(error);
          };
        }
        return query;
      },
    });
    try {
      const value = await work(guarded);
      return lost === undefined ? { value } : await lose(lost);
    } catch (error) {
      if (lost !== undefined || isConnectionLoss(error)) return await lose(error);
      throw error;
    }
  });
  // The driver tells so at once also where no statement is under way.
  done.catch((error: unknown) => {
    lost ??= error;
  });
  return (await Promise.race([done, loss.promise])).value;
}

/** What the driver rejects a statement with; in the driver, and not in its types. */
function isQuery(value: unknown): value is { reject: (error: unknown) => void } {
  return typeof value === "object" && value !== null && "reject" in value && typeof value.reject === "function";
}
