-- The one table that is ours in the public schema, and racing's work list.

CREATE TABLE public.positions (
    device_id          text             NOT NULL,
    ts                 timestamptz      NOT NULL,
    ingested_at        timestamptz      NOT NULL DEFAULT now(),
    latitude           double precision NOT NULL,
    longitude          double precision NOT NULL,
    altitude           real             NOT NULL,
    angle              real             NOT NULL,
    speed              real             NOT NULL,
    satellites         smallint         NOT NULL,
    priority           smallint         NOT NULL,
    codec              text             NOT NULL,
    attributes         jsonb            NOT NULL,
    faulty             boolean          NOT NULL DEFAULT false,
    decoded_attributes jsonb
);

COMMENT ON COLUMN public.positions.device_id IS 'the IMEI; joins devices.imei, never devices.id';
COMMENT ON COLUMN public.positions.ts IS 'GPS time of the fix';
COMMENT ON COLUMN public.positions.faulty IS 'set by an operator; every read filters faulty = false';

-- A hypertable where TimescaleDB is, an ordinary table elsewhere. Before the indexes, for those of
-- a hypertable are made on each of its chunks.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        PERFORM create_hypertable('public.positions', by_range('ts', INTERVAL '1 day'),
            create_default_indexes => false);
    ELSE
        RAISE WARNING 'positions is an ordinary table, for this database has no TimescaleDB; once it has, `processor migrate --convert` makes it a hypertable';
    END IF;
END
$$;

-- Read backwards, the unique index also serves "newest non-faulty fix of a device".
CREATE UNIQUE INDEX positions_device_id_ts_key ON public.positions (device_id, ts);
CREATE INDEX positions_ts_idx ON public.positions (ts);

CREATE TABLE processor.track_changes (
    id         bigserial   PRIMARY KEY,
    kind       text        NOT NULL,
    noted_at   timestamptz NOT NULL DEFAULT now(),
    device_ids text[],
    from_ts    timestamptz[],
    to_ts      timestamptz[],
    request    jsonb,
    request_id text UNIQUE
);

COMMENT ON TABLE processor.track_changes IS
    'which devices changed between which instants; written with the rows, in one transaction';

-- Notes are dropped by age.
CREATE INDEX track_changes_noted_at_idx ON processor.track_changes (noted_at);
