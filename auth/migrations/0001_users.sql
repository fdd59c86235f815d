-- Who may log in. A table of this name that is there already (an older installation) is kept with its rows.
create table if not exists users (
  id serial primary key,
  email varchar(255) unique not null,
  first_name varchar(255),
  last_name varchar(255),
  password varchar(255) not null,
  user_active integer default 0,
  created_at timestamp default now(),
  updated_at timestamp default now()
);

-- Older installations have varchar(60), which a pre-hashed password does not fit into. Widening rewrites nothing.
alter table users alter column password type varchar(255);

-- Addresses are looked up without regard to case. Not unique: older rows may differ in case only.
create index if not exists users_email_lower on users (lower(email));
