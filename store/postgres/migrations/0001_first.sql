-- The first schema. Text that identifies something, or by which rows are ordered,
-- is compared by its bytes (COLLATE "C"). An unset time is NULL.

CREATE TABLE IF NOT EXISTS metadata (
    name  text COLLATE "C" PRIMARY KEY,
    value text NOT NULL
);

CREATE TABLE IF NOT EXISTS accounts (
    id                  text COLLATE "C" PRIMARY KEY,
    user_name           text NOT NULL,
    email               text NOT NULL,
    email_verified      boolean NOT NULL,
    state               text NOT NULL,
    organisation_id     text COLLATE "C" NOT NULL,
    password_hash       text NOT NULL,
    password_changed_at timestamptz,
    profile             jsonb NOT NULL,
    not_before          timestamptz,
    created_at          timestamptz,
    updated_at          timestamptz
);

-- Folded user names and addresses, in one space.
CREATE TABLE IF NOT EXISTS account_names (
    name       text COLLATE "C" PRIMARY KEY,
    account_id text COLLATE "C" NOT NULL REFERENCES accounts (id)
);
CREATE INDEX IF NOT EXISTS account_names_account ON account_names (account_id);

CREATE TABLE IF NOT EXISTS authenticators (
    id           text COLLATE "C" PRIMARY KEY,
    account_id   text COLLATE "C" NOT NULL,
    kind         text NOT NULL,
    label        text NOT NULL,
    sealed       bytea NOT NULL,
    created_at   timestamptz,
    last_used_at timestamptz
);
CREATE INDEX IF NOT EXISTS authenticators_account ON authenticators (account_id);

-- The last accepted step of an account. It survives its authenticators.
CREATE TABLE IF NOT EXISTS totp_steps (
    account_id text COLLATE "C" PRIMARY KEY,
    step       bigint NOT NULL
);

CREATE TABLE IF NOT EXISTS recovery_codes (
    account_id text COLLATE "C" NOT NULL,
    hash       text COLLATE "C" NOT NULL,
    created_at timestamptz,
    used_at    timestamptz,
    PRIMARY KEY (account_id, hash)
);

CREATE TABLE IF NOT EXISTS invitations (
    id             text COLLATE "C" PRIMARY KEY,
    token_hash     text COLLATE "C" NOT NULL UNIQUE,
    account_id     text COLLATE "C" NOT NULL,
    application_id text COLLATE "C" NOT NULL,
    invited_by     text COLLATE "C" NOT NULL,
    created_at     timestamptz,
    expires_at     timestamptz,
    used_at        timestamptz,
    revoked_at     timestamptz
);
CREATE INDEX IF NOT EXISTS invitations_account ON invitations (account_id);
CREATE INDEX IF NOT EXISTS invitations_application ON invitations (application_id);
CREATE INDEX IF NOT EXISTS invitations_expiry ON invitations (expires_at);

CREATE TABLE IF NOT EXISTS resets (
    id             text COLLATE "C" PRIMARY KEY,
    token_hash     text COLLATE "C" NOT NULL UNIQUE,
    account_id     text COLLATE "C" NOT NULL,
    application_id text COLLATE "C" NOT NULL,
    interaction_id text NOT NULL,
    created_at     timestamptz,
    expires_at     timestamptz,
    used_at        timestamptz,
    revoked_at     timestamptz
);
CREATE INDEX IF NOT EXISTS resets_account ON resets (account_id);
CREATE INDEX IF NOT EXISTS resets_expiry ON resets (expires_at);

CREATE TABLE IF NOT EXISTS applications (
    id                        text COLLATE "C" PRIMARY KEY,
    name                      text NOT NULL,
    launch_url                text NOT NULL,
    logo_url                  text NOT NULL,
    colour                    text NOT NULL,
    require_mfa               boolean NOT NULL,
    challenge_after_enrolment boolean NOT NULL,
    consent                   text NOT NULL,
    access                    text NOT NULL,
    enrolment_hint            text NOT NULL,
    session_max_age_ns        bigint NOT NULL,
    created_at                timestamptz,
    updated_at                timestamptz
);

CREATE TABLE IF NOT EXISTS clients (
    id                           text COLLATE "C" PRIMARY KEY,
    application_id               text COLLATE "C" NOT NULL REFERENCES applications (id),
    name                         text NOT NULL,
    redirect_uris                text[] NOT NULL,
    post_logout_redirect_uris    text[] NOT NULL,
    grant_types                  text[] NOT NULL,
    response_types               text[] NOT NULL,
    scopes                       text[] NOT NULL,
    audiences                    text[] NOT NULL,
    token_endpoint_auth_method   text NOT NULL,
    application_type             text NOT NULL,
    id_token_signed_response_alg text NOT NULL,
    access_token_signing_alg     text NOT NULL,
    pkce_optional                boolean NOT NULL,
    disabled                     boolean NOT NULL,
    settings                     jsonb NOT NULL,
    created_at                   timestamptz,
    updated_at                   timestamptz
);
CREATE INDEX IF NOT EXISTS clients_application ON clients (application_id, id);

