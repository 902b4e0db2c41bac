-- What clients are told about sessions that ended.
CREATE TABLE IF NOT EXISTS notices (
    id           text COLLATE "C" PRIMARY KEY,
    client_id    text COLLATE "C" NOT NULL,
    account_id   text COLLATE "C" NOT NULL,
    session_id   text COLLATE "C" NOT NULL,
    created_at   timestamptz,
    next_attempt timestamptz,
    attempts     bigint NOT NULL,
    last_error   text NOT NULL,
    given_up_at  timestamptz
);
CREATE INDEX IF NOT EXISTS notices_due ON notices (next_attempt, id);
CREATE INDEX IF NOT EXISTS notices_given_up ON notices (given_up_at);

-- Devices that wait for a decision on another one.
CREATE TABLE IF NOT EXISTS devices (
    hash           text COLLATE "C" PRIMARY KEY,
    user_code_hash text COLLATE "C" NOT NULL UNIQUE,
    client_id      text COLLATE "C" NOT NULL,
    application_id text COLLATE "C" NOT NULL,
    scopes         text[] NOT NULL,
    audiences      text[] NOT NULL,
    address        text NOT NULL,
    user_agent     text NOT NULL,
    created_at     timestamptz,
    expires_at     timestamptz,
    decided_at     timestamptz,
    grant_id       text COLLATE "C" NOT NULL,
    used_at        timestamptz
);
CREATE INDEX IF NOT EXISTS devices_expires ON devices (expires_at);
