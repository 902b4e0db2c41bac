package provider

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/storage"

	"anteroom/flow"
	"anteroom/internal/audit"
	"anteroom/store"
)

// One test for each known defect of the pinned fosite, and for each trap of its
// storage contract, that touches what is built here. The version is frozen: they
// will not be fixed for us, and an update must not bring them back unnoticed.

// A wrong verifier deletes fosite's PKCE session, after which the same code
// passes without any verifier.
func TestDefectPKCEDowngrade(t *testing.T) {
	for name, client := range map[string]string{"required": "web", "exempted by the operator": "optional", "public": "spa"} {
		for how, spoil := range map[string]func(form url.Values){
			"wrong verifier":   func(f url.Values) { f.Set("code_verifier", strings.Repeat("x", 43)) },
			"missing verifier": func(f url.Values) { f.Del("code_verifier") },
			"short verifier":   func(f url.Values) { f.Set("code_verifier", "x") },
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				r := newRig(t)
				code := r.code(ask(client))
				form := redemption(code)
				spoil(form)
				r.wantError(r.post(PathToken, form, credentialsOf(client)), 400, "invalid_grant")
				form.Del("code_verifier")
				r.wantError(r.post(PathToken, form, credentialsOf(client)), 400, "invalid_grant")
				r.wantError(r.post(PathToken, redemption(code), credentialsOf(client)), 400, "invalid_grant")
				if r.count(audit.CodeRedeemed) != 0 || r.count(audit.GrantRevoked) != 1 {
					t.Errorf("events %v", r.events())
				}
			})
		}
	}
}

func TestDefectPKCEVerifierWithoutChallengeIsRefused(t *testing.T) {
	r := newRig(t)
	without := ask("optional", "code_challenge", "", "code_challenge_method", "")
	r.wantError(r.post(PathToken, redemption(r.code(without)), basic("optional")), 400, "invalid_grant")
	form := redemption(r.code(without))
	form.Del("code_verifier")
	if res := r.post(PathToken, form, basic("optional")); res.StatusCode != 200 {
		t.Errorf("an exempted client with a nonce: %d %s", res.StatusCode, res.text)
	}
	form.Set("code", r.code(without))
	if err := changeClient("optional", func(c *store.Client) { c.PKCEOptional = false })(r); err != nil {
		t.Fatal(err)
	}
	if res := r.post(PathToken, form, basic("optional")); res.StatusCode != 400 {
		t.Errorf("a client that is exempted no more: %d %s", res.StatusCode, res.text)
	}
}

// State and nonce of less than 8 characters, and none, are refused.
func TestDefectStateAndNonceOfAnyLength(t *testing.T) {
	r := newRig(t)
	for _, value := range []string{"", "x", "1234567", strings.Repeat("s", 384), strings.Repeat("s", 4000), "a b+c%26=\"'<é"} {
		got := r.answerOf(r.get(PathAuthorize, ask("web", "state", value, "nonce", value)))
		if got.Get("state") != value || got.Has("state") != (value != "") {
			t.Errorf("state of %d came back as %q", len(value), got.Get("state"))
		}
		res := r.post(PathToken, redemption(got.Get("code")), basic("web"))
		_, id := payload(t, str(res.json["id_token"]))
		if str(id["nonce"]) != value {
			t.Errorf("nonce of %d came back as %q", len(value), id["nonce"])
		}
		if _, there := id["nonce"]; there != (value != "") {
			t.Errorf("nonce %v for %q", id["nonce"], value)
		}
	}
}

// alg=none is accepted, the claims override the query.
func TestDefectRequestObjectsAreNotUnderstood(t *testing.T) {
	r := newRig(t)
	object := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." +
		base64.RawURLEncoding.EncodeToString([]byte(`{"redirect_uri":"https://evil.example/","scope":"openid api.write","state":"theirs"}`)) + "."
	for _, scope := range []string{"openid", "api.read"} { // fosite ignores it without openid
		got := r.answerOf(r.get(PathAuthorize, ask("web", "request", object, "scope", scope)))
		if got.Get("error") != "request_not_supported" || got.Get("state") != "the state" {
			t.Errorf("scope %s: %v", scope, got)
		}
	}
}

