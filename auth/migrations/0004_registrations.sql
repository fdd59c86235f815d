-- How far a user's registration has come (docs/workflows.md). Users of older installations and seeded ones have no row.
create table registrations (
  user_id integer primary key references users (id) on delete cascade,
  -- Of the workflow; follows from the Idempotency-Key where there was one.
  saga_id uuid not null unique,
  mail_id uuid not null,
  -- SHA-256 of what was sent, the password not included.
  content_hash bytea not null,
  state text not null default 'pending' check (state in ('pending', 'complete', 'mail_refused')),
  -- What became of the welcome mail: sent, refused, expired, ambiguous; and why it was not delivered.
  mail text,
  reason text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
