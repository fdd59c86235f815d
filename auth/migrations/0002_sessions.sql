-- One row a refresh token. The tokens that followed one another from one login are a family: it is the session
-- that access tokens name (claim `sid`).
create table sessions (
  id uuid primary key,
  user_id integer not null references users (id) on delete cascade,
  family uuid not null,
  -- SHA-256 of the token, which itself is nowhere.
  token_hash bytea not null unique,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null
);
create index sessions_user on sessions (user_id);
create index sessions_family on sessions (family);
create index sessions_expiry on sessions (expires_at);

-- Keys that access tokens are signed with, shared by all replicas.
create table signing_keys (
  kid text primary key,
  public_jwk jsonb not null,
  -- The private JWK, AES-256-GCM under a key derived from AUTH_SECRET: 12 bytes nonce, ciphertext, 16 bytes tag.
  private_jwk bytea not null,
  created_at timestamptz not null default now(),
  -- From then on it signs nothing; it verifies for as long as the last token that it signed lives.
  retired_at timestamptz
);
