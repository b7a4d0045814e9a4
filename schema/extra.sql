-- What a Directus snapshot cannot hold. Run it after `schema apply`; it may be run again.
-- Written by `make schema` from tables.sql: change that one.
SET client_min_messages = warning;
BEGIN;

-- Directus makes json, and real, of which a coordinate needs twice the digits.
ALTER TABLE entry_crossings ALTER COLUMN latitude TYPE double precision;
ALTER TABLE entry_crossings ALTER COLUMN longitude TYPE double precision;
ALTER TABLE entry_crossings ALTER COLUMN speed_kmh TYPE double precision;
ALTER TABLE entry_penalties ALTER COLUMN formula_snapshot TYPE jsonb;
ALTER TABLE entry_penalties ALTER COLUMN inputs TYPE jsonb;
ALTER TABLE entry_penalties ALTER COLUMN explanation TYPE jsonb;
ALTER TABLE event_results ALTER COLUMN stages TYPE jsonb;
ALTER TABLE geofences ALTER COLUMN geometry TYPE jsonb;
ALTER TABLE io_mappings ALTER COLUMN multiplier TYPE double precision;
ALTER TABLE io_mappings ALTER COLUMN offset_ TYPE double precision;
ALTER TABLE io_mappings ALTER COLUMN values TYPE jsonb;
ALTER TABLE penalty_formulas ALTER COLUMN params TYPE jsonb;
ALTER TABLE publications ALTER COLUMN results TYPE jsonb;
ALTER TABLE review_items ALTER COLUMN evidence TYPE jsonb;
ALTER TABLE rulings ALTER COLUMN value TYPE jsonb;
ALTER TABLE speed_limit_zones ALTER COLUMN geometry TYPE jsonb;
ALTER TABLE stage_results ALTER COLUMN tied_with TYPE jsonb;
ALTER TABLE stage_results ALTER COLUMN splits TYPE jsonb;
ALTER TABLE stage_results ALTER COLUMN waiting_for TYPE jsonb;
ALTER TABLE stages ALTER COLUMN start_order_strategy_params TYPE jsonb;
ALTER TABLE timing_records ALTER COLUMN distance_m TYPE double precision;
ALTER TABLE timing_records ALTER COLUMN crossing_keys TYPE jsonb;
ALTER TABLE timing_records ALTER COLUMN explanation TYPE jsonb;
ALTER TABLE waypoints ALTER COLUMN location TYPE jsonb;

ALTER TABLE classes DROP CONSTRAINT IF EXISTS classes_event_id_code_key,
    ADD CONSTRAINT classes_event_id_code_key UNIQUE (event_id, code);
ALTER TABLE entries DROP CONSTRAINT IF EXISTS entries_event_id_race_number_key,
    ADD CONSTRAINT entries_event_id_race_number_key UNIQUE (event_id, race_number);
ALTER TABLE entries DROP CONSTRAINT IF EXISTS entries_status_check,
    ADD CONSTRAINT entries_status_check CHECK ((status IN ('registered', 'confirmed', 'started', 'finished', 'retired', 'disqualified', 'did-not-start', 'withdrawn')));
ALTER TABLE entry_crew DROP CONSTRAINT IF EXISTS entry_crew_entry_id_user_id_key,
    ADD CONSTRAINT entry_crew_entry_id_user_id_key UNIQUE (entry_id, user_id);
ALTER TABLE entry_crossings DROP CONSTRAINT IF EXISTS entry_crossings_kind_check,
    ADD CONSTRAINT entry_crossings_kind_check CHECK ((kind IN ('enter', 'exit', 'cross')));
ALTER TABLE entry_crossings DROP CONSTRAINT IF EXISTS entry_crossings_object_type_check,
    ADD CONSTRAINT entry_crossings_object_type_check CHECK ((object_type IN ('geofence', 'waypoint', 'zone')));
ALTER TABLE entry_penalties DROP CONSTRAINT IF EXISTS entry_penalties_outcome_check,
    ADD CONSTRAINT entry_penalties_outcome_check CHECK ((outcome IN ('time', 'did-not-finish', 'over-time-limit', 'disqualified', 'review')));
ALTER TABLE event_results DROP CONSTRAINT IF EXISTS event_results_status_check,
    ADD CONSTRAINT event_results_status_check CHECK ((status IN ('waiting', 'running', 'finished', 'over-time-limit', 'did-not-finish', 'did-not-start', 'disqualified')));
ALTER TABLE events DROP CONSTRAINT IF EXISTS events_organization_id_slug_key,
    ADD CONSTRAINT events_organization_id_slug_key UNIQUE (organization_id, slug);
ALTER TABLE events DROP CONSTRAINT IF EXISTS events_discipline_check,
    ADD CONSTRAINT events_discipline_check CHECK ((discipline IN ('rally', 'time-trial', 'regatta', 'trail-run', 'hike')));
ALTER TABLE geofences DROP CONSTRAINT IF EXISTS geofences_kind_check,
    ADD CONSTRAINT geofences_kind_check CHECK ((kind IN ('start', 'checkpoint', 'finish', 'time-control', 'parc-ferme', 'neutralisation', 'info')));
ALTER TABLE io_mappings DROP CONSTRAINT IF EXISTS io_mappings_model_io_id_key,
    ADD CONSTRAINT io_mappings_model_io_id_key UNIQUE (model, io_id);
ALTER TABLE io_mappings DROP CONSTRAINT IF EXISTS io_mappings_kind_check,
    ADD CONSTRAINT io_mappings_kind_check CHECK ((kind IN ('int', 'uint', 'bool', 'enum', 'hex', 'text')));
