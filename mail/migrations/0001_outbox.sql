-- One row a recipient. The states and who may change them: mail/states.ts.
CREATE TABLE mail_outbox (
  id            uuid        PRIMARY KEY,
  content_hash  bytea       NOT NULL,
  sender        text        NOT NULL,
  recipient     text        NOT NULL,
  subject       text        NOT NULL,
  message       text        NOT NULL,
  message_id    text        NOT NULL,
  request_id    text        NOT NULL,
  traceparent   text        NOT NULL,
  state         text        NOT NULL
    CHECK (state IN ('queued', 'sending', 'sent', 'deferred', 'failed', 'expired', 'ambiguous')),
  -- Attempts that the server answered with a refusal for now (4xx).
  attempt       integer     NOT NULL DEFAULT 0,
  -- Times in a row that the server left in the middle of this mail.
  interruptions integer     NOT NULL DEFAULT 0,
  next_at       timestamptz NOT NULL DEFAULT now(),
  -- Who is sending it, and until when nobody else may.
  claim         uuid,
  lease_until   timestamptz,
  -- Written before the first byte of content of the present attempt: from here on only the server knows.
  data_at       timestamptz,
  smtp_code     integer,
  smtp_text     text,
  smtp_command  text,
  created_at    timestamptz NOT NULL DEFAULT now(),
  updated_at    timestamptz NOT NULL DEFAULT now(),
  expires_at    timestamptz NOT NULL,
  CHECK ((state = 'sending') = (lease_until IS NOT NULL)),
  CHECK (state <> 'sending' OR claim IS NOT NULL)
);

CREATE INDEX mail_outbox_due ON mail_outbox (next_at) WHERE state IN ('queued', 'deferred');
CREATE INDEX mail_outbox_expiring ON mail_outbox (expires_at) WHERE state IN ('queued', 'deferred');
CREATE INDEX mail_outbox_leases ON mail_outbox (lease_until) WHERE state = 'sending';
CREATE INDEX mail_outbox_open ON mail_outbox (state, created_at)
  WHERE state IN ('queued', 'sending', 'deferred', 'ambiguous');
