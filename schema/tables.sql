-- The business tables, of which Directus is the owner: the one source of this folder. `make schema`
-- writes snapshot.yaml and extra.sql from it; tests and the demo run it where no Directus is.
--
-- What a person enters is exact (numeric), what a device measured is double precision. Objects of
-- several tables (object_id, belongs_to_id) are named without a foreign key, and so is a device in
-- what we write: there device_id is the IMEI, the name that a position has. A row that was computed
-- goes with what it was computed of; what a human decided or published keeps its stage and event
-- from being deleted.

-- Directus makes this one. Here it stands for it, so that the keys of persons lead somewhere.
CREATE TABLE directus_users (
    id uuid PRIMARY KEY
);

-- ------------------------------------------------------------------------------ people and devices

CREATE TABLE organizations (
    id   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL,
    slug text NOT NULL UNIQUE
);

CREATE TABLE organization_users (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    user_id         uuid NOT NULL REFERENCES directus_users ON DELETE CASCADE,
    role            text CHECK (role IN ('org-admin', 'race-director', 'marshal', 'timekeeper',
                                         'participant', 'viewer')),
    UNIQUE (organization_id, user_id)
);
CREATE INDEX ON organization_users (user_id);

CREATE TABLE devices (
    id    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    imei  text NOT NULL UNIQUE,
    model text NOT NULL
);

CREATE TABLE io_mappings (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    model      text NOT NULL, -- a name, or a glob such as FMB*
    io_id      integer NOT NULL,
    name       text NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('int', 'uint', 'bool', 'enum', 'hex', 'text')),
    bytes      integer,
    multiplier double precision,
    offset_    double precision,
    unit       text,
    values     jsonb,
    UNIQUE (model, io_id)
);

-- ----------------------------------------------------------------------------- an event, its entries

CREATE TABLE events (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES organizations,
    name            text NOT NULL,
    slug            text NOT NULL,
    discipline      text NOT NULL CHECK (discipline IN ('rally', 'time-trial', 'regatta',
                                                        'trail-run', 'hike')),
    starts_at       timestamptz NOT NULL,
    ends_at         timestamptz NOT NULL,
    timezone        text DEFAULT 'UTC', -- IANA's name
    UNIQUE (organization_id, slug)
);

CREATE TABLE classes (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    event_id   uuid NOT NULL REFERENCES events ON DELETE CASCADE,
    code       text NOT NULL,
    name       text NOT NULL,
    sort_order integer,
    UNIQUE (event_id, code)
);

CREATE TABLE entries (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    event_id    uuid NOT NULL REFERENCES events ON DELETE CASCADE,
    class_id    uuid NOT NULL REFERENCES classes,
    vehicle_id  uuid,
    race_number integer NOT NULL,
    status      text NOT NULL CHECK (status IN ('registered', 'confirmed', 'started', 'finished',
                                                'retired', 'disqualified', 'did-not-start',
                                                'withdrawn')),
    UNIQUE (event_id, race_number)
);
CREATE INDEX ON entries (class_id);

CREATE TABLE entry_crew (
    id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    entry_id uuid NOT NULL REFERENCES entries ON DELETE CASCADE,
    user_id  uuid NOT NULL REFERENCES directus_users ON DELETE CASCADE,
    role     text,
    UNIQUE (entry_id, user_id)
);
CREATE INDEX ON entry_crew (user_id);

CREATE TABLE entry_devices (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    entry_id         uuid NOT NULL REFERENCES entries ON DELETE CASCADE,
    device_id        uuid NOT NULL REFERENCES devices,
    assigned_user_id uuid REFERENCES directus_users ON DELETE SET NULL, -- set: worn by a person
    valid_from       timestamptz,
    valid_to         timestamptz,
    priority         integer
);
CREATE INDEX ON entry_devices (entry_id);
CREATE INDEX ON entry_devices (device_id);

-- ---------------------------------------------------------------------------------------- a course

CREATE TABLE stages (
    id                          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    event_id                    uuid NOT NULL REFERENCES events ON DELETE CASCADE,
    name                        text NOT NULL,
    sort_order                  integer NOT NULL,
    role                        text,
    starts_at                   timestamptz,
    ends_at                     timestamptz,
    closes_at                   timestamptz,
    start_interval_seconds      integer,
    start_order_strategy        text CHECK (start_order_strategy IN (
                                    'manual', 'previous_stage_clean_result',
                                    'inverse_top_n_then_natural', 'inverse_of_overall')),
    start_order_strategy_params jsonb,
    start_order_input_stage_id  uuid REFERENCES stages ON DELETE SET NULL,
    coefficient                 numeric(10, 6) DEFAULT 1,
    time_resolution_ms          integer DEFAULT 1000 CHECK (time_resolution_ms IN (1000, 100, 10, 1))
);
CREATE INDEX ON stages (event_id);