CREATE TABLE IF NOT EXISTS client_secrets (
    client_id  text COLLATE "C" NOT NULL REFERENCES clients (id),
    position   bigint NOT NULL,
    hash       text NOT NULL,
    created_at timestamptz,
    expires_at timestamptz,
    PRIMARY KEY (client_id, position)
);

CREATE TABLE IF NOT EXISTS organisations (
    id         text COLLATE "C" PRIMARY KEY,
    parent_id  text COLLATE "C" NOT NULL,
    name       text NOT NULL,
    created_at timestamptz,
    updated_at timestamptz
);
CREATE INDEX IF NOT EXISTS organisations_parent ON organisations (parent_id);

CREATE TABLE IF NOT EXISTS roles (
    application_id text COLLATE "C" NOT NULL REFERENCES applications (id),
    key            text COLLATE "C" NOT NULL,
    name           text NOT NULL,
    description    text NOT NULL,
    created_at     timestamptz,
    PRIMARY KEY (application_id, key)
);

CREATE TABLE IF NOT EXISTS assignments (
    account_id      text COLLATE "C" NOT NULL REFERENCES accounts (id),
    application_id  text COLLATE "C" NOT NULL REFERENCES applications (id),
    organisation_id text COLLATE "C" NOT NULL,
    role_key        text COLLATE "C" NOT NULL,
    state           text NOT NULL,
    granted_by      text NOT NULL,
    created_at      timestamptz,
    activated_at    timestamptz,
    PRIMARY KEY (account_id, application_id, organisation_id, role_key)
);
CREATE INDEX IF NOT EXISTS assignments_application ON assignments (application_id, account_id, organisation_id, role_key);

CREATE TABLE IF NOT EXISTS terms_versions (
    application_id text COLLATE "C" NOT NULL REFERENCES applications (id),
    version        bigint NOT NULL,
    title          text NOT NULL,
    markdown       text NOT NULL,
    hash           text NOT NULL,
    published_at   timestamptz,
    withdrawn      boolean NOT NULL,
    PRIMARY KEY (application_id, version)
);

CREATE TABLE IF NOT EXISTS terms_acceptances (
    account_id     text COLLATE "C" NOT NULL,
    application_id text COLLATE "C" NOT NULL,
    version        bigint NOT NULL,
    hash           text NOT NULL,
    accepted_at    timestamptz,
    client_id      text COLLATE "C" NOT NULL,
    PRIMARY KEY (account_id, application_id, version),
    FOREIGN KEY (application_id, version) REFERENCES terms_versions (application_id, version)
);
CREATE INDEX IF NOT EXISTS terms_acceptances_version ON terms_acceptances (application_id, version);

CREATE TABLE IF NOT EXISTS consents (
    account_id text COLLATE "C" NOT NULL,
    client_id  text COLLATE "C" NOT NULL,
    scopes     text[] NOT NULL,
    granted_at timestamptz,
    PRIMARY KEY (account_id, client_id)
);
CREATE INDEX IF NOT EXISTS consents_client ON consents (client_id);

CREATE TABLE IF NOT EXISTS sessions (
    id         text COLLATE "C" PRIMARY KEY,
    token_hash text COLLATE "C" NOT NULL UNIQUE,
    account_id text COLLATE "C" NOT NULL,
    auth_time  timestamptz,
    amr        text[] NOT NULL,
    acr        text NOT NULL,
    created_at timestamptz,
    expires_at timestamptz,
    ended_at   timestamptz,
    user_agent text NOT NULL,
    address    text NOT NULL
);
CREATE INDEX IF NOT EXISTS sessions_account ON sessions (account_id);
CREATE INDEX IF NOT EXISTS sessions_expiry ON sessions (expires_at);
CREATE INDEX IF NOT EXISTS sessions_end ON sessions (ended_at);

CREATE TABLE IF NOT EXISTS signing_keys (
    kid        text COLLATE "C" PRIMARY KEY,
    algorithm  text NOT NULL,
    sealed     bytea NOT NULL,
    public_jwk bytea NOT NULL, -- JSON, byte for byte as it was made
    created_at timestamptz,
    active_at  timestamptz,
    retired_at timestamptz
);

