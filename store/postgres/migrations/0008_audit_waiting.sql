-- What a transaction has to log waits for its place in the chain in one row, and not
-- in one for each entry. The first two statements let all of this be done again where
-- schema changes are not transactional.
ALTER TABLE IF EXISTS audit_inbox RENAME TO audit_inbox_before;
CREATE TABLE IF NOT EXISTS audit_inbox_before (
    recorded_at    timestamptz NOT NULL,
    unit_id        text COLLATE "C" NOT NULL,
    position       bigint NOT NULL,
    at             timestamptz,
    type           text COLLATE "C" NOT NULL,
    actor          text NOT NULL,
    account_id     text COLLATE "C" NOT NULL,
    application_id text COLLATE "C" NOT NULL,
    client_id      text COLLATE "C" NOT NULL,
    session_id     text COLLATE "C" NOT NULL,
    address        text NOT NULL,
    details        jsonb NOT NULL,
    PRIMARY KEY (recorded_at, unit_id, position)
);
CREATE TABLE IF NOT EXISTS audit_waiting (
    recorded_at timestamptz NOT NULL,
    unit_id     text COLLATE "C" NOT NULL,
    events      json NOT NULL,
    PRIMARY KEY (recorded_at, unit_id)
);
INSERT INTO audit_waiting (recorded_at, unit_id, events)
    SELECT recorded_at, unit_id, json_agg(json_build_object(
        'At', coalesce(at, '0001-01-01T00:00:00Z'), 'Type', type, 'Actor', actor, 'AccountID', account_id, 'ApplicationID', application_id,
        'ClientID', client_id, 'SessionID', session_id, 'Address', address, 'Details', details) ORDER BY position)
    FROM audit_inbox_before GROUP BY recorded_at, unit_id
    ON CONFLICT (recorded_at, unit_id) DO NOTHING;
DROP TABLE IF EXISTS audit_inbox_before;
