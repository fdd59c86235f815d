/** The schema of auth, step by step. A step that has been released is never changed. */
import type { Migration } from "#shared/postgres";
import { sagasMigration } from "#shared/saga";
import users from "./migrations/0001_users.sql" with { type: "text" };
import sessions from "./migrations/0002_sessions.sql" with { type: "text" };
import identity from "./migrations/0005_identity.sql" with { type: "text" };
import changes from "./migrations/0006_changes.sql" with { type: "text" };
import registrations from "./migrations/0004_registrations.sql" with { type: "text" };

export const MIGRATIONS: readonly Migration[] = [
  { version: 1, name: "users", sql: users },
  { version: 2, name: "sessions", sql: sessions },
  sagasMigration(3),
  { version: 4, name: "registrations", sql: registrations },
  { version: 5, name: "identity", sql: identity },
  { version: 6, name: "changes", sql: changes },
];
