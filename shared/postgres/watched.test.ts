import { expect, test } from "bun:test";
import { summaryOf } from "./watched.ts";

test.each([
  ["select 1 from users where lower(email) = lower( )", "SELECT users"],
  ["\n  insert into users (email, role) select  , 'admin' where true", "INSERT users"],
  ["update refresh_tokens set rotated_at = clock_timestamp() where token_hash =  ", "UPDATE refresh_tokens"],
  ["delete from sessions where id in ( select id from sessions order by id for update skip locked)", "DELETE sessions"],
  ["select 1 from users where id =   for no key update", "SELECT users"],
  ["insert into refresh_tokens (id) select id from sessions where id =  ", "INSERT refresh_tokens sessions"],
  ["insert into t (a) values ( ) on conflict (a) do update set a = 1", "INSERT t"],
  ["select distinct address from users join ( select 1 from Sessions) s on true", "SELECT users sessions"],
  ["with picked as ( select id from outbox for update) update outbox set a = 1 from picked", "WITH outbox picked"],
  ["update api_keys k set at = u.at from unnest( ::uuid[]) as u", "UPDATE api_keys"],
  ["select extract(epoch from clock_timestamp() - rotated_at), now() from t", "SELECT t"],
  ["select id from t where id is distinct from  ::int", "SELECT t"],
  ["select pg_advisory_xact_lock( )", "SELECT"],
  ["saga_id =  ", undefined],
  ["", undefined],
])("a statement is told by its operation and its tables: %s", (text, summary) => {
  expect(summaryOf(text)).toBe(summary as string);
});