// A parameter twice is accepted, the first one wins.
func TestDefectDuplicateParameters(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"scope", "response_type", "code_challenge", "prompt", "response_mode"} {
		q := ask("web")
		q[name] = append(q[name], "openid", "code")
		if got := r.answerOf(r.get(PathAuthorize, q)); got.Get("error") != "invalid_request" {
			t.Errorf("%s: %v", name, got)
		}
	}
	form := redemption(r.code(ask("web")))
	form.Add("code", "another")
	r.wantError(r.post(PathToken, form, basic("web")), 400, "invalid_request")
}

// max_age=0 is ignored, garbage becomes 0, the request's time becomes that of
// the code, and prompt=none refuses a sign-in that is younger than the request.
func TestDefectMaxAgeAndTimesOfTheRequest(t *testing.T) {
	r := newRig(t)
	asked := r.now().Add(-10 * time.Minute)
	r.hub.pending = func(in flow.Interaction) flow.Interaction { in.StartedAt = asked; return in }
	for _, prompt := range []string{"login", "none", ""} {
		code := r.code(ask("web", "max_age", "0", "prompt", prompt))
		if age := r.hub.last.Ask.MaxAge; age == nil || *age != 0 {
			t.Errorf("max_age=0 became %v", age)
		}
		_, grant, err := r.db.Code(t.Context(), r.seal.Digest(digestCode, code), r.now())
		if err != nil || !grant.RequestedAt.Equal(asked) {
			t.Errorf("requested at %v (%v), want %v", grant.RequestedAt, err, asked)
		}
		res := r.post(PathToken, redemption(code), basic("web"))
		if _, id := payload(t, str(res.json["id_token"])); id["auth_time"] != float64(r.hub.auth.AuthTime.Unix()) {
			t.Errorf("prompt %q: auth_time %v", prompt, id["auth_time"])
		}
	}
	r.code(ask("web"))
	if r.hub.last.Ask.MaxAge != nil {
		t.Error("no max_age became one")
	}
}

// fosite reads the machine's clock: a node whose own clock is elsewhere, or a
// test's, gets tokens that are expired, or refuses a sign-in "in the future".
func TestDefectTimesAreTheProvidersNotTheMachines(t *testing.T) {
	for _, away := range []time.Duration{-400 * 24 * time.Hour, 400 * 24 * time.Hour} {
		r := newRig(t)
		r.pass(away)
		r.signIn("ann")
		got := r.tokens("web")
		_, access := payload(t, str(got["access_token"]))
		if access["exp"] != float64(r.now().Unix()+600) || got["expires_in"] != float64(600) || !r.active(str(got["access_token"]), "web") {
			t.Errorf("%v away: %v", away, access)
		}
		if res := r.post(PathToken, refreshment(str(got["refresh_token"])), basic("web")); res.StatusCode != 200 {
			t.Errorf("%v away: refresh %d %s", away, res.StatusCode, res.text)
		}
	}
}

// Any access token may introspect any other, without a check of the owner, and
// iat is wrong.
func TestDefectIntrospectionIsForOwnerAndAudience(t *testing.T) {
	r := newRig(t)
	got := r.tokens("web")
	token := str(got["access_token"])
	r.wantError(r.post(PathIntrospect, url.Values{"token": {token}}, withToken(token)), 401, "invalid_client")
	res := r.post(PathIntrospect, url.Values{"token": {token}}, basic("other"))
	if res.text != `{"active":false}` {
		t.Errorf("a stranger sees %s", res.text)
	}
	r.pass(time.Minute)
	if res := r.post(PathIntrospect, url.Values{"token": {token}}, basic("web")); res.json["iat"] != float64(r.now().Add(-time.Minute).Unix()) {
		t.Errorf("iat %v", res.json["iat"])
	}
}

