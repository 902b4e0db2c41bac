package provider

import (
	"net/url"
	"testing"
	"time"

	"anteroom/store"
)

// Tokens that a client got for itself have no grant that could be revoked; they
// end with a mark on the client, which stays whatever the client registers.
func TestAClientsOwnTokensCanBeEnded(t *testing.T) {
	r := newRig(t, open)
	own := func() string {
		t.Helper()
		res := r.post(PathToken, url.Values{"grant_type": {"client_credentials"}}, basic("web"))
		if res.StatusCode != 200 {
			t.Fatal(res.text)
		}
		return str(res.json["access_token"])
	}
	before := own()
	if !r.active(before, "web") {
		t.Fatal("dead before")
	}
	r.check(changeClient("web", func(c *store.Client) { c.EndTokens(r.now()) })(r))
	if r.active(before, "web") {
		t.Error("the token lives on")
	}
	r.pass(time.Second)
	if !r.active(own(), "web") {
		t.Error("a later token is dead")
	}

	c := r.send("POST", PathRegister, "", metadataWith(nil)).json
	r.check(changeClient(str(c["client_id"]), func(c *store.Client) { c.EndTokens(r.now()) })(r))
	uri, token := str(c["registration_client_uri"])[len(r.URL):], str(c["registration_access_token"])
	change := metadataWith(object{"client_id": c["client_id"], "client_name": "Other", store.SettingTokensEnded: "2000-01-01T00:00:00Z"})
	if res := r.send("PUT", uri, token, change); res.StatusCode != 200 || res.json[store.SettingTokensEnded] != nil {
		t.Errorf("update: %d %s", res.StatusCode, res.text)
	}
	if row := must(r.db.Client(t.Context(), str(c["client_id"])))(t); !row.TokensEnded().Equal(r.now()) {
		t.Errorf("ended %v, want %v", row.TokensEnded(), r.now())
	}
}
