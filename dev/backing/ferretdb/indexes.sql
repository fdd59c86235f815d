-- FerretDB 1.24 asks its PostgreSQL for equality as `_jsonb->key @> value`, which the B-tree indexes that it makes cannot
-- answer: each look-up by id reads the whole collection. So each of them gets a GIN index over the same keys beside it.
CREATE OR REPLACE FUNCTION mirror_index(index_oid oid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  keys text;
  made record;
BEGIN
  SELECT c.relname, n.nspname, i.indrelid, i.indnkeyatts INTO made
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_am a ON a.oid = c.relam
    WHERE i.indexrelid = index_oid AND i.indexprs IS NOT NULL AND a.amname = 'btree' AND n.nspname NOT LIKE 'pg\_%';
  IF NOT FOUND THEN RETURN; END IF;
  SELECT string_agg(format('(%s) jsonb_path_ops', pg_get_indexdef(index_oid, key, true)), ', ') INTO keys
    FROM generate_series(1, made.indnkeyatts) AS key;
  EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %s USING gin (%s)',
    left(made.relname, 58) || '_gin', made.indrelid::regclass, keys);
END $$;

CREATE OR REPLACE FUNCTION mirror_new_indexes() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM public.mirror_index(objid) FROM pg_event_trigger_ddl_commands() WHERE command_tag = 'CREATE INDEX';
END $$;

DROP EVENT TRIGGER IF EXISTS mirror_new_indexes;
CREATE EVENT TRIGGER mirror_new_indexes ON ddl_command_end WHEN TAG IN ('CREATE INDEX')
  EXECUTE FUNCTION mirror_new_indexes();

-- Those of a platform that was started before there was this file.
SELECT mirror_index(indexrelid) FROM pg_index WHERE indexprs IS NOT NULL;