// Revocation answers 200 when the store failed.
func TestDefectRevocationTellsOfAFailure(t *testing.T) {
	r := newRig(t)
	got := r.tokens("web")
	for _, name := range []string{"access_token", "refresh_token"} {
		token := str(got[name])
		r.store.writes.Store(true)
		r.wantError(r.post(PathRevoke, url.Values{"token": {token}}, basic("web")), 503, "temporarily_unavailable")
		r.store.writes.Store(false)
		if !r.active(token, "web") {
			t.Errorf("%s died although nothing was written", name)
		}
	}
}

// Errors before a valid redirect URI are JSON.
func TestDefectErrorsForPeopleArePages(t *testing.T) {
	r := newRig(t)
	res := r.get(PathAuthorize, ask("web", "redirect_uri", "https://evil.example/"))
	if kind := res.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/html") {
		t.Errorf("got %s", kind)
	}
}

// Scopes match by wildcard and audiences by prefix; tokens carry ory_; comparing
// a client secret takes 200 ms of bcrypt.
func TestDefectDefaults(t *testing.T) {
	r := newRig(t)
	if err := changeClient("web", func(c *store.Client) {
		c.Scopes, c.Audiences = []string{"openid", "api.*"}, []string{"https://api.example"}
	})(r); err != nil {
		t.Fatal(err)
	}
	if got := r.answerOf(r.get(PathAuthorize, ask("web", "scope", "openid api.read"))); got.Get("error") != "invalid_scope" {
		t.Errorf("wildcard: %v", got)
	}
	if got := r.answerOf(r.get(PathAuthorize, ask("web", "resource", "https://api.example/sub"))); got.Get("error") != "invalid_target" {
		t.Errorf("prefix: %v", got)
	}
	code := r.code(ask("web", "scope", "openid"))
	start := time.Now()
	res := r.post(PathToken, redemption(code), basic("web"))
	if took := time.Since(start); took > 150*time.Millisecond {
		t.Logf("an exchange took %v", took)
	}
	for _, token := range []string{code, str(res.json["refresh_token"])} {
		if strings.HasPrefix(token, "ory_") || strings.Contains(token, ".") || len(token) < 43 {
			t.Errorf("token %q", token)
		}
	}
}

// On refresh reuse fosite revokes before it looks whose token it is.
func TestDefectReuseByAnotherClientEndsNothing(t *testing.T) {
	r := newRig(t)
	first := r.tokens("web")
	second := r.post(PathToken, refreshment(str(first["refresh_token"])), basic("web"))
	r.pass(time.Minute)
	r.wantError(r.post(PathToken, refreshment(str(first["refresh_token"])), basic("other")), 400, "invalid_grant")
	if !r.active(str(second.json["refresh_token"]), "web") {
		t.Error("the family ended")
	}
}

// Expired codes answer invalid_request: the expiry is read from the session that
// was passed in, which is empty.
func TestDefectExpiredCodesAreAnInvalidGrant(t *testing.T) {
	r := newRig(t)
	code := r.code(ask("web"))
	r.pass(time.Minute)
	r.wantError(r.post(PathToken, redemption(code), basic("web")), 400, "invalid_grant")
	if r.count(audit.CodeReused) != 0 {
		t.Error("an expired code counts as reused")
	}
}

// OpenID Connect sessions are keyed by the raw code; refresh tokens must not be
// readable either.
func TestDefectNothingThatIsGoodForSomethingIsStored(t *testing.T) {
	r := newRig(t)
	code := r.code(ask("web"))
	got := r.post(PathToken, redemption(code), basic("web"))
	if err := r.db.Close(); err != nil {
		t.Fatal(err)
	}
	file := string(must(os.ReadFile(r.db.Path()))(t))
	for name, value := range map[string]string{
		"code": code, "refresh token": str(got.json["refresh_token"]), "access token": str(got.json["access_token"]), "client secret": secret, "verifier": verifier,
	} {
		if value == "" || strings.Contains(file, value) {
			t.Errorf("the %s is in the file", name)
		}
	}
}

