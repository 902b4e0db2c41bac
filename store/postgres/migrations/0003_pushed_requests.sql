-- Authorization requests that clients sent ahead (RFC 9126).
CREATE TABLE IF NOT EXISTS pushed_requests (
    hash       text COLLATE "C" PRIMARY KEY,
    client_id  text COLLATE "C" NOT NULL,
    sealed     bytea NOT NULL,
    created_at timestamptz,
    expires_at timestamptz,
    used_at    timestamptz
);
CREATE INDEX IF NOT EXISTS pushed_requests_expires ON pushed_requests (expires_at);
