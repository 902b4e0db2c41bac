package seal

// Purposes of Digest that more than one room must agree on. A room that is alone
// with its secrets keeps its purpose to itself.
const (
	// ClientSecret: administration registers it (store.ClientSecret.Hash), the
	// provider checks it. Digest(ClientSecret, secret).
	ClientSecret = "client secret"
)