// The request id is the family: the same for the code and every token.
func TestDefectOneIDForTheFamily(t *testing.T) {
	r := newRig(t)
	first := r.tokens("web")
	second := r.post(PathToken, refreshment(str(first["refresh_token"])), basic("web"))
	_, a := payload(t, str(first["access_token"]))
	_, b := payload(t, str(second.json["access_token"]))
	if str(a["grant_id"]) == "" || a["grant_id"] != b["grant_id"] {
		t.Errorf("grants %v and %v", a["grant_id"], b["grant_id"])
	}
}

// fosite's transactions silently do nothing if the storage lacks an optional
// interface; and what was rolled back must not be written.
func TestDefectRollbackRollsBack(t *testing.T) {
	r := newRig(t)
	memory := &memory{r.p}
	if _, ok := any(memory).(storage.Transactional); !ok {
		t.Fatal("no transactions")
	}
	code := r.code(ask("web"))
	x := &exchange{now: r.now(), client: must(r.p.client(t.Context(), "web"))(t), form: redemption(code)}
	if err := r.p.admitCode(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	ctx, err := memory.BeginTX(withExchange(t.Context(), x))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(memory.InvalidateAuthorizeCodeSession(ctx, x.code.Hash), memory.Rollback(ctx)); err != nil {
		t.Fatal(err)
	}
	if answer, err := r.p.run(t.Context(), x); err == nil {
		t.Errorf("tokens after a rollback: %v", answer)
	}
	if res := r.post(PathToken, redemption(code), basic("web")); res.StatusCode != 200 {
		t.Errorf("the code was used up: %d %s", res.StatusCode, res.text)
	}
}

func TestDefectStorageIsUselessOutsideOfARequest(t *testing.T) {
	memory := &memory{}
	ctx := context.Background()
	for name, err := range map[string]error{
		"code":    memory.CreateAuthorizeCodeSession(ctx, "x", fosite.NewRequest()),
		"redeem":  memory.InvalidateAuthorizeCodeSession(ctx, "x"),
		"refresh": memory.CreateRefreshTokenSession(ctx, "x", "", nil),
		"rotate":  memory.RotateRefreshToken(ctx, "", "x"),
	} {
		if !errors.Is(err, errOutside) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := memory.GetClient(ctx, "web"); !errors.Is(err, fosite.ErrNotFound) {
		t.Errorf("client: %v", err)
	}
}

// Sessions are shared between requests and the process dies of a concurrent map
// write.
func TestDefectNothingIsSharedBetweenRequests(t *testing.T) {
	r := newRig(t)
	var wait sync.WaitGroup
	for _, id := range []string{"web", "other", "es256", "post", "spa"} {
		for range 3 {
			wait.Go(func() {
				res := r.post(PathToken, redemption(r.code(ask(id, "scope", "openid profile"))), credentialsOf(id))
				_, claims := payload(t, str(res.json["id_token"]))
				if claims["aud"] != id {
					t.Errorf("token for %v, want %s", claims["aud"], id)
				}
			})
		}
	}
	wait.Wait()
}

// No error for two methods at once, and no WWW-Authenticate.
func TestDefectClientAuthentication(t *testing.T) {
	r := newRig(t)
	form := url.Values{"grant_type": {"client_credentials"}}
	r.wantError(r.post(PathToken, form, func(req *http.Request, f url.Values) { basic("web")(req, f); posted("web")(req, f) }), 400, "invalid_request")
	if res := r.post(PathToken, form, nil); res.Header.Get("WWW-Authenticate") == "" {
		t.Error("no WWW-Authenticate")
	}
}
