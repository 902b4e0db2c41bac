package consent_test

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"anteroom/consent"
	"anteroom/flow"
	"anteroom/internal/audit"
	"anteroom/store"
	"anteroom/templates"
)

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		have, want string
		covers     bool
	}{
		{"", "", true},
		{"openid", "", true},
		{"", "openid", false},
		{"openid email", "email openid", true},
		{"openid email", "openid email email", true},
		{"openid email", "openid profile", false},
		{"openid", "Openid", false},
		{"a b", "a b c", false},
	} {
		if got := consent.Covers(strings.Fields(c.have), strings.Fields(c.want)); got != c.covers {
			t.Errorf("%q covers %q: %v", c.have, c.want, got)
		}
	}
}

func TestLinesSayEachScopeOnceAndWhatIsNew(t *testing.T) {
	got := consent.Lines([]string{"openid", "email", "email", "invoices:read"}, []string{"openid"})
	want := []templates.ScopeLine{
		{Name: "openid", Text: "Recognise you when you come back"},
		{Name: "email", Text: "See your e-mail address", New: true},
		{Name: "invoices:read", New: true},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if first := consent.Lines([]string{"email"}, nil); first[0].New {
		t.Error("everything is new the first time: nothing is marked")
	}
}

func TestConsentIsAskedOnce(t *testing.T) {
	s := newHouse(t, store.ConsentOnce)
	page := s.get("/authorize?scope=openid+email")
	if page.status != 200 || !page.at("/consent?i=") || !page.has("See your e-mail address") || !page.has("Reports &lt;app&gt;") || !page.has("ann@acme.example") ||
		!page.has(`id="consent-allow"`) || !page.has(`id="consent-deny"`) {
		t.Fatalf("%d at %s: %s", page.status, page.path, page.body)
	}
	if again := s.post(page.path); !again.at("/consent") || len(s.Issued) != 0 {
		t.Errorf("neither allowed nor denied: at %s", again.path)
	}
	if end := s.post(page.path, "allow", "1"); !end.at("/portal?code=") {
		t.Fatalf("at %s", end.path)
	}
	given, err := s.Store.Consent(t.Context(), "ann", "client")
	if err != nil || !slices.Equal(given.Scopes, []string{"email", "openid"}) {
		t.Errorf("%+v, %v", given, err)
	}
	n, event := s.count(audit.ConsentGiven)
	if n != 1 || event.Details["scopes"] != "openid email" || event.ClientID != "client" || event.ApplicationID != "pa" {
		t.Errorf("%d events, %+v", n, event)
	}
	if end := s.get("/authorize?scope=openid"); !end.at("/portal?code=") {
		t.Errorf("less was asked again: %s", end.path)
	}
	page = s.get("/authorize?scope=openid+email+phone")
	if !page.at("/consent") || !page.has("See your phone number <span") || strings.Count(page.body, "badge\">new") != 1 {
		t.Errorf("more: at %s: %s", page.path, page.body)
	}
	if page := s.get("/authorize?scope=openid&prompt=consent"); !page.at("/consent") {
		t.Errorf("prompt=consent: %s", page.path)
	}
}

func TestConsentAlwaysIsAskedEveryTime(t *testing.T) {
	s := newHouse(t, store.ConsentAlways)
	for range 2 {
		page := s.get("/authorize?scope=openid")
		if !page.at("/consent") {
			t.Fatalf("at %s", page.path)
		}
		if end := s.post(page.path, "allow", "1"); !end.at("/portal?code=") {
			t.Errorf("at %s", end.path)
		}
	}
}

// Client-id metadata documents, section 6: of a client that nobody registered the
// page says the host, and the name as its own word; it asks every time.
func TestAStrangerIsShownByItsHost(t *testing.T) {
	s := newHouse(t, store.ConsentOnce)
	s.Hub.Clients = func(context.Context, string) (store.Client, error) {
		return store.Client{ID: "client", ApplicationID: "pa", Name: "Your <bank>", Settings: map[string]any{flow.SettingDocumentHost: "tool.example"}}, nil
	}
	for range 2 {
		page := s.get("/authorize?scope=openid")
		if !page.at("/consent") || !page.has("<h1>Allow <bdi>tool.example</bdi>") || !page.has("calls itself <bdi>“Your &lt;bank&gt;”</bdi>") || !page.has("tool.example (") {
			t.Fatalf("at %s: %s", page.path, page.body)
		}
		if end := s.post(page.path, "allow", "1"); !end.at("/portal?code=") {
			t.Errorf("at %s", end.path)
		}
	}
	if end := s.get("/authorize?scope=openid&prompt=none"); !end.at("/portal?error=consent_required") {
		t.Errorf("silently: at %s", end.path)
	}
}

func TestDenyingTellsTheClientAndKeepsNothing(t *testing.T) {
	s := newHouse(t, store.ConsentOnce)
	page := s.get("/authorize?scope=openid+email")
	if end := s.post(page.path, "deny", "1", "allow", "1"); end.path != "/portal?error=access_denied" {
		t.Errorf("at %s", end.path)
	}
	if _, err := s.Store.Consent(t.Context(), "ann", "client"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("consent was kept: %v", err)
	}
	if n, event := s.count(audit.ConsentRefused); n != 1 || event.Details["scopes"] != "openid email" {
		t.Errorf("%d events, %+v", n, event)
	}
}

func TestBadInputIsAClearRefusal(t *testing.T) {
	s := newHouse(t, store.ConsentOnce)
	s.publish("rules")
	terms := s.get("/authorize?scope=openid").path
	for _, fields := range [][]string{{"accept", "1", "accept", "1"}, {"accept", "\xff"}, {"accept", "a\x00b"}} {
		if page := s.post(terms, fields...); page.status != 400 || !page.has(`id="error"`) {
			t.Errorf("%q: %d", fields, page.status)
		}
	}
	// A later step is not reached by its address.
	if page := s.post(strings.Replace(terms, "/terms", "/consent", 1), "allow", "1"); !page.at("/terms") {
		t.Errorf("consent before terms: at %s", page.path)
	}
	if _, err := s.Store.Consent(t.Context(), "ann", "client"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("consent was kept: %v", err)
	}
	if page := s.get("/terms?i=nobody"); page.status != 410 {
		t.Errorf("unknown interaction: %d", page.status)
	}
}

// pay is a request for one payment.
func pay(amount string) string {
	return url.Values{"scope": {"openid"}, "authorization_details": {`[{"type":"payment","amount":` + amount + `,"to":"<b>Merchant</b>"}]`}}.Encode()
}

func (s *house) describes(consent store.ConsentPolicy) {
	s.Helper()
	_, err := s.Store.UpdateApplication(s.Context(), "pa", func(a *store.Application) error {
		a.DetailTypes = []store.DetailType{{Type: "payment", Title: "Pay from your account", Consent: consent, Fields: []store.DetailField{
			{Name: "amount", Title: "Amount", Kind: "number"}, {Name: "to", Title: "To whom", Kind: "text"},
		}}}
		return nil
	})
	s.Must(err)
}

// RFC 9396 section 5: what exactly is asked for is shown, also where scopes are
// not, and asked again unless it is exactly what was consented to before.
func TestAuthorizationDetailsAreShownAndAskedForEvenInAFirstPartyApplication(t *testing.T) {
	s := newHouse(t, store.ConsentSkip)
	s.describes(store.ConsentOnce)
	if end := s.get("/authorize?scope=openid"); !end.at("/portal?code=") {
		t.Fatalf("scopes alone: at %s", end.path)
	}
	page := s.get("/authorize?" + pay("12.50"))
	for _, part := range []string{"Pay from your account", "Amount", "12.50", "To whom", "&lt;b&gt;Merchant&lt;/b&gt;"} {
		if !page.at("/consent") || !page.has(part) {
			t.Fatalf("no %q at %s: %s", part, page.path, page.body)
		}
	}
	if page.has("<b>Merchant") {
		t.Error("what comes from outside is not escaped")
	}
	if end := s.post(page.path, "allow", "1"); !end.at("/portal?code=") {
		t.Fatalf("allowed: at %s", end.path)
	}
	given, err := s.Store.Consent(t.Context(), "ann", "client")
	if err != nil || given.Details != `[{"amount":12.50,"to":"\u003cb\u003eMerchant\u003c/b\u003e","type":"payment"}]` {
		t.Errorf("%+v, %v", given, err)
	}
	if n, event := s.count(audit.ConsentGiven); n != 1 || event.Details["authorization_details"] != "payment" {
		t.Errorf("%d events, %+v: the types alone", n, event)
	}
	if end := s.get("/authorize?" + pay("12.50")); !end.at("/portal?code=") {
		t.Errorf("exactly the same again: at %s", end.path)
	}
	if end := s.get("/authorize?prompt=none&" + pay("99")); end.path != "/portal?error=consent_required" {
		t.Errorf("another amount, silently: at %s", end.path)
	}
	page = s.get("/authorize?" + pay("99"))
	if !page.at("/consent") || !page.has("99") {
		t.Errorf("another amount: at %s", page.path)
	}
	if end := s.post(page.path, "deny", "1"); end.path != "/portal?error=access_denied" {
		t.Errorf("denied: at %s", end.path)
	}
	if end := s.get("/authorize?" + pay("99")); !end.at("/consent") {
		t.Errorf("after a denial: at %s", end.path)
	}
}

func TestThePolicyOfATypeSaysWhenDetailsAreAskedFor(t *testing.T) {
	s := newHouse(t, store.ConsentSkip)
	s.describes(store.ConsentSkip)
	if end := s.get("/authorize?" + pay("1")); !end.at("/portal?code=") {
		t.Errorf("skip: at %s", end.path)
	}
	s.describes(store.ConsentAlways)
	for range 2 {
		page := s.get("/authorize?" + pay("1"))
		if !page.at("/consent") {
			t.Fatalf("always: at %s", page.path)
		}
		s.post(page.path, "allow", "1")
	}
	_, err := s.Store.UpdateApplication(t.Context(), "pa", func(a *store.Application) error { a.DetailTypes = nil; return nil })
	s.Must(err)
	if page := s.get("/authorize?" + pay("2")); !page.at("/consent") || !page.has("payment") {
		t.Errorf("a type that nobody describes any more is shown as it is: at %s", page.path)
	}
}
