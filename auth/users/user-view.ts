/** A user as anybody may see him, as he sees himself, and as those see him who manage users. */
import { scopesOf } from "#contracts/access";
import type { Scope } from "#contracts/scopes";
import type { ManagedUser, MeView, UserView } from "#contracts/auth";
import type { StoredUser } from "../store.ts";

/** What he may as he is now. */
export function scopesOfUser({
  role,
  extraScopes,
  emailVerifiedAt,
}: Pick<StoredUser, "role" | "extraScopes" | "emailVerifiedAt">): Scope[] {
  return scopesOf(role, extraScopes, { verified: emailVerifiedAt !== null });
}

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

/** A user as he may see himself, in a session of his. */
export function ownViewOf(user: StoredUser, sessionId: string): MeView {
  return {
    ...viewOf(user),
    session_id: sessionId,
    role: user.role,
    scopes: scopesOfUser(user),
    email_verified: user.emailVerifiedAt !== null,
    version: user.version,
  };
}

export function managedViewOf(user: StoredUser): ManagedUser {
  return {
    ...viewOf(user),
    role: user.role,
    extra_scopes: user.extraScopes,
    scopes: scopesOfUser(user),
    email_verified: user.emailVerifiedAt !== null,
    version: user.version,
    ...(user.lastLoginAt === null ? {} : { last_login_at: user.lastLoginAt.toISOString() }),
  };
}
