package flow_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"anteroom/flow"
	"anteroom/store"
)

func (s *house) at(path string) *url.URL {
	return &url.URL{Scheme: "http", Host: strings.TrimPrefix(s.URL, "http://"), Path: path}
}

// OpenID CIBA Core section 8: to approve what a client asked elsewhere is a
// sign-in to the application, with everything that the application asks; and
// nobody but the person who was asked can.
func TestApprovingARequestGoesThroughTheFlow(t *testing.T) {
	s := newHouse(t)
	b := s.browser(t)
	p := b.at(b.post(s.at("/approve")), "/login")
	p = b.at(b.post(p.url, "username", "ann"), "/mfa/challenge")
	if len(s.Issued) != 0 {
		t.Fatal("approved without the second factor")
	}
	p = b.at(b.post(p.url, "code", "right"), "/portal")
	if !strings.Contains(p.body, "state=call") || len(s.Issued) != 1 || s.Issued[0].AccountID != "ann" || s.Issued[0].ACR != flow.ACRMulti {
		t.Fatalf("%s, issued %+v", p.body, s.Issued)
	}
	s.Pass(time.Minute)
	b.at(b.post(s.at("/approve")), "/portal") // the page where the button was is the question
	if len(s.Issued) != 2 {
		t.Errorf("issued %+v", s.Issued)
	}
	if _, err := s.Store.UpdateApplication(t.Context(), "pa", func(a *store.Application) error { a.SessionMaxAge = time.Minute; return nil }); err != nil {
		t.Fatal(err)
	}
	s.Pass(time.Hour)
	b.at(b.post(s.at("/approve")), "/login") // too old for the application
	terms := store.TermsVersion{ApplicationID: "pa", Title: "Terms", Markdown: "Terms", PublishedAt: s.Now()}
	if _, err := s.Store.PublishTerms(t.Context(), terms); err != nil {
		t.Fatal(err)
	}
	p = b.at(b.post(s.at("/approve")), "/login")
	p = b.at(b.post(p.url, "username", "ann"), "/mfa/challenge")
	b.at(b.post(p.url, "code", "right"), "/terms")
	if len(s.Issued) != 2 {
		t.Errorf("approved without a newer sign-in, or without the terms: %+v", s.Issued)
	}
}

func TestSomebodyElseApprovesNothing(t *testing.T) {
	s := newHouse(t)
	b := s.browser(t)
	p := b.at(b.post(s.at("/approve")), "/login")
	p = b.at(b.post(p.url, "username", "ben"), "/portal")
	if !strings.Contains(p.body, "error=login_required") || len(s.Issued) != 0 {
		t.Errorf("%s, issued %+v", p.body, s.Issued)
	}
}

// The account's own pages are as strong as the account can be, and a sign-in
// leads back to the page that was opened.
func TestThePagesOfAnAccountNeedItsStrongestSignIn(t *testing.T) {
	s := newHouse(t)
	if _, err := s.Store.UpdateApplication(t.Context(), "pa", func(a *store.Application) error { a.RequireMFA = false; return nil }); err != nil {
		t.Fatal(err)
	}
	b := s.browser(t)
	p := b.at(b.get("/authorize?state=x"), "/login")
	b.at(b.post(p.url, "username", "ann"), "/portal") // a password is enough there
	p = b.at(b.get("/own"), "/mfa/challenge")
	p = b.at(b.post(p.url, "code", "right"), "/own")
	if p.status != http.StatusOK || p.body != "own ann" {
		t.Fatalf("%d %s", p.status, p.body)
	}
	if p = b.at(b.get("/own"), "/own"); p.body != "own ann" {
		t.Errorf("%s", p.body)
	}
	if _, err := s.Store.UpdateAccount(t.Context(), "ann", func(a *store.Account) error { a.State = store.AccountDisabled; return nil }); err != nil {
		t.Fatal(err)
	}
	b.at(b.get("/own"), "/login")
	before := s.Store.Commits()
	nobody := s.browser(t)
	nobody.at(nobody.get("/own"), "/login")
	if got := s.Store.Commits() - before; got != 0 {
		t.Errorf("an anonymous request wrote: %d commits", got)
	}
}