CREATE TABLE segments (
    id                       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    stage_id                 uuid NOT NULL REFERENCES stages ON DELETE CASCADE,
    sort_order               integer NOT NULL,
    type                     text NOT NULL CHECK (type IN ('liaison', 'special-stage', 'parc-ferme',
                                                           'neutralisation')),
    entry_geofence_id        uuid,
    exit_geofence_id         uuid,
    target_duration_seconds  integer,
    maximum_duration_seconds integer,
    start_rule               text DEFAULT 'assigned'
                             CHECK (start_rule IN ('assigned', 'last-exit', 'first-exit', 'first-enter')),
    opens_at                 timestamptz,
    start_closes_at          timestamptz,
    closes_at                timestamptz,
    laps                     integer
);
CREATE INDEX ON segments (stage_id);

CREATE TABLE geofences (
    id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    event_id            uuid NOT NULL REFERENCES events ON DELETE CASCADE,
    name                text NOT NULL,
    kind                text NOT NULL CHECK (kind IN ('start', 'checkpoint', 'finish', 'time-control',
                                                      'parc-ferme', 'neutralisation', 'info')),
    geometry            jsonb NOT NULL, -- GeoJSON: a polygon, a line (a gate) or a point with radius_m
    radius_m            numeric(10, 3),
    direction_deg       numeric(6, 3),
    segment_id          uuid REFERENCES segments ON DELETE SET NULL,
    sort_order          integer,
    manual_verification boolean DEFAULT false,
    retroactive         boolean DEFAULT false
);
CREATE INDEX ON geofences (event_id);
CREATE INDEX ON geofences (segment_id);

-- Segments and geofences name each other.
ALTER TABLE segments
    ADD FOREIGN KEY (entry_geofence_id) REFERENCES geofences ON DELETE SET NULL,
    ADD FOREIGN KEY (exit_geofence_id) REFERENCES geofences ON DELETE SET NULL;

CREATE TABLE waypoints (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    segment_id       uuid NOT NULL REFERENCES segments ON DELETE CASCADE,
    name             text,
    kind             text CHECK (kind IN ('WPV', 'WPM', 'WPE', 'WPS', 'WPC', 'WPN', 'WPP', 'DZ', 'FZ',
                                          'DN', 'FN', 'stop')),
    location         jsonb NOT NULL, -- GeoJSON, a point
    tolerance_meters numeric(10, 3) NOT NULL, -- the radius of validation
    open_meters      numeric(10, 3),
    sort_order       integer NOT NULL,
    speed_limit_kmh  numeric(6, 3),
    duration_seconds integer
);
CREATE INDEX ON waypoints (segment_id);

CREATE TABLE speed_limit_zones (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    segment_id        uuid NOT NULL REFERENCES segments ON DELETE CASCADE,
    name              text,
    geometry          jsonb NOT NULL, -- GeoJSON, a polygon
    limit_kmh         numeric(6, 3) NOT NULL,
    tolerance_kmh     numeric(6, 3) DEFAULT 0,
    tolerance_seconds numeric(10, 3) DEFAULT 0
);
CREATE INDEX ON speed_limit_zones (segment_id);

-- ------------------------------------------------------------------------------ rules and decisions

CREATE TABLE penalty_formulas (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    event_id        uuid NOT NULL REFERENCES events ON DELETE CASCADE,
    belongs_to_type text CHECK (belongs_to_type IN ('event', 'stage', 'segment', 'class')),
    belongs_to_id   uuid,
    type            text NOT NULL,
    offence_min     numeric(14, 6) NOT NULL,
    offence_max     numeric(14, 6), -- null: no upper end
    operator        text NOT NULL,
    penalty         numeric(14, 6) NOT NULL,
    params          jsonb,
    retroactive     boolean DEFAULT false,
    enabled         boolean NOT NULL DEFAULT true
);
CREATE INDEX ON penalty_formulas (event_id);

