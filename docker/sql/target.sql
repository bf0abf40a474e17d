-- The role that loads rows into a target database, one that is not the job store's.
--
-- Run it once in each target, as a superuser or the database's owner; running it again
-- changes nothing. Give the role a password with `\password jobu_loader` in psql.

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'jobu_loader') THEN
    CREATE ROLE jobu_loader LOGIN;
  END IF;
  -- TEMPORARY: an upsert's rows wait in a temporary table until all are there.
  EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO jobu_loader', current_database());
END
$$;

-- CREATE: for public.jobu_loads, the manifest of loads, and for the tables that datasets make
-- and replace. A table that somebody else owns needs a grant of its own:
-- SELECT, INSERT to append; UPDATE as well to upsert; DELETE or TRUNCATE as well to replace.
GRANT USAGE, CREATE ON SCHEMA public TO jobu_loader;
