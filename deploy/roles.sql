-- Two roles, and what each may do. Run it with psql, as a superuser, in the service's database:
--
--     psql -d rally -f deploy/roles.sql        # makes the roles
--     processor migrate                        # as the owner, makes the tables
--     psql -d rally -f deploy/roles.sql        # gives the service its rights on them
--
-- Run it again after every `processor migrate` that applied something, and once Directus has its
-- tables: it may be run at any time, and afterwards the service has what stands here, no more.
-- Other names: psql -v owner=NAME -v service=NAME. Roles that are there are taken as they are; new
-- ones have no password yet: \password processor_owner, \password processor_service.
--
-- owner    owns the tables. For `processor migrate`, `migrate --convert` and `processor forget`; and
--          for the service itself where MIGRATE_ON_START is to apply what a new version brings.
-- service  for `processor run` and every other command.

\set ON_ERROR_STOP on
\set QUIET on
\if :{?owner}
\else
  \set owner processor_owner
\endif
\if :{?service}
\else
  \set service processor_service
\endif

BEGIN;
SET LOCAL client_min_messages = warning; -- a right that is there already is not worth a word

SELECT format('CREATE ROLE %I LOGIN', name)
FROM unnest(ARRAY[:'owner', :'service']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
\gexec

SELECT current_database() AS database,
       to_regclass('processor.schema_migrations') IS NOT NULL AS migrated
\gset

-- CREATE on the database is for the schema `processor`, and for the extension timescaledb where an
-- administrator has not made it.
GRANT CONNECT, CREATE ON DATABASE :"database" TO :"owner";
GRANT USAGE, CREATE ON SCHEMA public TO :"owner";

-- TEMPORARY: a batch that may hold duplicates is copied into a temporary table first.
GRANT CONNECT, TEMPORARY ON DATABASE :"database" TO :"service";
GRANT USAGE ON SCHEMA public TO :"service";

\if :migrated
GRANT USAGE ON SCHEMA processor TO :"service";
-- What an older version needed, and this one does not, goes.
REVOKE ALL ON ALL TABLES IN SCHEMA processor FROM :"service";
REVOKE ALL ON ALL SEQUENCES IN SCHEMA processor FROM :"service";
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA processor FROM :"service";
REVOKE ALL ON public.positions FROM :"service";

-- A fix is written once. It may be flagged and decoded anew, never moved and never deleted.
GRANT SELECT, INSERT, UPDATE (faulty, decoded_attributes) ON public.positions TO :"service";
-- To see that nothing is missing; migrate alone writes there.
GRANT SELECT ON processor.schema_migrations TO :"service";
-- Notes are written with the rows, taken by racing, and dropped by age.
GRANT SELECT, INSERT, UPDATE, DELETE ON processor.track_changes TO :"service";
GRANT USAGE ON SEQUENCE processor.track_changes_id_seq TO :"service";
-- Chunks belong to the owner. The service drops and compresses old ones, where its settings say so,
-- through functions that run as the owner and do nothing else.
GRANT EXECUTE ON FUNCTION processor.drop_old_chunks(interval, integer, text) TO :"service";
GRANT EXECUTE ON FUNCTION processor.compress_old_chunks(interval, integer) TO :"service";
\else
\warn 'roles.sql: no tables yet. Run processor migrate as the owner, then this file again.'
\endif

-- Directus's tables, as far as they are there. The live role asks which device drives in which event;
-- the owner, before old chunks are dropped, which events are still open.
SELECT format('GRANT SELECT ON public.%I TO %I', name, role)
FROM (VALUES ('devices', :'service'), ('entries', :'service'), ('entry_devices', :'service'),
             ('events', :'owner'), ('stages', :'owner')) AS needed (name, role)
WHERE to_regclass(format('public.%I', name)) IS NOT NULL
\gexec

COMMIT;
