-- A code and a refresh token are changed once, when they are used. Where their
-- page has room for that, no index has to learn of it. What has no such setting
-- ignores it.
ALTER TABLE codes SET (fillfactor = 50);
ALTER TABLE refresh_tokens SET (fillfactor = 50);
