-- Every replica of auth remembers for a moment who somebody is (known.ts), and forgets it when one of these tells that
-- it has changed: at the commit, whoever changed it, by whatever way.
create function tell_user_changed() returns trigger language plpgsql as $$
begin
  -- By name at run time: not every table has both.
  perform pg_notify('auth_user_changed', coalesce(to_jsonb(old) ->> 'user_id', to_jsonb(old) ->> 'id'));
  return null;
end $$;

-- Not `last_login_at`: every login writes that.
create trigger tell_changed
  after update of email, first_name, last_name, password, user_active, updated_at, role, extra_scopes, version,
    access_version, email_verified_at
  on users for each row execute function tell_user_changed();
create trigger tell_deleted after delete on users for each row execute function tell_user_changed();

create trigger tell_ended after update of ended_at on sessions
  for each row when (old.ended_at is distinct from new.ended_at) execute function tell_user_changed();
-- Those that are over were nobody's any more.
create trigger tell_deleted after delete on sessions
  for each row when (old.ended_at is null and old.expires_at > now()) execute function tell_user_changed();

create trigger tell_changed after update of state on registrations
  for each row when (old.state is distinct from new.state) execute function tell_user_changed();
