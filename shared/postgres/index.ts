/**
 * PostgreSQL for a service: a pool that opens itself in the background, heals by itself, keeps the schema up to
 * date and says in words what is wrong.
 */
export { type CommandDatabase, openForCommand } from "./command.ts";
export { makeDatabase } from "./database.ts";
export type { Database, DatabaseOptions, Migration, Sql, WorkContext, WorkOptions } from "./types.ts";
