-- Old chunks of positions: dropped and compressed by functions that run as the owner, so that the
-- service needs no ownership; and a book of what was dropped, for whoever asks for it later.

CREATE TABLE processor.retention (
    from_ts    timestamptz NOT NULL,
    before_ts  timestamptz NOT NULL,
    dropped_at timestamptz NOT NULL DEFAULT now(),
    dropped_by text        NOT NULL,
    chunks     integer     NOT NULL DEFAULT 1,
    PRIMARY KEY (from_ts, before_ts)
);

COMMENT ON TABLE processor.retention IS
    'time ranges whose chunks were dropped: what lies in one is beyond retention; the greatest before_ts is the horizon';
COMMENT ON COLUMN processor.retention.chunks IS
    'how often: late fixes make a new chunk, which is dropped in its turn';

-- The time ranges of which nothing is dropped. An event reaches from the earliest to the latest of its
-- own and its stages' times, whichever way round they were entered, and a day beyond: a chord over a
-- start lies on both sides of it. It is open until all that is `keep` ago; and, where racing's closures
-- are, until each of its stages is in them. Where no table `events` is, nothing is open. Where it cannot
-- be read, this fails, and so nothing is dropped.
CREATE FUNCTION processor.open_events(keep interval)
    RETURNS TABLE (from_ts timestamptz, to_ts timestamptz)
    LANGUAGE plpgsql
    STABLE
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC' -- of an instant that Directus keeps without a zone
    SET row_security = off -- rows that a policy hides would be events that are not protected
AS $$
DECLARE
    stages text := $stages$ VALUES (NULL::text, NULL::timestamptz, NULL::timestamptz, false) $stages$;
    closed text := 'true';
BEGIN
    IF to_regclass('public.events') IS NULL THEN
        RETURN;
    END IF;
    IF to_regclass('processor.closures') IS NOT NULL THEN
        closed := 'EXISTS (SELECT FROM processor.closures AS closure'
            ' WHERE closure.stage_id::text = stages.id::text)';
    END IF;
    IF to_regclass('public.stages') IS NOT NULL THEN
        -- A name that stages does not have means that of `missing`.
        stages := format($stages$
            SELECT stage.* FROM (SELECT NULL::timestamptz AS closes_at) AS missing
            CROSS JOIN LATERAL (
                SELECT event_id::text,
                    least(starts_at::timestamptz, ends_at::timestamptz, closes_at::timestamptz),
                    greatest(starts_at::timestamptz, ends_at::timestamptz, closes_at::timestamptz),
                    NOT (%s)
                FROM public.stages
            ) AS stage
        $stages$, closed);
    END IF;
    RETURN QUERY EXECUTE format($spans$
        SELECT least(since, until, earliest) - interval '1 day',
            greatest(since, until, latest) + interval '1 day'
        FROM (
            SELECT coalesce(event.starts_at::timestamptz, '-infinity') AS since,
                coalesce(event.ends_at::timestamptz, 'infinity') AS until,
                min(stage.since) AS earliest, max(stage.until) AS latest,
                coalesce(bool_or(stage.unclosed), false) AS unclosed
            FROM public.events AS event
            LEFT JOIN (%s) AS stage (event, since, until, unclosed) ON stage.event = event.id::text
            GROUP BY event.id
        ) AS reach
        WHERE unclosed OR greatest(since, until, latest) > now() - $1
    $spans$, stages) USING keep;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE insufficient_privilege USING MESSAGE = format(
            'nothing is dropped, because %I may not read which events are open: %s',
            current_user, SQLERRM);
    WHEN undefined_column OR undefined_function OR cannot_coerce OR invalid_datetime_format THEN
        RAISE undefined_column USING MESSAGE = format(
            'nothing is dropped, because the events are not as they should be: %s', SQLERRM);
END
$$;

