CREATE TABLE arrivals (
    id INTEGER NOT NULL,
    sop_uid TEXT DEFAULT '' NOT NULL,
    path TEXT DEFAULT '' NOT NULL,
    source TEXT DEFAULT '' NOT NULL,
    calling_ae TEXT DEFAULT '' NOT NULL,
    outcome VARCHAR(16) NOT NULL,
    reason TEXT DEFAULT '' NOT NULL,
    arrived_at DOUBLE NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX ix_arrivals_outcome ON arrivals (outcome);

CREATE INDEX ix_arrivals_path ON arrivals (path);

CREATE TABLE audit (
    id BIGINT NOT NULL,
    at DOUBLE NOT NULL,
    actor TEXT DEFAULT '' NOT NULL,
    action TEXT DEFAULT '' NOT NULL,
    subject TEXT DEFAULT '' NOT NULL,
    detail TEXT DEFAULT '' NOT NULL,
    previous TEXT DEFAULT '' NOT NULL,
    hash TEXT DEFAULT '' NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX ix_audit_subject ON audit (subject);

CREATE TABLE cursors (
    name TEXT NOT NULL,
    value TEXT DEFAULT '' NOT NULL,
    updated_at DOUBLE NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE films (
    id INTEGER NOT NULL,
    sop_uid TEXT NOT NULL,
    study_uid TEXT DEFAULT '' NOT NULL,
    series_uid TEXT DEFAULT '' NOT NULL,
    patient_id TEXT DEFAULT '' NOT NULL,
    path TEXT DEFAULT '' NOT NULL,
    pixel_sha256 TEXT DEFAULT '' NOT NULL,
    size_bytes BIGINT DEFAULT '0' NOT NULL,
    sop_class_uid TEXT DEFAULT '' NOT NULL,
    modality TEXT DEFAULT '' NOT NULL,
    study_date TEXT DEFAULT '' NOT NULL,
    accession_number TEXT DEFAULT '' NOT NULL,
    source TEXT DEFAULT '' NOT NULL,
    calling_ae TEXT DEFAULT '' NOT NULL,
    priority VARCHAR(16) NOT NULL,
    rank DOUBLE NOT NULL,
    state VARCHAR(16) NOT NULL,
    reason TEXT DEFAULT '' NOT NULL,
    attempts INTEGER DEFAULT '0' NOT NULL,
    available_at DOUBLE NOT NULL,
    lease_owner TEXT DEFAULT '' NOT NULL,
    lease_until DOUBLE,
    received_at DOUBLE NOT NULL,
    finished_at DOUBLE,
    model_digest TEXT DEFAULT '' NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (sop_uid)
);

CREATE INDEX ix_films_lease_owner ON films (lease_owner);

CREATE INDEX ix_films_path ON films (path);

CREATE INDEX ix_films_queue ON films (state, rank);

CREATE INDEX ix_films_study_uid ON films (study_uid);

CREATE TABLE outbox (
    id INTEGER NOT NULL,
    kind VARCHAR(16) NOT NULL,
    destination TEXT NOT NULL,
    sop_uid TEXT NOT NULL,
    study_uid TEXT DEFAULT '' NOT NULL,
    model_digest TEXT NOT NULL,
    state VARCHAR(16) NOT NULL,
    attempts INTEGER DEFAULT '0' NOT NULL,
    available_at DOUBLE NOT NULL,
    lease_owner TEXT DEFAULT '' NOT NULL,
    lease_until DOUBLE,
    last_status TEXT DEFAULT '' NOT NULL,
    last_error TEXT DEFAULT '' NOT NULL,
    object_uid TEXT DEFAULT '' NOT NULL,
    created_at DOUBLE NOT NULL,
    delivered_at DOUBLE,
    PRIMARY KEY (id),
    CONSTRAINT uq_outbox_key UNIQUE (kind, destination, sop_uid, model_digest)
);

CREATE INDEX ix_outbox_object_uid ON outbox (object_uid);

CREATE INDEX ix_outbox_queue ON outbox (state, available_at);

CREATE INDEX ix_outbox_study_uid ON outbox (study_uid);

CREATE TABLE quarantine (
    id INTEGER NOT NULL,
    film_id INTEGER,
    sop_uid TEXT DEFAULT '' NOT NULL,
    study_uid TEXT DEFAULT '' NOT NULL,
    path TEXT DEFAULT '' NOT NULL,
    reason VARCHAR(64) NOT NULL,
    message TEXT DEFAULT '' NOT NULL,
    source TEXT DEFAULT '' NOT NULL,
    calling_ae TEXT DEFAULT '' NOT NULL,
    quarantined_at DOUBLE NOT NULL,
    resolved_at DOUBLE,
    resolution TEXT DEFAULT '' NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX ix_quarantine_film_id ON quarantine (film_id);

CREATE INDEX ix_quarantine_path ON quarantine (path);

CREATE INDEX ix_quarantine_reason ON quarantine (reason);

CREATE INDEX ix_quarantine_study_uid ON quarantine (study_uid);

CREATE TABLE results (
    id INTEGER NOT NULL,
    sop_uid TEXT NOT NULL,
    study_uid TEXT DEFAULT '' NOT NULL,
    model_digest TEXT NOT NULL,
    model_name TEXT DEFAULT '' NOT NULL,
    model_version TEXT DEFAULT '' NOT NULL,
    runtime TEXT DEFAULT '' NOT NULL,
    findings JSON NOT NULL,
    logits JSON NOT NULL,
    probabilities JSON NOT NULL,
    positive JSON NOT NULL,
    flags JSON NOT NULL,
    quality JSON NOT NULL,
    "view" TEXT DEFAULT '' NOT NULL,
    sex TEXT DEFAULT '' NOT NULL,
    age DOUBLE,
    manufacturer TEXT DEFAULT '' NOT NULL,
    predicted_at DOUBLE NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT uq_results_key UNIQUE (sop_uid, model_digest)
);

CREATE INDEX ix_results_study_uid ON results (study_uid);

CREATE TABLE reviews (
    id INTEGER NOT NULL,
    sop_uid TEXT NOT NULL,
    study_uid TEXT DEFAULT '' NOT NULL,
    finding TEXT NOT NULL,
    model_digest TEXT NOT NULL,
    label_agrees INTEGER,
    location_agrees INTEGER,
    corrected_label INTEGER,
    note TEXT DEFAULT '' NOT NULL,
    reader TEXT NOT NULL,
    seconds_to_read DOUBLE,
    reviewed_at DOUBLE NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX ix_reviews_film ON reviews (sop_uid, finding);

CREATE INDEX ix_reviews_study_uid ON reviews (study_uid);

CREATE TABLE schema_version (
    version INTEGER NOT NULL,
    applied_at DOUBLE NOT NULL,
    PRIMARY KEY (version)
);

CREATE TABLE studies (
    study_uid TEXT NOT NULL,
    patient_id TEXT DEFAULT '' NOT NULL,
    accession_number TEXT DEFAULT '' NOT NULL,
    study_date TEXT DEFAULT '' NOT NULL,
    status VARCHAR(16) DEFAULT 'waiting' NOT NULL,
    n_films INTEGER DEFAULT '0' NOT NULL,
    n_scored INTEGER DEFAULT '0' NOT NULL,
    n_quarantined INTEGER DEFAULT '0' NOT NULL,
    n_open INTEGER DEFAULT '0' NOT NULL,
    positive TEXT DEFAULT '' NOT NULL,
    urgency INTEGER DEFAULT '4' NOT NULL,
    max_probability DOUBLE,
    rank DOUBLE,
    first_received_at DOUBLE,
    last_received_at DOUBLE,
    finished_at DOUBLE,
    is_open INTEGER DEFAULT '1' NOT NULL,
    opened_at DOUBLE,
    version INTEGER DEFAULT '0' NOT NULL,
    n_reviews INTEGER DEFAULT '0' NOT NULL,
    last_review_at DOUBLE,
    PRIMARY KEY (study_uid)
);

CREATE INDEX ix_studies_accession_number ON studies (accession_number);

CREATE INDEX ix_studies_list ON studies (status, urgency, rank);

CREATE INDEX ix_studies_open ON studies (is_open, last_received_at);

CREATE INDEX ix_studies_patient_id ON studies (patient_id);

CREATE INDEX ix_studies_received ON studies (last_received_at);