CREATE TABLE IF NOT EXISTS grants (
    id             text COLLATE "C" PRIMARY KEY,
    client_id      text COLLATE "C" NOT NULL,
    application_id text COLLATE "C" NOT NULL,
    account_id     text COLLATE "C" NOT NULL,
    session_id     text COLLATE "C" NOT NULL,
    scopes         text[] NOT NULL,
    audiences      text[] NOT NULL,
    requested_at   timestamptz,
    auth_time      timestamptz,
    amr            text[] NOT NULL,
    acr            text NOT NULL,
    nonce          text NOT NULL,
    claims         text NOT NULL, -- JSON, as it was requested
    params         text NOT NULL,
    created_at     timestamptz,
    expires_at     timestamptz,
    revoked_at     timestamptz,
    revoked_reason text NOT NULL
);
CREATE INDEX IF NOT EXISTS grants_account ON grants (account_id);
CREATE INDEX IF NOT EXISTS grants_client ON grants (client_id);
CREATE INDEX IF NOT EXISTS grants_application ON grants (application_id);
CREATE INDEX IF NOT EXISTS grants_session ON grants (session_id);
CREATE INDEX IF NOT EXISTS grants_expiry ON grants (expires_at);

CREATE TABLE IF NOT EXISTS codes (
    hash                  text COLLATE "C" PRIMARY KEY,
    grant_id              text COLLATE "C" NOT NULL REFERENCES grants (id),
    redirect_uri          text NOT NULL,
    code_challenge        text NOT NULL,
    code_challenge_method text NOT NULL,
    issued_at             timestamptz,
    expires_at            timestamptz,
    used_at               timestamptz
);
CREATE INDEX IF NOT EXISTS codes_grant ON codes (grant_id);

CREATE TABLE IF NOT EXISTS refresh_tokens (
    hash          text COLLATE "C" PRIMARY KEY,
    grant_id      text COLLATE "C" NOT NULL REFERENCES grants (id),
    scopes        text[] NOT NULL,
    issued_at     timestamptz,
    expires_at    timestamptz,
    used_at       timestamptz,
    session_bound boolean NOT NULL
);
CREATE INDEX IF NOT EXISTS refresh_tokens_grant ON refresh_tokens (grant_id);

CREATE TABLE IF NOT EXISTS denied_tokens (
    jti   text COLLATE "C" PRIMARY KEY,
    until timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS denied_tokens_until ON denied_tokens (until);

CREATE TABLE IF NOT EXISTS failures (
    key      text COLLATE "C" PRIMARY KEY,
    count    bigint NOT NULL,
    first_at timestamptz NOT NULL,
    last_at  timestamptz NOT NULL,
    until    timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS failures_until ON failures (until);

CREATE TABLE IF NOT EXISTS used_once (
    space text COLLATE "C" NOT NULL,
    key   text COLLATE "C" NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (space, key)
);
CREATE INDEX IF NOT EXISTS used_once_until ON used_once (until);

CREATE TABLE IF NOT EXISTS outbox (
    id           text COLLATE "C" PRIMARY KEY,
    kind         text NOT NULL,
    recipient    text NOT NULL,
    sealed       bytea NOT NULL,
    created_at   timestamptz,
    next_attempt timestamptz,
    attempts     bigint NOT NULL,
    last_error   text NOT NULL,
    given_up_at  timestamptz
);
CREATE INDEX IF NOT EXISTS outbox_due ON outbox (next_attempt, id);
CREATE INDEX IF NOT EXISTS outbox_given_up ON outbox (given_up_at);

-- The chain. Rows are only ever added.
CREATE TABLE IF NOT EXISTS audit_log (
    seq            bigint PRIMARY KEY,
    at             timestamptz,
    type           text COLLATE "C" NOT NULL,
    actor          text NOT NULL,
    account_id     text COLLATE "C" NOT NULL,
    application_id text COLLATE "C" NOT NULL,
    client_id      text COLLATE "C" NOT NULL,
    session_id     text COLLATE "C" NOT NULL,
    address        text NOT NULL,
    details        jsonb NOT NULL,
    prev_hash      text NOT NULL,
    hash           text NOT NULL
);
CREATE INDEX IF NOT EXISTS audit_log_account ON audit_log (account_id, seq);
CREATE INDEX IF NOT EXISTS audit_log_type ON audit_log (type, seq);
CREATE INDEX IF NOT EXISTS audit_log_at ON audit_log (at);

-- Entries that are committed and not in the chain yet: moments old.
CREATE TABLE IF NOT EXISTS audit_inbox (
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

-- The end of the chain: one row.
CREATE TABLE IF NOT EXISTS audit_head (
    id   bigint PRIMARY KEY CHECK (id = 1),
    seq  bigint NOT NULL,
    hash text NOT NULL
);
INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, '') ON CONFLICT (id) DO NOTHING;

-- One row for each committed unit of work, for an hour: it answers whether a
-- COMMIT whose answer was lost took place. A fenced one never did and never will.
-- The id begins with the time, in seconds as eight hexadecimal digits.
CREATE TABLE IF NOT EXISTS units (
    id     text COLLATE "C" PRIMARY KEY,
    fenced boolean NOT NULL
);
