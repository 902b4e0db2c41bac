-- Authentication requests that clients sent without a browser (OpenID CIBA).
CREATE TABLE IF NOT EXISTS backchannels (
    hash           text COLLATE "C" PRIMARY KEY,
    client_id      text COLLATE "C" NOT NULL,
    application_id text COLLATE "C" NOT NULL,
    account_id     text COLLATE "C" NOT NULL,
    scopes         text[] NOT NULL,
    audiences      text[] NOT NULL,
    acr_values     text[] NOT NULL,
    binding        text NOT NULL,
    sealed         bytea NOT NULL,
    address        text NOT NULL,
    created_at     timestamptz,
    expires_at     timestamptz,
    decided_at     timestamptz,
    grant_id       text COLLATE "C" NOT NULL,
    used_at        timestamptz
);
CREATE INDEX IF NOT EXISTS backchannels_account ON backchannels (account_id, expires_at);
CREATE INDEX IF NOT EXISTS backchannels_expires ON backchannels (expires_at);

-- Notices tell clients more than the end of sessions.
ALTER TABLE notices ADD COLUMN IF NOT EXISTS kind text NOT NULL DEFAULT '';
ALTER TABLE notices ADD COLUMN IF NOT EXISTS reference text COLLATE "C" NOT NULL DEFAULT '';
