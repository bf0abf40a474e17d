-- What each role may do with jobu's own tables (docs/security.md).
--
-- Run it as jobu_owner after each `jobu migrate`; running it again changes nothing.

GRANT SELECT, INSERT, UPDATE, DELETE ON cron_jobs, workers TO jobu_app;
GRANT SELECT, INSERT, UPDATE ON
  job_executions, dead_letters, dispatch_skips, kafka_positions, jobu_meta TO jobu_app;
GRANT SELECT, INSERT ON offset_gaps TO jobu_app;
GRANT INSERT ON audit_log TO jobu_app;  -- written once: neither read, changed nor deleted
GRANT SELECT ON jobu_migrations, dispatch_ledger TO jobu_app;
GRANT USAGE ON SEQUENCE job_executions_id_seq TO jobu_app;  -- ids are drawn before the insert

GRANT SELECT ON ALL TABLES IN SCHEMA public TO jobu_read;
