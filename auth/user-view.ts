/** A user as anybody may see him. */
import type { UserView } from "#contracts/auth";
import type { StoredUser } from "./store.ts";

export function viewOf(user: StoredUser): UserView {
  return {
    id: user.id,
    email: user.email,
    first_name: user.firstName,
    last_name: user.lastName,
    active: user.active,
    created_at: user.createdAt.toISOString(),
    updated_at: user.updatedAt.toISOString(),
  };
}