CREATE TABLE rulings (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    event_id      uuid NOT NULL REFERENCES events,
    entry_id      uuid REFERENCES entries,
    stage_id      uuid REFERENCES stages,
    segment_id    uuid REFERENCES segments,
    object_id     uuid,
    pass          integer,
    kind          text NOT NULL CHECK (kind IN ('set-time', 'set-start', 'void-pass', 'validate',
                                                'invalidate', 'waive', 'override', 'add-penalty',
                                                'set-status', 'choose-device', 'confirm')),
    value         jsonb,
    evidence_from timestamptz,
    evidence_to   timestamptz,
    source        text NOT NULL CHECK (source IN ('marshal-card', 'photocell', 'radio', 'video',
                                                  'steward')),
    reason        text NOT NULL,
    decided_by    uuid NOT NULL REFERENCES directus_users,
    decided_at    timestamptz NOT NULL,
    supersedes    uuid REFERENCES rulings
);
CREATE INDEX ON rulings (event_id);
CREATE INDEX ON rulings (entry_id);

-- ------------------------------------------------------------------------------- written by racing

CREATE TABLE entry_segment_starts (
    id              uuid PRIMARY KEY,
    natural_key     text NOT NULL UNIQUE,
    entry_id        uuid NOT NULL REFERENCES entries ON DELETE CASCADE,
    segment_id      uuid NOT NULL REFERENCES segments ON DELETE CASCADE,
    start_position  integer,
    target_at       timestamptz,
    manual_override boolean NOT NULL
);
CREATE INDEX ON entry_segment_starts (entry_id);
CREATE INDEX ON entry_segment_starts (segment_id);

CREATE TABLE entry_crossings (
    id           uuid PRIMARY KEY,
    natural_key  text NOT NULL UNIQUE,
    entry_id     uuid NOT NULL REFERENCES entries ON DELETE CASCADE,
    device_id    text NOT NULL,
    object_id    uuid NOT NULL,
    object_type  text NOT NULL CHECK (object_type IN ('geofence', 'waypoint', 'zone')),
    kind         text NOT NULL CHECK (kind IN ('enter', 'exit', 'cross')),
    direction_ok boolean,
    ts           timestamptz NOT NULL,
    before_ts    timestamptz NOT NULL,
    after_ts     timestamptz NOT NULL,
    latitude     double precision NOT NULL,
    longitude    double precision NOT NULL,
    speed_kmh    double precision,
    visit_id     uuid,
    provisional  boolean NOT NULL
);
CREATE INDEX ON entry_crossings (entry_id, ts);

CREATE TABLE timing_records (
    id             uuid PRIMARY KEY,
    natural_key    text NOT NULL UNIQUE,
    entry_id       uuid NOT NULL REFERENCES entries ON DELETE CASCADE,
    stage_id       uuid NOT NULL REFERENCES stages ON DELETE CASCADE,
    segment_id     uuid NOT NULL REFERENCES segments ON DELETE CASCADE,
    kind           text NOT NULL CHECK (kind IN ('start', 'split', 'waypoint', 'time-control',
                                                 'finish')),
    object_id      uuid,
    pass           integer NOT NULL,
    sequence       integer,
    ts             timestamptz,
    official_ts    timestamptz,
    computed_ts    timestamptz,
    uncertainty_ms integer,
    distance_m     double precision,
    status         text NOT NULL CHECK (status IN ('ok', 'missed', 'unverified', 'provisional')),
    source         text NOT NULL CHECK (source IN ('gps', 'assigned', 'ruling')),
    device_id      text,
    crossing_keys  jsonb,
    ruling_id      uuid REFERENCES rulings,
    explanation    jsonb NOT NULL
);
CREATE INDEX ON timing_records (stage_id, entry_id);
CREATE INDEX ON timing_records (entry_id);

CREATE TABLE entry_penalties (
    id               uuid PRIMARY KEY,
    natural_key      text NOT NULL UNIQUE,
    entry_id         uuid NOT NULL REFERENCES entries ON DELETE CASCADE,
    stage_id         uuid NOT NULL REFERENCES stages ON DELETE CASCADE,
    segment_id       uuid REFERENCES segments ON DELETE CASCADE,
    type             text NOT NULL,
    object_id        uuid,
    pass             integer,
    occurrence       integer,
    formula_id       uuid REFERENCES penalty_formulas ON DELETE SET NULL,
    formula_snapshot jsonb NOT NULL,
    inputs           jsonb NOT NULL,
    computed_seconds numeric(14, 6) NOT NULL,
    penalty_seconds  numeric(14, 6) NOT NULL, -- after rulings
    outcome          text NOT NULL CHECK (outcome IN ('time', 'did-not-finish', 'over-time-limit',
                                                      'disqualified', 'review')),
    ruling_id        uuid REFERENCES rulings,
    evidence_from    timestamptz,
    evidence_to      timestamptz,
    explanation      jsonb NOT NULL
);
CREATE INDEX ON entry_penalties (stage_id, entry_id);
CREATE INDEX ON entry_penalties (entry_id);

