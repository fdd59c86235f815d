-- Workflows: one row each, from its start until 30 days after its end. Time is the database's.
create table sagas (
  id uuid primary key,
  -- Of the definition.
  name text not null,
  state text not null check (state in ('running', 'compensating', 'done', 'compensated', 'stuck')),
  -- The one that is run, or undone, next; null once it has ended.
  step text,
  -- Since when that step is tried.
  step_since timestamptz not null default now(),
  data jsonb not null check (octet_length(data::text) <= 262144),
  -- Why it is compensated; null while it goes forward.
  reason text,
  -- What the last try of the step said, where it failed.
  error text,
  -- Tries of the step that failed in a row, and of these the ones that were its own fault.
  failures integer not null default 0,
  faults integer not null default 0,
  -- Times in a row that a process ended, or lost its lease, in the middle of the step.
  interruptions integer not null default 0,
  next_at timestamptz not null default now(),
  -- Who has it in hand, and until when nobody else takes it.
  claim uuid,
  lease_until timestamptz,
  request_id text not null,
  traceparent text not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index sagas_due on sagas (next_at) where state in ('running', 'compensating');
create index sagas_stuck on sagas (updated_at) where state = 'stuck';
create index sagas_ended on sagas (updated_at) where state in ('done', 'compensated');