ALTER TABLE organization_users DROP CONSTRAINT IF EXISTS organization_users_organization_id_user_id_key,
    ADD CONSTRAINT organization_users_organization_id_user_id_key UNIQUE (organization_id, user_id);
ALTER TABLE organization_users DROP CONSTRAINT IF EXISTS organization_users_role_check,
    ADD CONSTRAINT organization_users_role_check CHECK ((role IN ('org-admin', 'race-director', 'marshal', 'timekeeper', 'participant', 'viewer')));
ALTER TABLE penalty_formulas DROP CONSTRAINT IF EXISTS penalty_formulas_belongs_to_type_check,
    ADD CONSTRAINT penalty_formulas_belongs_to_type_check CHECK ((belongs_to_type IN ('event', 'stage', 'segment', 'class')));
ALTER TABLE publications DROP CONSTRAINT IF EXISTS publications_check,
    ADD CONSTRAINT publications_check CHECK ((num_nonnulls(stage_id, event_id) = 1));
ALTER TABLE publications DROP CONSTRAINT IF EXISTS publications_kind_check,
    ADD CONSTRAINT publications_kind_check CHECK ((kind IN ('provisional', 'official', 'amended')));
ALTER TABLE review_items DROP CONSTRAINT IF EXISTS review_items_what_check,
    ADD CONSTRAINT review_items_what_check CHECK ((what IN ('near-miss', 'gap-over-object', 'devices-disagree', 'implausible-fix', 'manual-verification', 'ruling-without-offence', 'results-changed-after-publication', 'late-start', 'finish-out-of-order', 'neutralisation-open', 'zone-open', 'rule')));
ALTER TABLE rulings DROP CONSTRAINT IF EXISTS rulings_kind_check,
    ADD CONSTRAINT rulings_kind_check CHECK ((kind IN ('set-time', 'set-start', 'void-pass', 'validate', 'invalidate', 'waive', 'override', 'add-penalty', 'set-status', 'choose-device', 'confirm')));
ALTER TABLE rulings DROP CONSTRAINT IF EXISTS rulings_source_check,
    ADD CONSTRAINT rulings_source_check CHECK ((source IN ('marshal-card', 'photocell', 'radio', 'video', 'steward')));
ALTER TABLE segments DROP CONSTRAINT IF EXISTS segments_start_rule_check,
    ADD CONSTRAINT segments_start_rule_check CHECK ((start_rule IN ('assigned', 'last-exit', 'first-exit', 'first-enter')));
ALTER TABLE segments DROP CONSTRAINT IF EXISTS segments_type_check,
    ADD CONSTRAINT segments_type_check CHECK ((type IN ('liaison', 'special-stage', 'parc-ferme', 'neutralisation')));
ALTER TABLE stage_results DROP CONSTRAINT IF EXISTS stage_results_status_check,
    ADD CONSTRAINT stage_results_status_check CHECK ((status IN ('waiting', 'running', 'finished', 'over-time-limit', 'did-not-finish', 'did-not-start', 'disqualified')));
ALTER TABLE stages DROP CONSTRAINT IF EXISTS stages_start_order_strategy_check,
    ADD CONSTRAINT stages_start_order_strategy_check CHECK ((start_order_strategy IN ('manual', 'previous_stage_clean_result', 'inverse_top_n_then_natural', 'inverse_of_overall')));
ALTER TABLE stages DROP CONSTRAINT IF EXISTS stages_time_resolution_ms_check,
    ADD CONSTRAINT stages_time_resolution_ms_check CHECK ((time_resolution_ms IN (1000, 100, 10, 1)));
ALTER TABLE timing_records DROP CONSTRAINT IF EXISTS timing_records_kind_check,
    ADD CONSTRAINT timing_records_kind_check CHECK ((kind IN ('start', 'split', 'waypoint', 'time-control', 'finish')));
ALTER TABLE timing_records DROP CONSTRAINT IF EXISTS timing_records_source_check,
    ADD CONSTRAINT timing_records_source_check CHECK ((source IN ('gps', 'assigned', 'ruling')));
ALTER TABLE timing_records DROP CONSTRAINT IF EXISTS timing_records_status_check,
    ADD CONSTRAINT timing_records_status_check CHECK ((status IN ('ok', 'missed', 'unverified', 'provisional')));
ALTER TABLE waypoints DROP CONSTRAINT IF EXISTS waypoints_kind_check,
    ADD CONSTRAINT waypoints_kind_check CHECK ((kind IN ('WPV', 'WPM', 'WPE', 'WPS', 'WPC', 'WPN', 'WPP', 'DZ', 'FZ', 'DN', 'FN', 'stop')));

CREATE INDEX IF NOT EXISTS entry_crossings_entry_id_ts_idx ON public.entry_crossings USING btree (entry_id, ts);
CREATE INDEX IF NOT EXISTS entry_penalties_stage_id_entry_id_idx ON public.entry_penalties USING btree (stage_id, entry_id);
CREATE INDEX IF NOT EXISTS event_results_event_id_position_idx ON public.event_results USING btree (event_id, "position");
CREATE INDEX IF NOT EXISTS stage_results_stage_id_position_idx ON public.stage_results USING btree (stage_id, "position");
CREATE INDEX IF NOT EXISTS timing_records_stage_id_entry_id_idx ON public.timing_records USING btree (stage_id, entry_id);

COMMIT;