CREATE TABLE stage_results (
    id             uuid PRIMARY KEY,
    natural_key    text NOT NULL UNIQUE,
    stage_id       uuid NOT NULL REFERENCES stages ON DELETE CASCADE,
    entry_id       uuid NOT NULL REFERENCES entries ON DELETE CASCADE,
    status         text NOT NULL CHECK (status IN ('waiting', 'running', 'finished', 'over-time-limit',
                                                   'did-not-finish', 'did-not-start', 'disqualified')),
    started_at     timestamptz,
    finished_at    timestamptz,
    elapsed_ms     integer,
    neutralised_ms integer,
    gross_ms       integer,
    penalty_ms     integer NOT NULL,
    total_ms       integer,
    uncertainty_ms integer,
    position       integer,
    gap_ms         integer,
    class_position integer,
    class_gap_ms   integer,
    tied_with      jsonb,
    splits         jsonb NOT NULL,
    provisional    boolean NOT NULL,
    waiting_for    jsonb,
    course_version text NOT NULL,
    rules_version  text NOT NULL,
    updated_at     timestamptz NOT NULL
);
CREATE INDEX ON stage_results (stage_id, position);
CREATE INDEX ON stage_results (entry_id);

CREATE TABLE event_results (
    id             uuid PRIMARY KEY,
    natural_key    text NOT NULL UNIQUE,
    event_id       uuid NOT NULL REFERENCES events ON DELETE CASCADE,
    entry_id       uuid NOT NULL REFERENCES entries ON DELETE CASCADE,
    status         text NOT NULL CHECK (status IN ('waiting', 'running', 'finished', 'over-time-limit',
                                                   'did-not-finish', 'did-not-start', 'disqualified')),
    total_ms       integer,
    position       integer,
    gap_ms         integer,
    class_position integer,
    class_gap_ms   integer,
    stages         jsonb NOT NULL,
    provisional    boolean NOT NULL,
    updated_at     timestamptz NOT NULL
);
CREATE INDEX ON event_results (event_id, position);
CREATE INDEX ON event_results (entry_id);

CREATE TABLE review_items (
    id            uuid PRIMARY KEY,
    natural_key   text NOT NULL UNIQUE,
    event_id      uuid NOT NULL REFERENCES events ON DELETE CASCADE,
    entry_id      uuid REFERENCES entries ON DELETE CASCADE,
    stage_id      uuid REFERENCES stages ON DELETE CASCADE,
    segment_id    uuid REFERENCES segments ON DELETE CASCADE,
    object_id     uuid,
    what          text NOT NULL CHECK (what IN (
                      'near-miss', 'gap-over-object', 'devices-disagree', 'implausible-fix',
                      'manual-verification', 'ruling-without-offence',
                      'results-changed-after-publication', 'late-start', 'finish-out-of-order',
                      'neutralisation-open', 'zone-open', 'rule')),
    message       text NOT NULL,
    evidence      jsonb NOT NULL,
    pass          integer,
    evidence_from timestamptz,
    evidence_to   timestamptz,
    opened_at     timestamptz NOT NULL,
    closed_at     timestamptz,
    ruling_id     uuid REFERENCES rulings
);
CREATE INDEX ON review_items (event_id);
CREATE INDEX ON review_items (entry_id);

CREATE TABLE publications (
    id            uuid PRIMARY KEY,
    natural_key   text NOT NULL UNIQUE,
    stage_id      uuid REFERENCES stages,
    event_id      uuid REFERENCES events,
    class_id      uuid REFERENCES classes,
    version       integer NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('provisional', 'official', 'amended')),
    results       jsonb NOT NULL,
    content_hash  text NOT NULL,
    published_at  timestamptz NOT NULL,
    published_by  text NOT NULL, -- as the command or the request named its author
    protest_until timestamptz,
    note          text,
    CHECK (num_nonnulls(stage_id, event_id) = 1)
);
CREATE INDEX ON publications (stage_id);
CREATE INDEX ON publications (event_id);
