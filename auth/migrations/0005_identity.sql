-- What a user may, and what a change was made from.
alter table users
  add column role text not null default 'member' check (role in ('member', 'operator', 'admin')),
  -- Scopes that he has besides those of his role.
  add column extra_scopes text[] not null default '{}',
  -- Grows with every change.
  add column version integer not null default 1,
  -- Grows with every change of role, scopes, activity: access tokens of an older one count no longer.
  add column access_version integer not null default 1,
  add column email_verified_at timestamptz,
  add column last_login_at timestamptz;
-- Newest first, a page after the other.
create index users_page on users (id desc);

-- One row a refresh token. Those that followed one another from one login are its session.
alter table sessions rename to refresh_tokens;
alter index sessions_pkey rename to refresh_tokens_pkey;
alter index sessions_token_hash_key rename to refresh_tokens_token_hash_key;
alter index sessions_user rename to refresh_tokens_user;
drop index sessions_family;
alter index sessions_expiry rename to refresh_tokens_expiry;

-- One row a login: what access tokens name (claim `sid`).
create table sessions (
  id uuid primary key,
  user_id integer not null references users (id) on delete cascade,
  created_at timestamptz not null default now(),
  -- Of the login or the last refresh.
  used_at timestamptz not null default now(),
  expires_at timestamptz not null,
  refreshes integer not null default 0,
  ended_at timestamptz,
  end_reason text check (end_reason in ('logout', 'revoked', 'reuse', 'password', 'deactivated', 'too_many')),
  -- Where from: text for people, as the broker saw it.
  address text,
  agent text
);
-- Newest first: ids are UUIDv7.
create index sessions_of_user on sessions (user_id, id desc);
create index sessions_by_expiry on sessions (expires_at);
insert into sessions (id, user_id, created_at, used_at, expires_at)
  select family, min(user_id), min(created_at), max(created_at), max(expires_at) from refresh_tokens group by family;

alter table refresh_tokens rename column family to session_id;
alter table refresh_tokens
  drop column id,
  drop column user_id,
  add primary key (token_hash),
  drop constraint refresh_tokens_token_hash_key,
  -- When its successor was made. The successor follows from the token and AUTH_SECRET: it is stored nowhere but as a hash.
  add column rotated_at timestamptz,
  add constraint refresh_tokens_session_fkey foreign key (session_id) references sessions (id) on delete cascade;
-- The oldest of a session go where there are too many.
create index refresh_tokens_session on refresh_tokens (session_id, rotated_at);

-- What ends before its own time is over: brokers are told, and ask for what they missed (#contracts/identity).
create table revocations (
  id uuid primary key,
  kind text not null check (kind in ('session', 'user', 'api_key')),
  subject text not null,
  access_version integer,
  at timestamptz not null default now(),
  expires_at timestamptz not null
);
create index revocations_at on revocations (at, id);
create index revocations_expiry on revocations (expires_at);

-- From then on it signs: published before, so that everybody who verifies knows it.
alter table signing_keys add column activates_at timestamptz not null default now();

create table api_keys (
  id uuid primary key,
  -- One of the two: whose it is.
  user_id integer references users (id) on delete cascade,
  service text,
  name text not null,
  -- What it begins with.
  prefix text not null,
  -- SHA-256 of the whole key, which itself is nowhere. Its secret has 256 random bits: no slow hash is needed.
  key_hash bytea not null unique,
  scopes text[] not null,
  created_by text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz,
  rotated_to uuid references api_keys (id) on delete set null,
  check ((user_id is null) <> (service is null))
);
create index api_keys_of_user on api_keys (user_id, id desc);
create index api_keys_of_service on api_keys (service, id desc) where service is not null;
create index api_keys_of_services on api_keys (id desc) where service is not null;
create index api_keys_rotated on api_keys (rotated_to) where rotated_to is not null;

-- Links in mails.
create table one_time_tokens (
  -- SHA-256.
  token_hash bytea primary key,
  purpose text not null check (purpose in ('verify_address', 'reset_password')),
  user_id integer not null references users (id) on delete cascade,
  -- The address that it was sent to: once it is another, the token is worth nothing.
  email varchar(255) not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at timestamptz,
  -- Whoever has read the mail is no stranger there (throttling of logins).
  used_from text
);
create index one_time_tokens_of_user on one_time_tokens (user_id, purpose, created_at desc);
create index one_time_tokens_expiry on one_time_tokens (expires_at);

-- Mails that somebody asked for by an address that may be nobody's: looked at after the answer, so that its time tells nothing.
create table mail_requests (
  id uuid primary key,
  purpose text not null check (purpose in ('verify_address', 'reset_password')),
  email varchar(255) not null,
  request_id text not null,
  traceparent text not null,
  -- From where, for the audit.
  address text,
  agent text,
  created_at timestamptz not null default now()
);
-- Who asks twice before it was looked at has asked once.
create unique index mail_requests_once on mail_requests (purpose, lower(email));
create index mail_requests_due on mail_requests (created_at);

-- What has to be told or sent, written in the transaction of what it is about.
create table outbox (
  seq bigserial primary key,
  -- UUIDv7: the message's id, the entry's id, the mail's Idempotency-Key.
  id uuid not null unique,
  kind text not null check (kind in ('identity', 'audit', 'mail')),
  -- JSON, sealed under AUTH_SECRET for its id: mails have links in them that let somebody in.
  body bytea not null,
  request_id text not null,
  traceparent text not null,
  created_at timestamptz not null default now(),
  attempts integer not null default 0,
  next_at timestamptz not null default now()
);
create index outbox_due on outbox (kind, next_at, seq);