-- Drop at most `most` chunks that end `keep` ago or earlier, the oldest first, and write down which.
-- `kept` are those that are old enough and of an open event. Of several callers at once all but the
-- first do nothing (`kept` is NULL then), and no lock is waited for longer than half a second: what is
-- left is left to the next call.
CREATE FUNCTION processor.drop_old_chunks(
    keep interval, most integer, who text, OUT dropped integer, OUT kept integer
)
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '500ms' -- below deadlock_timeout: where a writer and this wait for each other, this gives up
AS $$
DECLARE
    extension text := (SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'timescaledb');
    chunk record;
BEGIN
    dropped := 0;
    -- Whoever may call this may not take everything away with it.
    IF keep IS NULL OR keep < interval '1 day' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'nothing younger than a day is dropped';
    END IF;
    IF extension IS NULL THEN
        RAISE feature_not_supported USING MESSAGE = 'only TimescaleDB has chunks to drop';
    END IF;
    IF NOT pg_try_advisory_xact_lock(x'70726f64'::integer) THEN -- `prod` in ASCII
        RETURN;
    END IF;
    kept := 0;
    FOR chunk IN
        WITH open AS MATERIALIZED (SELECT * FROM processor.open_events(keep))
        SELECT range_start AS since, range_end AS before, EXISTS (
            SELECT FROM open WHERE open.from_ts < range_end AND open.to_ts >= range_start
        ) AS open
        FROM timescaledb_information.chunks
        WHERE (hypertable_schema, hypertable_name) = ('public', 'positions')
            AND range_end <= now() - keep
        ORDER BY range_start
    LOOP
        IF chunk.open THEN
            kept := kept + 1;
        ELSIF dropped < most THEN
            EXECUTE format(
                'SELECT FROM %s.drop_chunks(''public.positions'', older_than => $1, newer_than => $2)',
                extension
            ) USING chunk.before, chunk.since;
            INSERT INTO processor.retention AS book (from_ts, before_ts, dropped_by)
            VALUES (chunk.since, chunk.before, who)
            ON CONFLICT (from_ts, before_ts) DO UPDATE
            SET dropped_at = excluded.dropped_at, dropped_by = who, chunks = book.chunks + 1;
            dropped := dropped + 1;
        END IF;
    END LOOP;
END
$$;

-- Compress at most `most` chunks that end `after` ago or earlier, the oldest first. Where compression
-- has not been set up for the table, it is: a device's fixes together, in the order of time.
CREATE FUNCTION processor.compress_old_chunks(after interval, most integer, OUT compressed integer)
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '500ms'
AS $$
DECLARE
    extension text := (SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'timescaledb');
    chunk regclass;
BEGIN
    compressed := 0;
    IF extension IS NULL THEN
        RAISE feature_not_supported USING MESSAGE = 'only TimescaleDB has chunks to compress';
    END IF;
    IF NOT pg_try_advisory_xact_lock(x'70726f64'::integer) THEN
        RETURN;
    END IF;
    IF NOT EXISTS (
        SELECT FROM timescaledb_information.hypertables
        WHERE (hypertable_schema, hypertable_name) = ('public', 'positions') AND compression_enabled
    ) THEN
        ALTER TABLE public.positions SET (
            timescaledb.compress,
            timescaledb.compress_segmentby = 'device_id',
            timescaledb.compress_orderby = 'ts'
        );
    END IF;
    FOR chunk IN
        SELECT format('%I.%I', chunk_schema, chunk_name)::regclass
        FROM timescaledb_information.chunks
        WHERE (hypertable_schema, hypertable_name) = ('public', 'positions')
            AND range_end <= now() - after AND NOT is_compressed
        ORDER BY range_start
        LIMIT most
    LOOP
        EXECUTE format('SELECT %s.compress_chunk($1)', extension) USING chunk;
        compressed := compressed + 1;
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION processor.open_events(interval) FROM PUBLIC;
REVOKE ALL ON FUNCTION processor.drop_old_chunks(interval, integer, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION processor.compress_old_chunks(interval, integer) FROM PUBLIC;
