package provider

import (
	"errors"
	"testing"
	"time"

	"anteroom/internal/audit"
	"anteroom/store"
)

// A stolen key counts no more, neither for tokens nor for hints, and is published
// no more; one that signs is replaced first.
func TestAStolenKeyCountsNoMore(t *testing.T) {
	r := newRig(t)
	tokens := r.tokens("web")
	access, id := str(tokens["access_token"]), str(tokens["id_token"])
	head, _ := payload(t, access)
	kid := str(head["kid"])
	keys := r.p.Keys()
	if err := keys.Withdraw(t.Context(), kid); !errors.Is(err, store.ErrInvalid) {
		t.Fatalf("a key that signs: %v", err)
	}
	r.pass(time.Second)
	must(keys.Rotate(t.Context(), 0))(t)
	idHead, _ := payload(t, id)
	for _, stolen := range []string{kid, str(idHead["kid"])} {
		if err := keys.Withdraw(audit.WithActor(t.Context(), "operator"), stolen); err != nil {
			t.Fatal(err)
		}
		if err := keys.Withdraw(t.Context(), stolen); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("again: %v", err)
		}
	}
	if res := r.post(PathUserInfo, nil, withToken(access)); res.StatusCode != 401 {
		t.Errorf("userinfo: %d", res.StatusCode)
	}
	if got := r.post(PathIntrospect, map[string][]string{"token": {access}}, basic("web")); got.json["active"] != false {
		t.Errorf("introspection: %s", got.text)
	}
	if got := r.answerOf(r.get(PathAuthorize, ask("web", "id_token_hint", id, "prompt", "none"))); got.Get("code") != "" {
		t.Errorf("a hint by it is believed: %v", got)
	}
	for _, one := range r.get(PathJWKS, nil).json["keys"].([]any) {
		if one.(map[string]any)["kid"] == kid {
			t.Error("it is published")
		}
	}
	if r.count(audit.KeyWithdrawn) != 2 {
		t.Errorf("events %v", r.events())
	}
	if res := r.post(PathUserInfo, nil, withToken(str(r.tokens("web")["access_token"]))); res.StatusCode != 200 {
		t.Errorf("tokens of after: %d", res.StatusCode)
	}
}
