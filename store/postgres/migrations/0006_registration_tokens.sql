-- Tokens that let their holders register clients (RFC 7591 section 1.2).
CREATE TABLE IF NOT EXISTS registration_tokens (
    id         text COLLATE "C" PRIMARY KEY,
    hash       text COLLATE "C" NOT NULL UNIQUE,
    name       text NOT NULL,
    created_by text NOT NULL,
    uses       bigint NOT NULL,
    used       bigint NOT NULL,
    created_at timestamptz,
    expires_at timestamptz,
    last_used  timestamptz,
    revoked_at timestamptz
);
CREATE INDEX IF NOT EXISTS registration_tokens_expires ON registration_tokens (expires_at);
