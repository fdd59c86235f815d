-- A mail, its recipients (rows of mail_outbox, one each), and what happens to them.
CREATE TABLE mail_messages (
  id           uuid        PRIMARY KEY,
  -- SHA-256 of what the caller sent.
  content_hash bytea       NOT NULL,
  sender       text        NOT NULL,
  subject      text        NOT NULL,
  -- What its bytes are made from: {text, html?, reply_to?, to, cc, headers?, attachments?, template?}. mail/message/content.ts
  content      jsonb       NOT NULL,
  message_id   text        NOT NULL,
  request_id   text        NOT NULL,
  traceparent  text        NOT NULL,
  list         text,
  -- 0 high, 1 normal, 2 low.
  priority     smallint    NOT NULL DEFAULT 1,
  -- Not before; its Date then. NULL: at once.
  send_at      timestamptz,
  created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX mail_messages_newest ON mail_messages (created_at DESC, id DESC);
CREATE INDEX mail_messages_sender ON mail_messages (lower(sender), created_at DESC, id DESC);
CREATE INDEX mail_messages_list ON mail_messages (list, created_at DESC, id DESC) WHERE list IS NOT NULL;

INSERT INTO mail_messages (id, content_hash, sender, subject, content, message_id, request_id, traceparent, created_at)
  SELECT id, content_hash, sender, subject, jsonb_build_object('text', message, 'to', jsonb_build_array(recipient)),
    message_id, request_id, traceparent, created_at
  FROM mail_outbox;

-- The first recipient's row has the mail's own id. All have its created_at: mails are listed by it, whichever table finds them.
ALTER TABLE mail_outbox
  ADD COLUMN mail_id  uuid,
  ADD COLUMN ordinal  smallint NOT NULL DEFAULT 0,
  ADD COLUMN kind     text     NOT NULL DEFAULT 'to' CHECK (kind IN ('to', 'cc', 'bcc')),
  ADD COLUMN priority smallint NOT NULL DEFAULT 1;
UPDATE mail_outbox SET mail_id = id;
ALTER TABLE mail_outbox
  ALTER COLUMN mail_id SET NOT NULL,
  ADD FOREIGN KEY (mail_id) REFERENCES mail_messages (id) ON DELETE CASCADE,
  DROP COLUMN content_hash,
  DROP COLUMN sender,
  DROP COLUMN subject,
  DROP COLUMN message,
  DROP COLUMN message_id,
  DROP COLUMN request_id,
  DROP COLUMN traceparent,
  DROP CONSTRAINT mail_outbox_state_check,
  ADD CONSTRAINT mail_outbox_state_check CHECK (state IN
    ('queued', 'sending', 'sent', 'deferred', 'failed', 'expired', 'ambiguous', 'cancelled', 'bounced'));
CREATE UNIQUE INDEX mail_outbox_of_mail ON mail_outbox (mail_id, ordinal);
CREATE INDEX mail_outbox_recipient ON mail_outbox (lower(recipient), created_at DESC, mail_id DESC);
CREATE INDEX mail_outbox_state ON mail_outbox (state, created_at DESC, mail_id DESC);
DROP INDEX mail_outbox_due;
CREATE INDEX mail_outbox_due ON mail_outbox (priority, next_at) WHERE state IN ('queued', 'deferred');

-- Every attempt with the server's reply, and what was decided by hand.
CREATE TABLE mail_attempts (
  id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  outbox_id uuid        NOT NULL REFERENCES mail_outbox (id) ON DELETE CASCADE,
  at        timestamptz NOT NULL DEFAULT now(),
  outcome   text        NOT NULL,
  code      integer,
  text      text,
  command   text,
  took_ms   integer
);
CREATE INDEX mail_attempts_of ON mail_attempts (outbox_id, id);

-- What is to be told to others: written together with the state that it tells of, whoever changes that.
CREATE TABLE mail_events (
  id           uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
  outbox_id    uuid        NOT NULL REFERENCES mail_outbox (id) ON DELETE CASCADE,
  mail_id      uuid        NOT NULL,
  type         text        NOT NULL,
  payload      jsonb       NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- In RabbitMQ (or wanted there by nobody), and handed to the webhooks: their rows are there.
  published_at timestamptz,
  hooked_at    timestamptz
);
CREATE INDEX mail_events_unpublished ON mail_events (created_at) WHERE published_at IS NULL;
CREATE INDEX mail_events_unhooked ON mail_events (created_at) WHERE hooked_at IS NULL;
CREATE INDEX mail_events_of ON mail_events (outbox_id);

-- Without a NOTIFY: its lock would be waited for by every outcome that is written.
CREATE FUNCTION mail_outbox_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO mail_events (outbox_id, mail_id, type, payload) VALUES (NEW.id, NEW.mail_id, 'mail.' || NEW.state,
    jsonb_strip_nulls(jsonb_build_object('recipient', NEW.recipient, 'state', NEW.state, 'attempts', NEW.attempt,
      'reply', CASE WHEN NEW.smtp_text IS NOT NULL THEN
        jsonb_build_object('code', NEW.smtp_code, 'text', NEW.smtp_text, 'command', NEW.smtp_command) END)));
  RETURN NULL;
END $$;
CREATE TRIGGER mail_outbox_told AFTER UPDATE OF state ON mail_outbox FOR EACH ROW
  WHEN (NEW.state IN ('sent', 'deferred', 'failed', 'expired', 'ambiguous', 'cancelled', 'bounced')
    AND OLD.state <> NEW.state AND (NEW.state <> 'deferred' OR NEW.attempt > OLD.attempt))
  EXECUTE FUNCTION mail_outbox_tell();

-- Refused as it is accepted, since its recipient is suppressed: told like any other end.
CREATE TRIGGER mail_outbox_refused AFTER INSERT ON mail_outbox FOR EACH ROW WHEN (NEW.state = 'failed')
  EXECUTE FUNCTION mail_outbox_tell();

CREATE TABLE mail_webhooks (
  event_id     uuid        NOT NULL REFERENCES mail_events (id) ON DELETE CASCADE,
  -- Scheme, host and path, as configured. Never its query, user or password.
  url          text        NOT NULL,
  attempt      integer     NOT NULL DEFAULT 0,
  next_at      timestamptz NOT NULL DEFAULT now(),
  lease_until  timestamptz,
  delivered_at timestamptz,
  gave_up_at   timestamptz,
  status       integer,
  error        text,
  PRIMARY KEY (event_id, url)
);
-- By receiver, so that what waits for one that is away is no burden to the others.
CREATE INDEX mail_webhooks_due ON mail_webhooks (url, next_at) WHERE delivered_at IS NULL AND gave_up_at IS NULL;

-- Nobody on it gets a mail. `list`: only mails of that list; '': any. Addresses are in small letters.
CREATE TABLE mail_suppressions (
  address    text        NOT NULL,
  list       text        NOT NULL DEFAULT '',
  reason     text        NOT NULL,
  mail_id    uuid,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (address, list)
);
CREATE INDEX mail_suppressions_newest ON mail_suppressions (created_at DESC, address DESC, list DESC);

-- Recipients of a sender within an hour (UTC).
CREATE TABLE mail_quotas (
  sender text        NOT NULL,
  hour   timestamptz NOT NULL,
  used   integer     NOT NULL,
  PRIMARY KEY (sender, hour)
);
