-- authorization_details (RFC 9396): what their types are, and what was asked,
-- granted and consented to, as canonical JSON.
ALTER TABLE applications ADD COLUMN IF NOT EXISTS detail_types jsonb NOT NULL DEFAULT '[]';
ALTER TABLE grants ADD COLUMN IF NOT EXISTS details text NOT NULL DEFAULT '';
ALTER TABLE consents ADD COLUMN IF NOT EXISTS details text NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN IF NOT EXISTS details text NOT NULL DEFAULT '';
