-- Mails of a template are found by it.
CREATE INDEX mail_messages_template ON mail_messages ((content -> 'template' ->> 'name'), created_at DESC, id DESC)
  WHERE content -> 'template' ->> 'name' IS NOT NULL;
