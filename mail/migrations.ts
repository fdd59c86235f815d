/** The schema of mail, step by step. A step that has been released is never changed. */
import type { Migration } from "#shared/postgres";
import outbox from "./migrations/0001_outbox.sql" with { type: "text" };
import messages from "./migrations/0002_messages.sql" with { type: "text" };
import templates from "./migrations/0003_templates.sql" with { type: "text" };

export const MIGRATIONS: readonly Migration[] = [
  { version: 1, name: "outbox", sql: outbox },
  { version: 2, name: "messages", sql: messages },
  { version: 3, name: "templates", sql: templates },
];
