package seal

import (
	"encoding/base64"
	"strconv"
	"time"
)

// Purposes of Digest that more than one room must agree on. A room that is alone
// with its secrets keeps its purpose to itself.
const (
	// ClientSecret: administration registers it (store.ClientSecret.Hash), the
	// provider checks it. Digest(ClientSecret, secret).
	ClientSecret = "client secret"
	// RegistrationToken: administration makes it (store.RegistrationToken.Hash), the
	// provider checks it. Digest(RegistrationToken, token).
	RegistrationToken = "initial access token"
)

// ClientSecret returns the secret of a client that was given one at a time: for
// client_secret_jwt (OpenID Connect Core section 9), where the secret itself is
// needed to check what the client signed, and so must not be random. It has 256
// bits, and is not stored either.
func (k *Keyring) ClientSecret(clientID string, at time.Time) string {
	when := strconv.FormatInt(at.UnixMicro(), 10)
	return base64.RawURLEncoding.EncodeToString(k.Derive("client secret of "+clientID, when, 32))
}
