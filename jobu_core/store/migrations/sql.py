"""Function, trigger and view of the job store, as the first revision creates them.

The text of an applied revision never changes; a later one replaces objects.
"""

from __future__ import annotations

from typing import Final, LiteralString

JOBU_NOW: Final[LiteralString] = """
CREATE FUNCTION jobu_now() RETURNS timestamptz
LANGUAGE sql VOLATILE
AS $$
  SELECT coalesce(
    nullif(current_setting('jobu.now', true), '')::timestamptz,
    clock_timestamp())
$$
"""

CHECK_TRANSITION: Final[LiteralString] = """
CREATE FUNCTION jobu_check_transition() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
  IF NOT (
       (OLD.status = 'PENDING' AND NEW.status IN ('QUEUED', 'CANCELED', 'FAILED'))
    OR (OLD.status = 'QUEUED'  AND NEW.status IN ('RUNNING', 'PENDING', 'CANCELED', 'FAILED'))
    OR (OLD.status = 'RUNNING' AND NEW.status IN
          ('SUCCESS', 'FAILED', 'TIMEOUT', 'CANCELED', 'PENDING')))
  THEN
    RAISE EXCEPTION 'execution %: % -> % is not a transition of jobu',
      OLD.id, OLD.status, NEW.status
      USING ERRCODE = 'check_violation', CONSTRAINT = 'job_executions_transition';
  END IF;
  RETURN NEW;
END
$$
"""

TRANSITION_TRIGGER: Final[LiteralString] = """
CREATE TRIGGER job_executions_transition
BEFORE UPDATE OF status ON job_executions
FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
EXECUTE FUNCTION jobu_check_transition()
"""

DISPATCH_LEDGER: Final[LiteralString] = """
CREATE VIEW dispatch_ledger AS
  SELECT 'execution'::text AS kind, param_source::text AS source,
         job_id, scheduled_time, NULL::timestamptz AS until,
         kafka_topic::text AS topic, kafka_generation AS generation,
         kafka_partition AS partition, kafka_offset AS from_offset,
         kafka_offset + 1 AS to_offset,
         1::bigint AS count, id AS execution_id, status::text AS outcome,
         created_at AS decided_at
    FROM job_executions
   WHERE trigger IN ('schedule', 'event')
  UNION ALL
  SELECT 'dead_letter', 'event', NULL, NULL, NULL, topic, generation, partition,
         "offset", "offset" + 1, 1, execution_id, code, created_at
    FROM dead_letters
  UNION ALL
  SELECT 'skip', 'cron', job_id, scheduled_time, until, NULL, NULL, NULL, NULL, NULL,
         count, NULL, reason, decided_at
    FROM dispatch_skips
  UNION ALL
  SELECT 'gap', 'event', NULL, NULL, NULL, topic, generation, partition,
         from_offset, to_offset, to_offset - from_offset, NULL, 'gap', decided_at
    FROM offset_gaps
"""

INSTALLATION: Final[LiteralString] = """
INSERT INTO jobu_meta (key, value) VALUES ('installation', gen_random_uuid()::text)
"""
