package consent_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"anteroom/internal/audit"
	"anteroom/store"
)

func TestTermsAreAcceptedOnceAndRecorded(t *testing.T) {
	s := newHouse(t, store.ConsentSkip)
	terms := s.publish("# Rules\n\nBe *kind*. <script>alert(1)</script>")
	page := s.get("/authorize?scope=openid")
	if page.status != 200 || !page.at("/terms?i=") || !page.has("<em>kind</em>") || page.has("<script>alert") ||
		!page.has(`id="accept"`) || !page.has(`id="terms-submit"`) || !page.has("Terms of Use") || page.has("Finish") {
		t.Fatalf("%d at %s: %s", page.status, page.path, page.body)
	}
	refused := s.post(s.action(page))
	if refused.status != http.StatusUnprocessableEntity || !refused.has("tick the box") || !refused.has("<em>kind</em>") {
		t.Errorf("without the box: %d", refused.status)
	}
	if n, _ := s.count(audit.TermsAccepted); n != 0 || len(s.Issued) != 0 {
		t.Fatal("accepted without the box")
	}
	s.Pass(time.Second)
	if end := s.post(s.action(page), "accept", "1"); !end.at("/portal?code=") {
		t.Fatalf("at %s", end.path)
	}
	got, err := s.Store.AcceptedTerms(t.Context(), "ann", "pa")
	want := store.TermsAcceptance{AccountID: "ann", ApplicationID: "pa", Version: 1, Hash: terms.Hash, AcceptedAt: s.Now(), ClientID: "client"}
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	n, event := s.count(audit.TermsAccepted)
	if n != 1 || event.Details["version"] != "1" || event.Details["hash"] != terms.Hash || event.ClientID != "client" || event.Actor != "ann" || event.Address == "" {
		t.Errorf("%d events, %+v", n, event)
	}
	if again := s.get("/authorize?scope=openid"); !again.at("/portal?code=") {
		t.Errorf("asked again: %s", again.path)
	}
}

func TestANewVersionIsAskedAgain(t *testing.T) {
	s := newHouse(t, store.ConsentSkip)
	s.publish("first")
	s.post(s.action(s.get("/authorize?scope=openid")), "accept", "1")
	s.publish("second")
	page := s.get("/authorize?scope=openid")
	if !page.at("/terms") || !page.has("new terms") || !page.has("second") {
		t.Fatalf("at %s: %s", page.path, page.body)
	}
	if end := s.post(s.action(page), "accept", "1"); !end.at("/portal?code=") {
		t.Errorf("at %s", end.path)
	}
}

// Whoever accepts has read what they accept.
func TestOnlyTheTextThatWasShownIsAccepted(t *testing.T) {
	s := newHouse(t, store.ConsentSkip)
	s.publish("first")
	old := s.action(s.get("/authorize?scope=openid"))
	s.publish("second, and stricter")
	page := s.post(old, "accept", "1")
	if page.status != http.StatusConflict || !page.at("/terms") || !page.has("changed while this page was open") || !page.has("stricter") {
		t.Fatalf("%d at %s: %s", page.status, page.path, page.body)
	}
	if _, err := s.Store.AcceptedTerms(t.Context(), "ann", "pa"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("something was accepted: %v", err)
	}
	for _, forged := range []string{strings.Split(old, "&h=")[0], strings.Split(old, "&h=")[0] + "&h=0"} {
		if page := s.post(forged, "accept", "1"); page.status != http.StatusConflict {
			t.Errorf("%s: %d", forged, page.status)
		}
	}
	if end := s.post(s.action(page), "accept", "1"); !end.at("/portal?code=") {
		t.Errorf("at %s", end.path)
	}
	if got, err := s.Store.AcceptedTerms(t.Context(), "ann", "pa"); err != nil || got.Version != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestDecliningTellsThePortal(t *testing.T) {
	s := newHouse(t, store.ConsentSkip)
	s.publish("rules")
	if end := s.post(s.action(s.get("/authorize?scope=openid")), "decline", "1"); end.path != "/portal?error=access_denied" {
		t.Errorf("at %s", end.path)
	}
	if n, _ := s.count(audit.TermsAccepted); n != 0 {
		t.Error("accepted")
	}
}

func TestAnActivationFinishesWithTheTerms(t *testing.T) {
	s := newHouse(t, store.ConsentSkip)
	s.publish("rules")
	page := s.get("/begin")
	if !page.at("/terms") || !page.has("Finish") || !page.has(`aria-current="step"`) {
		t.Fatalf("at %s: %s", page.path, page.body)
	}
	if end := s.post(s.action(page), "accept", "1"); !end.at("/activated") {
		t.Errorf("at %s", end.path)
	}
	if got, err := s.Store.AcceptedTerms(t.Context(), "ann", "pa"); err != nil || got.ClientID != "" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestOf32PressesOneIsRecorded(t *testing.T) {
	s := newHouse(t, store.ConsentSkip)
	s.publish("rules")
	action := s.action(s.get("/authorize?scope=openid"))
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if end := s.post(action, "accept", "1"); end.status >= 500 {
				t.Errorf("%d at %s", end.status, end.path)
			}
		})
	}
	wg.Wait()
	if n, _ := s.count(audit.TermsAccepted); n != 1 {
		t.Errorf("%d acceptances in the log, want 1", n)
	}
	if got := len(s.Issued); got != 1 {
		t.Errorf("%d codes, want 1", got)
	}
	if end := s.get("/authorize?scope=openid"); !end.at("/portal?code=") {
		t.Errorf("afterwards at %s", end.path)
	}
}
