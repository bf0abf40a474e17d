-- The roles of jobu in the job store's database: who may do what (docs/security.md).
--
-- Run it once, before the first `jobu migrate`, as a superuser connected to that database;
-- running it again changes nothing. After each `jobu migrate` run grants.sql as jobu_owner.
-- No password stands here: give each role its own with `\password jobu_app` in psql.

DO $$
DECLARE
  wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['jobu_owner', 'jobu_app', 'jobu_read'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
      EXECUTE format('CREATE ROLE %I LOGIN', wanted);
    END IF;
  END LOOP;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'jobu_dagster') THEN
    CREATE ROLE jobu_dagster NOLOGIN;  -- Dagster's tables; jobu_app is a member
  END IF;
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
  EXECUTE format(
    'GRANT CONNECT ON DATABASE %I TO jobu_owner, jobu_app, jobu_read', current_database());
END
$$;

GRANT jobu_dagster TO jobu_app;
ALTER ROLE jobu_read SET default_transaction_read_only = on;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO jobu_owner;
GRANT USAGE ON SCHEMA public TO jobu_app, jobu_read;

CREATE SCHEMA IF NOT EXISTS dagster AUTHORIZATION jobu_owner;
GRANT USAGE ON SCHEMA dagster TO jobu_dagster;
-- Dagster decides which tables it has, so that whatever jobu_owner makes there is covered.
ALTER DEFAULT PRIVILEGES FOR ROLE jobu_owner IN SCHEMA dagster
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO jobu_dagster;
ALTER DEFAULT PRIVILEGES FOR ROLE jobu_owner IN SCHEMA dagster
  GRANT USAGE, SELECT ON SEQUENCES TO jobu_dagster;
